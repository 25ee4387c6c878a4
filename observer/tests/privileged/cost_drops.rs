//! Drops by peer, encapsulation and reason, compared with the kernel's counters for the same packets.

use observer::cost::Drops;
use observer::kernel::{Measure, Options};
use observer::model::CostReport;
use observer_common::kind::{Class, Direction};

use crate::lab::{Lab, snmp, wait_for, within};
use crate::watch::Watch;

/// The first kernel with drop reasons.
const REASONS: (u32, u32) = (5, 17);

fn watch(lab: &Lab) -> Watch {
    // Drops are always counted; sampling does not apply to them.
    let options = Options { cost: Some(Measure { sample: 64, hooks: false }), ..Options::default() };
    Watch::start(&lab.netns("node-a"), options).expect("attach")
}

/// Drops on the path to the pods of node-c.
fn to_c<'a>(lab: &Lab, report: &'a CostReport, class: Class) -> Vec<&'a Drops> {
    assert!(!report.missing.iter().any(|missing| missing.starts_with("drops")), "{:?}", report.missing);
    let peer = lab.node("node-c")["address"].as_str().expect("an address").to_owned();
    let of = |row: &&Drops| {
        row.peer.to_string() == peer && row.class == class && row.direction == Direction::Egress
    };
    report.drops.iter().filter(of).collect()
}

fn has_reasons() -> bool {
    observer::kernel::sys::version().expect("a version") >= REASONS
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn drops_of_packets_too_big_for_the_tunnel_match_the_kernel_counter() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    let watch = watch(&lab);
    let failed = || within(&lab.netns("node-a"), || snmp("Ip", "FragFails"));
    let before = failed();
    lab.traffic(&[
        "--kind",
        "udp",
        "--from",
        "a2",
        "--to",
        "c1",
        "--count",
        "5",
        "--size",
        "1440",
        "--dont-fragment",
    ]);
    let expected = failed() - before;
    assert!(expected > 0, "some packets were too big");
    let reason = if has_reasons() { "PKT_TOO_BIG" } else { "unknown" };
    let report = wait_for("the drops", || {
        let report = watch.cost();
        (to_c(&lab, &report, Class::Vxlan).iter().map(|row| row.packets).sum::<u64>() >= expected)
            .then_some(report)
    });
    let rows = to_c(&lab, &report, Class::Vxlan);
    let shown: Vec<_> = rows.iter().map(|row| (row.reason.as_str(), row.packets)).collect();
    assert_eq!(shown, [(reason, expected)], "{:?}", report.drops);
    let row = report.tcp.iter().find(|row| row.peer == rows[0].peer && row.class == Class::Vxlan);
    let row = row.expect("a path with drops is shown even without connections");
    assert_eq!((row.dropped, row.reason.as_deref(), row.samples), (Some(expected), Some(reason), 0));
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn drops_in_the_underlay_queue_belong_to_the_inner_path() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    // The burst of 600 bytes is too small for any tunnel packet of a kilobyte.
    lab.exec(
        "node-a",
        &[
            "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "600", "limit",
            "600",
        ],
    );
    let watch = watch(&lab);
    let queue = || -> u64 {
        let json = lab.exec("node-a", &["tc", "-s", "-j", "qdisc", "show", "dev", "eth0", "root"]);
        let queues: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        queues[0]["drops"].as_u64().expect("a count")
    };
    let before = queue();
    lab.traffic(&["--kind", "udp", "--from", "a1", "--to", "c1", "--count", "40", "--size", "1000"]);
    let expected = queue() - before;
    assert!(expected >= 40, "the queue dropped {expected}");
    let report = watch.cost();
    let dropped: u64 = to_c(&lab, &report, Class::Vxlan).iter().map(|row| row.packets).sum();
    assert_eq!(dropped, expected, "{:?}", report.drops);
}
