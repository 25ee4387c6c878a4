//! The doctor on routes that a real BIRD wrote: the lab writes what it believes that BIRD writes, and this
//! holds it against the daemon.

#[path = "privileged/lab.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod lab;

use serde_json::Value;

use crate::lab::{Lab, output};

/// IPv4 routes that BIRD or the lab wrote: destination, next hop, device, kind.
fn routes(lab: &Lab) -> Vec<String> {
    let said = lab.exec("node-a", &["ip", "-4", "route", "show", "proto", "bird"]);
    let mut lines: Vec<String> = said
        .lines()
        // BIRD's metric says nothing.
        .map(|line| line.split(" metric").next().unwrap_or(line).trim().to_owned())
        .collect();
    lines.sort();
    lines
}

#[test]
fn routes_of_bird_are_those_of_the_lab_and_of_the_native_mode() {
    let lab = Lab::up_named("observer-bird", "bgp", &["--fresh-pods"]);
    let of_the_lab = routes(&lab);
    assert_eq!(of_the_lab.len(), 3, "{of_the_lab:?}");
    output(lab.xtask().arg("bird"));
    assert_eq!(routes(&lab), of_the_lab);

    let resources = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(resources.path(), output(lab.xtask().arg("resources"))).expect("resources");
    let resources = resources.path().to_str().expect("a path");
    let program = env!("CARGO_BIN_EXE_observer");
    let said = lab.exec(
        "node-a",
        &[program, "doctor", "--format", "json", "--no-measurement", "--resources", resources],
    );
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(report["clean"], true, "{report:#}");
    assert_eq!(report["modes"][0]["routes"], "native");
    assert_eq!(report["modes"][0]["declared"], "native");
}
