//! Capture files: pcap and pcapng through the same parser and accounting rule as in the kernel.
//!
//! [`Records`] reads one record after the other into a buffer that does not grow with the file;
//! [`link`] finds the IP packet behind the link layer; [`Counter`] feeds both to
//! [`observer_common::account`] over the tables of [`tables`], and returns a [`crate::snapshot::Snapshot`].

mod counter;
mod error;
mod event;
pub mod link;
mod progress;
mod records;
mod summary;
pub mod tables;

pub use counter::{Counter, MAX_VXLAN_PORTS, Options, VXLAN_PORT, Wanted};
pub use error::{CaptureError, Damage};
pub use event::Event;
pub use progress::Progress;
pub use records::{Interface, Record, Records};
pub use summary::FileSummary;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The name of standard input.
pub const STDIN: &str = "-";

/// Opens a capture file or, for `-`, standard input.
///
/// # Errors
/// It is a directory, or cannot be opened.
pub fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), CaptureError> {
    if path == Path::new(STDIN) {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let failed = |error: io::Error| CaptureError::open(path, &error);
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if meta.is_dir() {
        return Err(CaptureError::directory(path));
    }
    let size = if meta.is_file() { Some(meta.len()) } else { None };
    Ok((Box::new(file), size))
}
