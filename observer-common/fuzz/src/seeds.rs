//! Writes every packet of the packet table as a seed: `cargo run --bin seeds -- DIRECTORY…`.

use std::path::PathBuf;
use std::{env, fs, io};

use observer_testing::table;

fn main() -> io::Result<()> {
    for directory in env::args_os().skip(1).map(PathBuf::from) {
        fs::create_dir_all(&directory)?;
        for (number, case) in table::all().iter().enumerate() {
            // The first four bytes select the node and the frame's properties, see `input`.
            let mut seed = vec![0; observer_common_fuzz::CHOICES];
            seed.extend(case.input.bytes.iter().take(4000));
            fs::write(directory.join(format!("table-{number:03}")), seed)?;
        }
    }
    Ok(())
}
