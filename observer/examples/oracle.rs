//! For `cargo xtask oracle`: writes the packet table as captures, and runs captures through the programs in
//! the kernel.
//!
//! `oracle make DIR` writes the captures. `oracle replay FILE…` (as root) runs every whole Ethernet frame
//! through XDP and TC by `BPF_PROG_TEST_RUN` and through user space, and prints a line for each frame
//! that they count differently; exit code 1 if there was one.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;

use aya::programs::{TestRun as _, TestRunOptions};
use observer::capture::{Records, open};
use observer::kernel::{Capacities, Programs, Tables, entry};
use observer_common::abi::{events_index, link, totals_index};
use observer_common::account::{Observation, Site, observe};
use observer_common::kind::{Class, Direction};
use observer_common::packet::Slice;
use observer_testing::case::MAX_PATHS;
use observer_testing::memory::size_class_table;
use observer_testing::node::{Node, UNDERLAY_SLOT};
use observer_testing::{Counted, Input, MemoryTables, table};

type Failure = Box<dyn Error>;

const ETHERNET: u32 = 1;
const RAW: u32 = 101;
/// Longer frames are left out of the captures in the repository.
const SHORT: usize = 2_000;

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", dir] => make(Path::new(dir)).map(|()| ExitCode::SUCCESS),
        ["replay", files @ ..] => replay(files),
        _ => Err("usage: oracle make DIR | oracle replay FILE…".into()),
    }
}

/// Writes the packet table as captures: with Ethernet headers, without, and truncated by a snap length.
fn make(dir: &Path) -> Result<(), Failure> {
    let inputs: Vec<Input> = table::all().into_iter().map(|case| case.input).collect();
    let short = |input: &&Input| input.bytes.len() <= SHORT && input.frame.length < (1 << 18);
    let is = |input: &&Input, kind: u8| input.node.device.ingress_link == kind;
    let whole = |input: &&Input| input.frame.length as usize == input.bytes.len();
    let pick = |kind: u8, whole_ones: bool| {
        let chosen = inputs.iter().filter(short).filter(move |i| is(i, kind) && whole(i) == whole_ones);
        chosen.map(|i| (i.bytes.as_slice(), i.frame.length)).collect::<Vec<_>>()
    };
    write(&dir.join("table-ethernet.pcap"), ETHERNET, &pick(link::ETHERNET, true))?;
    write(&dir.join("table-raw.pcap"), RAW, &pick(link::IP, true))?;
    let cut: Vec<(&[u8], u32)> = inputs
        .iter()
        .filter(short)
        .filter(|i| is(i, link::ETHERNET) && i.bytes.len() > 40)
        .map(|i| (&i.bytes[..i.bytes.len().min(40 + i.bytes.len() % 60)], i.frame.length))
        .collect();
    write(&dir.join("table-snapped.pcap"), ETHERNET, &cut)
}

fn write(path: &Path, link_type: u32, frames: &[(&[u8], u32)]) -> Result<(), Failure> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&0xa1b2_c3d4_u32.to_le_bytes())?;
    file.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    file.write_all(&(1_u32 << 18).to_le_bytes())?;
    file.write_all(&link_type.to_le_bytes())?;
    for (number, (bytes, length)) in frames.iter().enumerate() {
        for word in [1_700_000_000, u32::try_from(number)?, u32::try_from(bytes.len())?, *length] {
            file.write_all(&word.to_le_bytes())?;
        }
        file.write_all(bytes)?;
    }
    eprintln!("{}: {} frames", path.display(), frames.len());
    Ok(file.flush()?)
}

/// The programs and their tables.
struct Kernel {
    programs: Programs,
    tables: Tables,
}

impl Kernel {
    fn load(node: &Node) -> Result<Self, Failure> {
        let mut programs = Programs::load(Capacities::default())?;
        let mut tables = Tables::take(&mut programs.ebpf)?;
        tables.set_size_classes(&size_class_table())?;
        tables.set_config(&node.config)?;
        tables.set_peers(&node.peers, &node.blocks)?;
        tables.set_device(&node.device)?;
        tables.reset(&[UNDERLAY_SLOT])?;
        Ok(Self { programs, tables })
    }

    fn run(&mut self, hook: Hook, bytes: &[u8]) -> Result<(), Failure> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(bytes);
        let (verdict, passes) = match hook {
            Hook::Xdp => (self.programs.xdp(entry::XDP)?.test_run(options)?.return_value, 2),
            Hook::Tc => (self.programs.classifier(entry::INGRESS)?.test_run(options)?.return_value, u32::MAX),
        };
        if verdict == passes { Ok(()) } else { Err(format!("{hook:?} returned {verdict}").into()) }
    }

    fn counted(&self) -> Result<Counted, Failure> {
        let mut counted = Counted::default();
        let direction = Direction::Ingress;
        counted.add_events(
            events_index(UNDERLAY_SLOT, direction),
            &self.tables.events(UNDERLAY_SLOT, direction)?,
        );
        for class in Class::ALL {
            let totals = self.tables.totals(UNDERLAY_SLOT, direction, class)?;
            counted.add_totals(totals_index(UNDERLAY_SLOT, direction, class), &totals);
        }
        for (key, stats) in self.tables.paths()? {
            counted.add_path(&key, &stats);
        }
        Ok(counted)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    Xdp,
    Tc,
}

fn replay(files: &[&str]) -> Result<ExitCode, Failure> {
    let mut different = 0;
    for hook in [Hook::Xdp, Hook::Tc] {
        let (mut frames, mut skipped) = (0_u64, 0_u64);
        for file in files {
            different += replay_file(hook, file, &mut frames, &mut skipped)?;
        }
        println!(
            "{hook:?}: {frames} frames compared, {skipped} not applicable, {different} differences so far"
        );
    }
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn replay_file(hook: Hook, file: &str, frames: &mut u64, skipped: &mut u64) -> Result<u64, Failure> {
    let node = Node::underlay(Class::None);
    let mut kernel = Kernel::load(&node)?;
    let mut tables = MemoryTables::new(&node, MAX_PATHS);
    let (source, _) = open(Path::new(file))?;
    let mut records = Records::new(source);
    let (mut number, mut different) = (0_u64, 0);
    // The comparison with tshark reports problems of the file.
    while let Ok(Some((record, interface))) = records.next_record() {
        number += 1;
        let mut input = Input::new(node.clone(), record.bytes.to_vec());
        input.frame.length = record.length;
        let hooks = input.hooks();
        let fits = if hook == Hook::Xdp { hooks.xdp } else { hooks.tc };
        if interface.link_type != ETHERNET || !fits {
            *skipped += 1;
            continue;
        }
        *frames += 1;
        let site = Site { device: &node.device, direction: Direction::Ingress, config: &node.config };
        let mut seen = Observation::NOTHING;
        observe(&Slice(&input.bytes), &input.frame, &site, &mut tables, &mut seen);
        kernel.run(hook, &input.bytes).map_err(|error| format!("{file} frame {number}: {error}"))?;
        let mut expected = tables.counted();
        expected.unknown_peers.clear();
        let difference = kernel.counted()?.difference(&expected);
        if !difference.is_empty() {
            println!("{file} frame {number} at {hook:?}:\n{difference}");
            different += 1;
            // Reset both, so that a difference is reported only once.
            kernel.tables.reset(&[UNDERLAY_SLOT])?;
            tables = MemoryTables::new(&node, MAX_PATHS);
        }
    }
    Ok(different)
}
