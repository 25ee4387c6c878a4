//! A simultaneous tcpdump, as an independent count.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::lab::Traffic;

/// Captures of one device, one per direction.
pub struct Capture {
    children: [(Child, PathBuf); 2],
    _folder: tempfile::TempDir,
}

impl Capture {
    /// Starts capturing, and returns once both are listening.
    pub fn start(netns: &str, device: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let children = ["in", "out"].map(|direction| {
            let file = folder.path().join(direction);
            // Stay root, which owns the folder. `-U` writes each packet immediately.
            let mut child = Command::new("ip")
                .args(["netns", "exec", netns, "tcpdump", "-i", device, "-Q", direction, "-w"])
                .arg(&file)
                .args(["-U", "-s", "96", "-B", "32768", "--immediate-mode", "-Z", "root"])
                .stderr(Stdio::piped())
                .spawn()
                .expect("tcpdump");
            let stderr = BufReader::new(child.stderr.take().expect("standard error"));
            let listening = stderr.lines().map_while(Result::ok).find(|line| line.contains("listening on"));
            assert!(listening.is_some(), "tcpdump is not listening on {device}");
            (child, file)
        });
        Self { children, _folder: folder }
    }

    /// Packets and bytes captured so far.
    pub fn counted(&self) -> Traffic {
        self.children.each_ref().map(|(_, file)| records(&std::fs::read(file).unwrap_or_default()))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        for (child, _) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Packets and original bytes of a capture in classic pcap format and host byte order. An incomplete last record is
/// ignored.
fn records(file: &[u8]) -> (u64, u64) {
    const FILE_HEADER: usize = 24;
    const RECORD_HEADER: usize = 16;
    let (mut packets, mut bytes, mut at) = (0, 0, FILE_HEADER);
    while let Some(header) = file.get(at..at + RECORD_HEADER) {
        let word = |i: usize| u32::from_ne_bytes(header[i..i + 4].try_into().expect("four bytes"));
        let end = at + RECORD_HEADER + word(8) as usize;
        if end > file.len() {
            break;
        }
        packets += 1;
        bytes += u64::from(word(12));
        at = end;
    }
    (packets, bytes)
}
