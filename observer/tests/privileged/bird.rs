//! The doctor on routes of a real BIRD, which are also compared with those that the lab creates in its place.

use serde_json::Value;

use crate::lab::Lab;

/// IPv4 routes of BIRD or the lab: destination, next hop, device, kind.
fn routes(lab: &Lab) -> Vec<String> {
    let output = lab.exec("node-a", &["ip", "-4", "route", "show", "proto", "bird"]);
    let mut lines: Vec<String> = output
        .lines()
        // BIRD's metric does not matter.
        .map(|line| line.split(" metric").next().unwrap_or(line).trim().to_owned())
        .collect();
    lines.sort();
    lines
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn bird_creates_the_same_routes_as_the_lab_and_the_mode_is_native() {
    if observer_testing::lacks("bird") {
        return;
    }
    let lab = Lab::up_named("observer-bird", "bgp", &["--fresh-pods"]);
    let expected = routes(&lab);
    assert_eq!(expected.len(), 3, "{expected:?}");
    observer_lab::bird::run(lab.name(), 60).expect("BIRD's routes");
    assert_eq!(routes(&lab), expected);

    let resources = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(resources.path(), observer_lab::resources::of_lab(lab.name(), None).expect("resources"))
        .expect("resources");
    let resources = resources.path().to_str().expect("a path");
    let program = env!("CARGO_BIN_EXE_observer");
    let json = lab.exec(
        "node-a",
        &[program, "doctor", "--format", "json", "--no-measurement", "--resources", resources],
    );
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report["clean"], true, "{report:#}");
    assert_eq!(report["modes"][0]["routes"], "native");
    assert_eq!(report["modes"][0]["declared"], "native");
}
