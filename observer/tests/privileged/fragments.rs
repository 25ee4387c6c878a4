//! Fragments match the kernel's SNMP counters, sent and received.

use observer::kernel::Options;
use observer::snapshot::Snapshot;
use observer_common::counters::{PathCounter, Total};
use observer_common::kind::{Class, Direction};

use crate::lab::{Lab, snmp, wait_for, within};
use crate::watch::{Watch, total};

const OUTER: [Total; 3] = [Total::OuterV4First, Total::OuterV4Middle, Total::OuterV4Last];

fn outer(snapshot: &Snapshot, direction: Direction) -> u64 {
    OUTER.iter().map(|counter| total(snapshot, "eth0", direction, *counter)).sum()
}

fn kernel(netns: &str, counter: &'static str) -> u64 {
    within(netns, move || snmp("Ip", counter))
}

/// The underlay's MTU is too small for the tunnel's packets: the node fragments encapsulated packets, and the other
/// end reassembles them.
fn outer_fragments(mode: &str, class: Class, size: &str) {
    let lab = Lab::up(mode, &["--no-offloads", "--underlay-mtu", "1460"]);
    let (a, c) = (lab.netns("node-a"), lab.netns("node-c"));
    let sender = Watch::start(&a, Options::default()).expect("attach in node-a");
    let receiver = Watch::start(&c, Options::default()).expect("attach in node-c");
    let before = (
        outer(&sender.snapshot(), Direction::Egress),
        outer(&receiver.snapshot(), Direction::Ingress),
        kernel(&a, "FragCreates"),
        kernel(&c, "ReasmReqds"),
    );
    // Each packet fits the tunnel's MTU, but not the underlay's once encapsulated: one inner packet, two outer
    // fragments.
    lab.traffic(&["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "100", "--size", size]);
    let (sent, got) = wait_for("the fragments", || {
        let (sender, receiver) = (sender.snapshot(), receiver.snapshot());
        let sent = outer(&sender, Direction::Egress) - before.0;
        let got = outer(&receiver, Direction::Ingress) - before.1;
        (sent >= 200 && got >= 200).then_some((sender, receiver))
    });
    let created = kernel(&a, "FragCreates") - before.2;
    let reassembled = kernel(&c, "ReasmReqds") - before.3;
    println!("{mode}: FragCreates {created}, ReasmReqds {reassembled}");
    assert_eq!(outer(&sent, Direction::Egress) - before.0, created, "{mode}: sent, and FragCreates");
    assert_eq!(outer(&got, Direction::Ingress) - before.1, reassembled, "{mode}: received, and ReasmReqds");
    // Later fragments have no port and are attributed to the path by their addresses.
    let peer: std::net::IpAddr =
        lab.node("node-c")["address"].as_str().expect("address").parse().expect("IP");
    let path = sent
        .paths
        .iter()
        .find(|p| p.id.peer == peer && p.id.class == class && p.id.direction == Direction::Egress)
        .expect("the path to node-c");
    let get = |counter: PathCounter| path.counters[counter as usize];
    let on_path = get(PathCounter::OuterFirst) + get(PathCounter::OuterMiddle) + get(PathCounter::OuterLast);
    assert_eq!(on_path, created, "{mode}: all fragments belong to the path");
    assert_eq!(get(PathCounter::FragmentationOverheadBytes), 20 * get(PathCounter::OuterLast), "{mode}");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn outer_fragments_of_vxlan_match_snmp() {
    outer_fragments("vxlan-always", Class::Vxlan, "1400");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn outer_fragments_of_ipip_match_snmp() {
    outer_fragments("ipip-always", Class::Ipip, "1440");
}

/// A pod's packets are too big for the tunnel device: the node fragments them before encapsulation, so the fragments
/// are inner ones.
#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn inner_fragments_match_snmp() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let a = lab.netns("node-a");
    let watch = Watch::start(&a, Options::default()).expect("attach");
    let created = kernel(&a, "FragCreates");
    let inner = |snapshot: &Snapshot| -> u64 {
        [Total::InnerV4First, Total::InnerV4Middle, Total::InnerV4Last]
            .iter()
            .map(|counter| total(snapshot, "eth0", Direction::Egress, *counter))
            .sum()
    };
    let before = watch.snapshot();
    lab.traffic(&["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "50", "--size", "1470"]);
    let after = wait_for("the fragments", || {
        let after = watch.snapshot();
        (inner(&after) - inner(&before) >= 100).then_some(after)
    });
    let created = kernel(&a, "FragCreates") - created;
    assert_eq!(inner(&after) - inner(&before), created, "inner fragments, and FragCreates");
    let into: u64 = OUTER.iter().map(|c| total(&after, "vxlan.calico", Direction::Egress, *c)).sum();
    assert_eq!(into, created, "the same fragments are outer ones at the tunnel device");
}

/// Packets that are too big for the tunnel are counted on their way into it.
#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn packets_too_big_for_the_tunnel_are_counted() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    let watch = Watch::start(&lab.netns("node-a"), Options::default()).expect("attach");
    let would = |snapshot: &Snapshot| {
        [Total::WouldFragment, Total::WouldDrop]
            .map(|c| total(snapshot, "vxlan.calico", Direction::Egress, c))
    };
    let before = would(&watch.snapshot());
    lab.traffic(&["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "40", "--size", "1400"]);
    let after = wait_for("would_fragment to be counted", || {
        let snapshot = watch.snapshot();
        (would(&snapshot)[0] - before[0] >= 40).then_some(snapshot)
    });
    assert_eq!(would(&after)[0] - before[0], 40, "40 datagrams of 1428 bytes do not fit 1460 − 50");
    let attributed: u64 = after.paths.iter().map(|p| p.counters[PathCounter::WouldFragment as usize]).sum();
    assert_eq!(attributed, would(&after)[0], "all of them belong to a path");
}
