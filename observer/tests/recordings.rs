//! `stat --replay` and `compare` as a user runs them: outputs and exit codes, without privileges.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const BEFORE: &str = "vxlan-always.json";
const AFTER: &str = "vxlan-crosssubnet.json";

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings")
}

/// Runs observer in the folder of the recordings, without OBSERVER_ variables.
fn observer(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.args(args).current_dir(data());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OBSERVER_")) {
        command.env_remove(name);
    }
    command.output().expect("observer starts")
}

fn good(args: &[&str]) -> String {
    let output = observer(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

fn refused(args: &[&str]) -> String {
    let output = observer(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn reports(args: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["stat", "--format", "json", "--replay"].iter().chain(args).copied().collect();
    good(&args).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn replay_prints_one_report_or_one_per_interval() {
    let whole = reports(&[BEFORE]);
    assert_eq!(whole.len(), 1);
    let seconds = |report: &Value| report["interval_seconds"].as_f64().expect("a number");
    assert!((seconds(&whole[0]) - 12.0).abs() < 0.1);
    let wire = |reports: &[Value]| -> u64 {
        reports.iter().map(|report| report["underlay"]["wire_bytes"].as_u64().expect("measured")).sum()
    };
    // Every packet is counted once at any interval.
    for (interval, count) in [("0.1", 24), ("1", 12), ("5", 3), ("60", 1)] {
        let parts = reports(&[BEFORE, "--interval", interval]);
        assert_eq!(parts.len(), count, "{interval}");
        assert_eq!(wire(&parts), wire(&whole), "{interval}");
    }
    let two = reports(&[BEFORE, "--interval", "5", "--count", "2"]);
    assert_eq!(two.len(), 2);
    assert!(two.iter().all(|report| (seconds(report) - 5.0).abs() < 0.1));
    let total = reports(&[BEFORE, "--total"]);
    assert!(wire(&total) >= wire(&whole));
}

#[test]
fn replay_can_be_limited_to_devices() {
    let report = &reports(&[BEFORE, "eth0"])[0];
    let names: Vec<&str> =
        report["devices"].as_array().expect("devices").iter().filter_map(|d| d["name"].as_str()).collect();
    assert_eq!(names, ["eth0"]);
    assert!(report["paths"].as_array().is_some_and(|paths| paths.len() == 8));
    let error = refused(&["stat", "--replay", BEFORE, "eth9"]);
    assert!(
        error
            .contains("cannot find device eth9 in the recording; it has eth0, vxlan-v6.calico, vxlan.calico"),
        "{error}"
    );
}

#[test]
fn a_truncated_file_is_read_up_to_the_cut_with_a_note() {
    let folder = tempfile::tempdir().expect("a folder");
    let cut = folder.path().join("cut.json");
    let text = std::fs::read(data().join(BEFORE)).expect("a recording");
    std::fs::write(&cut, &text[..text.len() / 2]).expect("written");
    let path = cut.to_str().expect("text");
    let report = &reports(&[path])[0];
    assert!(report["notes"][0].as_str().is_some_and(|note| note.contains("is cut off in line")), "{report}");
    let compared: Value =
        serde_json::from_str(&good(&["compare", path, AFTER, "--format", "json"])).expect("JSON");
    let remarks = compared["remarks"].as_array().expect("remarks");
    assert!(remarks.iter().any(|remark| remark["id"] == "incomplete_file"), "{remarks:?}");
    // A header without snapshots is not enough.
    let header = text.iter().position(|byte| *byte == b'\n').expect("lines");
    std::fs::write(&cut, &text[..=header]).expect("written");
    for args in [&["stat", "--replay", path][..], &["compare", path, AFTER]] {
        let error = refused(args);
        assert!(error.contains("it has 0 snapshots, but needs at least 2; record for longer"), "{error}");
    }
}

#[test]
fn files_and_clusters_are_compared() {
    let two = good(&["compare", BEFORE, AFTER]);
    let named = good(&["compare", "--before", BEFORE, "--after", AFTER]);
    assert_eq!(two, named);
    let cluster = good(&["compare", "--before", BEFORE, BEFORE, "--after", AFTER, AFTER, "--format", "json"]);
    let cluster: Value = serde_json::from_str(&cluster).expect("JSON");
    assert_eq!(cluster["schema"], "observer-compare/2");
    assert_eq!(cluster["before"]["recordings"].as_array().map(Vec::len), Some(2));
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("report.html");
    let path = page.to_str().expect("text");
    assert_eq!(good(&["compare", BEFORE, AFTER, "--format", "html", "-o", path]), "");
    assert!(std::fs::read_to_string(&page).expect("a page").starts_with("<!doctype html>"));
}

#[test]
fn errors_are_one_sentence() {
    let cases: [(&[&str], &str); 6] = [
        (&["compare", BEFORE, "missing.json"], "cannot read the recording missing.json: No such file"),
        (&["compare", BEFORE, "../golden/stat.json"], "line 1 is not a JSON object with the schema"),
        (&["compare", BEFORE], "2 values required"),
        (&["compare", "--before", BEFORE], "--after"),
        (&["compare", BEFORE, AFTER, "-o", "/nonexistent/x"], "cannot write /nonexistent/x"),
        // Checked before anything is attached.
        (
            &["record", "--for", "1", "-o", BEFORE],
            "vxlan-always.json: it exists; use another file, or --force to overwrite it",
        ),
    ];
    for (args, expected) in cases {
        let error = refused(args);
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}
