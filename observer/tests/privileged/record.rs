//! `observer record`: an interrupted recording keeps all snapshots.

use std::path::Path;

use observer::recording::Recording;

use crate::lab::{Lab, wait_for};

/// Minimum snapshots before a recording is interrupted.
const SNAPSHOTS: usize = 3;

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn interrupted_recordings_keep_all_snapshots() {
    let lab = Lab::up("bgp", &[]);
    let folder = tempfile::tempdir().expect("a folder");
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        let path = folder.path().join(format!("{signal}.json"));
        let file = path.to_str().expect("UTF-8");
        let arguments = ["record", "--for", "600", "--interval", "0.2", "-o", file];
        let mut command = vec![env!("CARGO_BIN_EXE_observer")];
        command.extend(arguments);
        let mut child = lab.command("node-a", &command).spawn().expect("observer record starts");
        // The first line is the header.
        wait_for("some snapshots", || (lines(&path) > SNAPSHOTS).then_some(()));
        // SAFETY: the child is ours and not yet waited for.
        unsafe { libc::kill(child.id().cast_signed(), signal) };
        let status = child.wait().expect("observer record ends");
        assert_eq!(status.success(), signal != libc::SIGKILL, "{status}");
        let recording = Recording::open(&path).expect("a recording");
        let snapshots = recording.filter(Result::is_ok).count();
        assert!(snapshots >= SNAPSHOTS, "{snapshots} snapshots after signal {signal}");
        let again = lab.command("node-a", &command).output().expect("observer record");
        let stderr = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(again.status.code() == Some(2) && stderr.contains("--force"), "{stderr}");
    }
}
