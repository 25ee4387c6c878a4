//! The cost of encapsulation in recordings, comparisons and plans.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use observer::model::{CostReport, Report};
use observer::recording::Recording;
use observer::snapshot::Snapshot;
use observer_common::kind::Direction;

use crate::doctor::doctor;
use crate::lab::{Lab, wait_for};

/// Datagrams sent during a recording.
const DATAGRAMS: u64 = 200;

fn snapshots(path: &Path) -> Vec<Snapshot> {
    Recording::open(path).map_or_else(|_| Vec::new(), |recording| recording.filter_map(Result::ok).collect())
}

fn between(path: &Path) -> CostReport {
    let snapshots = snapshots(path);
    let [first, .., last] = snapshots.as_slice() else { panic!("{} snapshots", snapshots.len()) };
    Report::between(first, last).cost.expect("the cost was recorded")
}

/// A recording of node-a, with or without the cost, while datagrams go to node-c.
fn recorded(lab: &Lab, path: PathBuf, cost: bool) -> PathBuf {
    let file = path.to_str().expect("UTF-8");
    let mut command = vec![env!("CARGO_BIN_EXE_observer"), "record", "--interval", "0.2", "-o", file];
    if cost {
        command.extend(["--cost", "--cost-rtt-at-hooks", "--cost-sample", "1"]);
    }
    let mut child = lab.command("node-a", &command).spawn().expect("observer record starts");
    wait_for("a first snapshot", || (!snapshots(&path).is_empty()).then_some(()));
    let count = DATAGRAMS.to_string();
    let sent =
        lab.traffic(&["--kind", "udp", "--from", "a1", "--to", "c1", "--size", "500", "--count", &count]);
    assert_eq!(sent["received"], DATAGRAMS, "{sent}");
    let seen = snapshots(&path).len();
    wait_for("snapshots after the traffic", || (snapshots(&path).len() > seen + 1).then_some(()));
    end(&mut child);
    path
}

fn end(child: &mut Child) {
    // SAFETY: the child is ours and not yet waited for.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    assert!(child.wait().expect("observer ends").success());
}

/// Runs a command on recordings and returns its output.
fn run(arguments: &[&str], files: &[&Path]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_observer")).args(arguments).args(files).output();
    let output = output.expect("observer starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn cost_is_recorded_and_replayed() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(&lab, folder.path().join("with.json"), true);
    let report = between(&path);
    if report.missing.iter().any(|missing| missing.starts_with("encapsulation")) {
        observer_testing::skip(observer_testing::Need::CostPrograms, &format!("{:?}", report.missing));
        return;
    }
    let egress = report.spans.iter().find(|row| {
        row.device == "vxlan.calico" && row.direction == Direction::Egress && row.packet.is_some()
    });
    let egress = egress.expect("the datagrams are measured");
    let unfinished = report.discarded.unsent + report.discarded.interrupted;
    assert!(egress.measured.1 + unfinished >= DATAGRAMS, "{egress:?}, {:?}", report.discarded);
    let replayed = run(&["stat", "--format", "json", "--replay"], &[&path]);
    let replayed: serde_json::Value = serde_json::from_str(&replayed).expect("JSON");
    let rows = replayed["cost"]["encapsulation"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["device"] == "vxlan.calico" && row["direction"] == "egress");
    let row = row.expect("a row");
    assert_eq!(row["nanoseconds_per_packet"].as_f64(), egress.packet, "the replay shows the same figure");
    // Compared with itself, no figure has changed.
    let compared = run(&["compare", "--format", "json"], &[&path, &path]);
    let compared: serde_json::Value = serde_json::from_str(&compared).expect("JSON");
    let metric = |compared: &serde_json::Value, id: &str| {
        let metrics = compared["metrics"].as_array().expect("metrics");
        metrics.iter().find(|metric| metric["id"] == id).expect("the metric").clone()
    };
    let egress = metric(&compared, "encapsulate_time");
    let known = replayed["cost"]["encapsulation"]
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["direction"] == "egress" && row["nanoseconds_per_packet"].is_number());
    if known.count() == 1 {
        let (seen, expected) = (egress["before"]["value"].as_f64(), row["nanoseconds_per_packet"].as_f64());
        let (seen, expected) = (seen.expect("measured"), expected.expect("measured"));
        assert!((seen / expected - 1.0).abs() < 0.01, "{seen} instead of {expected}");
    }
    for id in ["encapsulate_time", "softirq"] {
        let metric = metric(&compared, id);
        assert!(metric["before"]["value"].as_f64().is_some_and(|value| value > 0.0), "{metric}");
        assert_eq!(metric["change"]["value"], 0.0, "{metric}");
    }
    let with = path;
    // Without --cost it is unknown, not zero.
    let path = recorded(&lab, folder.path().join("without.json"), false);
    assert!(snapshots(&path).iter().all(|snapshot| snapshot.cost.is_none()));
    let replayed = run(&["stat", "--format", "json", "--replay"], &[&path]);
    let replayed: serde_json::Value = serde_json::from_str(&replayed).expect("JSON");
    assert!(replayed["cost"].is_null() && replayed["rows"].is_array());
    let compared = run(&["compare", "--format", "json"], &[&with, &path]);
    let compared: serde_json::Value = serde_json::from_str(&compared).expect("JSON");
    let metric = metric(&compared, "encapsulate_time");
    assert!(
        metric["before"].is_object() && metric["after"].is_null() && metric["change"].is_null(),
        "{metric}"
    );
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn plan_includes_the_cost() {
    let lab = Lab::up("vxlan-always", &[]);
    // Like a NIC with TCP offload but without tunnel offload.
    lab.exec("node-a", &["ethtool", "-K", "eth0", "tx-udp_tnl-segmentation", "off"]);
    lab.exec("node-a", &["ethtool", "-K", "eth0", "tx-udp_tnl-csum-segmentation", "off"]);
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let traffic = words("traffic once --kind tcp --from a1 --to c1 --bytes 4000000");
    let report = doctor(&lab, &words("--plan native --cost --cost-sample 1"), &[traffic]);
    let plan = &report["plan"];
    let device = &plan["software_offload"][0];
    assert_eq!(device["device"], "vxlan.calico", "{plan:#}");
    assert!(device["offload"]["gso_skbs_segmented"].as_u64().is_some_and(|cut| cut > 10), "{plan:#}");
    let first = &plan["tcp"][0];
    assert_eq!((&first["encapsulation"], &first["then"]), (&"vxlan".into(), &"none".into()), "{plan:#}");
    assert!(first["samples"].as_u64().is_some_and(|samples| samples > 0), "{plan:#}");
}
