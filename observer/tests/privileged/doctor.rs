//! `observer doctor` on a node of the lab: no findings if nothing is wrong, and exactly the right finding
//! for each fault that `lab break` can cause.

use std::process::{Command, Stdio};

use clap::ValueEnum as _;
use observer_lab::{Mode, breaks, resources};
use serde_json::Value;

use crate::lab::{Lab, output, wait_for};

/// Modes, by their names in the lab and in the doctor.
const MODES: [(&str, &str); 5] = [
    ("vxlan-always", "vxlan-always"),
    ("vxlan-crosssubnet", "vxlan-crosssubnet"),
    ("ipip-always", "ipip-always"),
    ("ipip-crosssubnet", "ipip-crosssubnet"),
    ("bgp", "native"),
];

/// Runs the doctor in node-a, and `traffic` repeatedly while it measures.
pub(crate) fn doctor(lab: &Lab, arguments: &[String], traffic: &[Vec<String>]) -> Value {
    let program = env!("CARGO_BIN_EXE_observer");
    let mut words = vec![program, "doctor", "--format", "json", "--for", "3"];
    words.extend(arguments.iter().map(String::as_str));
    let mut child = lab
        .command("node-a", &words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the doctor starts");
    // The output fits into the pipe, so the doctor does not block on it.
    while !traffic.is_empty() && child.try_wait().expect("the doctor's state").is_none() {
        for arguments in traffic {
            // The traffic may fail: that is part of the fault.
            let _ = lab.program().args(arguments).output();
        }
    }
    let output = child.wait_with_output().expect("the doctor ends");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| {
        panic!("{words:?}: {error}: {stdout}{}", String::from_utf8_lossy(&output.stderr))
    });
    let expected = i32::from(report["clean"] != true);
    assert_eq!(output.status.code(), Some(expected), "{report:#}");
    report
}

fn ids(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().map(|finding| finding["id"].as_str().expect("an id")).collect()
}

fn healthy(lab: &Lab, mode: &str, label: &str) {
    let resources = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(resources.path(), resources::of_lab(lab.name(), None).expect("resources"))
        .expect("resources");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), lab.status["pod_mtu"].to_string()).expect("the MTU");
    let arguments = ["--resources", resources.path().to_str().expect("a path")]
        .into_iter()
        .chain(["--mtu-file", file.path().to_str().expect("a path")])
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let rr = |to: &str| {
        ["traffic", "once", "--kind", "rr", "--from", "a1", "--to", to, "--count", "20"]
            .map(str::to_owned)
            .to_vec()
    };
    let report = doctor(lab, &arguments, &[rr("b1"), rr("c1")]);
    assert_eq!(ids(&report), Vec::<&str>::new(), "{mode}: {report:#}");
    let four = &report["modes"][0];
    for source in ["routes", "observed", "declared"] {
        assert_eq!(four[source], label, "{mode} by {source}: {report:#}");
    }
}

fn broken(lab: &Lab, mode: &str, fault: &str) {
    let broken = breaks::apply(lab.name(), fault).expect("break the lab");
    let words = |value: &Value| -> Vec<String> {
        let list = value.as_array().expect("a list").iter();
        list.map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let traffic: Vec<Vec<String>> = broken["traffic"].as_array().expect("a list").iter().map(words).collect();
    let report = doctor(lab, &words(&broken["doctor"]), &traffic);
    assert_eq!(ids(&report), [broken["finds"].as_str().expect("an id")], "{mode} {fault}: {report:#}");
    lab.mend();
}

fn mode(nth: usize) {
    let (mode, label) = MODES[nth];
    let lab = Lab::up_named("observer-doctor", mode, &["--fresh-pods"]);
    healthy(&lab, mode, label);
    let faults: Vec<&str> = breaks::of_mode(Mode::from_str(mode, false).expect("a mode")).collect();
    assert!(faults.len() >= 5, "{mode}: {faults:?}");
    for fault in faults {
        broken(&lab, mode, fault);
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn vxlan_always_healthy_and_with_every_fault() {
    mode(0);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn vxlan_cross_subnet_healthy_and_with_every_fault() {
    mode(1);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn ipip_always_healthy_and_with_every_fault() {
    mode(2);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn ipip_cross_subnet_healthy_and_with_every_fault() {
    mode(3);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn native_healthy_and_with_every_fault() {
    mode(4);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn mode_switch_is_detected_and_pods_with_an_old_mtu_are_named() {
    let lab = Lab::up_named("observer-doctor", "vxlan-always", &["--fresh-pods"]);
    observer_lab::switch(lab.name(), Mode::Bgp, 30).expect("switch the mode");
    let report = doctor(&lab, &["--no-measurement".to_owned()], &[]);
    assert_eq!(ids(&report), ["pod-mtu-low"], "{report:#}");
    assert_eq!(report["modes"][0]["routes"], "native");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn watch_updates_the_metrics_file_and_exits_cleanly() {
    let lab = Lab::up_named("observer-doctor", "vxlan-always", &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("doctor.prom");
    let program = env!("CARGO_BIN_EXE_observer");
    let path = file.to_str().expect("a path");
    let words = [
        program,
        "doctor",
        "--no-measurement",
        "--watch",
        "--interval",
        "0.2",
        "--metrics-file",
        path,
        "--format",
        "json",
    ];
    let mut child = lab
        .command("node-a", &words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the doctor starts");
    // pod-a2 still has its old MTU.
    let found = |value: u8| {
        let line = format!("observer_doctor_finding{{id=\"pod-mtu-high\"}} {value}\n");
        wait_for(&format!("a file with {line}"), || {
            std::fs::read_to_string(&file).ok().filter(|text| text.contains(&line))
        })
    };
    found(1);
    let pods = lab.node("node-a")["pods"].as_array().expect("pods");
    let old = pods.iter().find(|pod| pod["keeps_old_mtu"] == true).expect("pod-a2");
    let device = old["device"].as_str().expect("a device");
    lab.exec("node-a", &["ip", "link", "set", device, "mtu", "1430"]);
    found(0);
    output(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    assert_eq!(child.wait().expect("the doctor ends").code(), Some(0));
}
