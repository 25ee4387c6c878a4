//! Capture files: `observer pcap` compared with other programs that read the same file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::bench::Hook;
use crate::classes;
use crate::clock::median;
use crate::process::{Run, run};
use crate::report::{Section, grouped};
use crate::scratch::Scratch;

/// Number of measurements.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// Packets in the file.
    pub packets: u32,
}

/// Programs and their arguments; `FILE` is replaced by the file.
fn programs(observer: &Path) -> Vec<(&'static str, Command, &'static str)> {
    let observer = Command::new(observer);
    vec![
        ("observer pcap", observer, "pcap FILE"),
        ("capinfos", Command::new("capinfos"), "FILE"),
        // Without -Z root, it drops its privileges and cannot read the file.
        ("tcpdump -nn", Command::new("tcpdump"), "-nn -Z root -r FILE"),
        ("tshark -z io,phs", Command::new("tshark"), "-n -q -z io,phs -r FILE"),
    ]
}

/// Measures all installed programs, interleaved.
///
/// # Errors
/// The file cannot be written.
pub fn measure(observer: &Path, effort: Effort) -> Result<Section> {
    let file = Scratch::new()?;
    let bytes = write(&file.0, effort.packets)?;
    let mut missing = Vec::new();
    let mut installed = Vec::new();
    for (name, mut command, arguments) in programs(observer) {
        for argument in arguments.split(' ') {
            if argument == "FILE" {
                command.arg(file.path())
            } else {
                command.arg(argument)
            };
        }
        // The first run also warms up the page cache.
        match run(&mut command) {
            Ok(_) => installed.push((name, command, Vec::<Run>::new())),
            Err(error) => missing.push(format!("{name}: {error:#}")),
        }
    }
    for round in 0..effort.rounds {
        for turn in 0..installed.len() {
            let index = (round + turn) % installed.len();
            let one = run(&mut installed[index].1)?;
            installed[index].2.push(one);
        }
    }
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    for (name, _, runs) in &installed {
        let of = |value: fn(&Run) -> f64| median(&runs.iter().map(value).collect::<Vec<_>>());
        let (wall, cpu) = (of(|run| run.wall.as_secs_f64()), of(|run| run.cpu.as_secs_f64()));
        let rate = f64::from(effort.packets) / wall;
        rows.push(vec![
            (*name).to_owned(),
            format!("{:.2} M/s", rate / 1e6),
            format!("{wall:.2} s"),
            format!("{cpu:.2} s"),
        ]);
        data.push(json!({
            "program": name, "packets_per_second": rate, "wall_seconds": wall, "cpu_seconds": cpu,
        }));
    }
    let about = format!(
        "One pcap file of {} packets, {} MB, of all classes above, in the page cache; interleaved complete runs, medians \
         of {}. capinfos only counts; tcpdump prints one line per packet; tshark builds its protocol table.",
        grouped(u64::from(effort.packets)),
        bytes / 1_000_000,
        effort.rounds,
    );
    Ok(Section {
        name: "pcap",
        title: "Capture files",
        about,
        columns: &["program", "packets", "wall time", "CPU time"],
        rows,
        data: data.into(),
        bars: Vec::new(),
        missing,
    })
}

/// Writes a capture file and returns its length.
fn write(file: &File, packets: u32) -> Result<u64> {
    let mut to = BufWriter::new(file);
    let mut length = 24;
    let frames: Vec<Vec<u8>> = classes::all()
        .into_iter()
        .filter(|class| class.hooks.contains(&Hook::Xdp))
        .map(|class| class.packet.bytes)
        .collect();
    let header: [u32; 6] = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, 1];
    let words = |to: &mut BufWriter<&File>, words: &[u32]| {
        words.iter().try_for_each(|word| to.write_all(&word.to_le_bytes()))
    };
    words(&mut to, &header).context("cannot write a capture file")?;
    for (n, frame) in (0..packets).zip(frames.iter().cycle()) {
        let size = frame.len() as u32;
        words(&mut to, &[n / 1_000_000, n % 1_000_000, size, size])
            .and_then(|()| to.write_all(frame))
            .context("cannot write a capture file")?;
        length += 16 + u64::from(size);
    }
    to.flush().context("cannot write a capture file")?;
    Ok(length)
}
