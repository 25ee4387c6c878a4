//! Super-packets: a device with offloads counts the same as a device on the same path without offloads.

use observer::kernel::Options;
use observer::snapshot::Snapshot;
use observer_common::counters::{PathCounter, Total};
use observer_common::kind::{Class, Direction};

use crate::lab::{Lab, wait_for};
use crate::watch::{Watch, total};

/// Packets, wire bytes, L3 bytes, inner bytes.
type Sum = [u64; 4];

fn sum(snapshot: &Snapshot, direction: Direction, class: Class) -> Sum {
    let counters = [Total::Packets, Total::WireBytes, Total::L3Bytes, Total::InnerBytes];
    let device = snapshot.devices.iter().find(|d| d.name == "eth0").expect("eth0");
    let row = device.totals.iter().find(|t| t.direction == direction && t.class == class);
    counters.map(|counter| row.map_or(0, |row| row.counters[counter as usize]))
}

fn path_sum(snapshot: &Snapshot, direction: Direction, class: Class) -> Sum {
    let counters =
        [PathCounter::Packets, PathCounter::WireBytes, PathCounter::L3Bytes, PathCounter::InnerBytes];
    let paths = snapshot.paths.iter().filter(|p| p.id.direction == direction && p.id.class == class);
    paths.fold([0; 4], |mut sum, path| {
        for (sum, counter) in sum.iter_mut().zip(counters) {
            *sum += path.counters[counter as usize];
        }
        sum
    })
}

fn minus(after: Sum, before: Sum) -> Sum {
    [0, 1, 2, 3].map(|i| after[i] - before[i])
}

/// A bulk transfer from a1 to b1 (same subnet, through a bridge): node-a sends super-packets, the bridge's
/// ports have offloads off and forward single packets, and node-b counts those.
fn same_on_both_sides(mode: &str, class: Class) {
    let lab = Lab::up(mode, &[]);
    lab.exec("router", &["sh", "-c", "for d in $(ls /sys/class/net); do ethtool -K $d tso off gso off gro off sg off tx off tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off tx-gso-list off >/dev/null 2>&1; done; true"]);
    lab.exec("node-b", &["ethtool", "-K", "eth0", "gro", "off"]);
    let sender = Watch::start(&lab.netns("node-a"), Options::default()).expect("attach in node-a");
    let receiver = Watch::start(&lab.netns("node-b"), Options::default()).expect("attach in node-b");
    let read = |watch: &Watch, direction| {
        let snapshot = watch.snapshot();
        (sum(&snapshot, direction, class), path_sum(&snapshot, direction, class), snapshot)
    };
    let (before_a, paths_a, _) = read(&sender, Direction::Egress);
    let (before_b, paths_b, _) = read(&receiver, Direction::Ingress);
    lab.traffic(&["--kind", "tcp", "--from", "a1", "--to", "b1", "--bytes", "4000000"]);
    // The last acknowledgements may still be in flight.
    let (sent, got, after) = wait_for("the same count on both sides", || {
        let (after_a, paths_after_a, snapshot) = read(&sender, Direction::Egress);
        let (after_b, paths_after_b, seen) = read(&receiver, Direction::Ingress);
        let sent = (minus(after_a, before_a), minus(paths_after_a, paths_a));
        let got = (minus(after_b, before_b), minus(paths_after_b, paths_b));
        println!("{mode}: sent {sent:?} received {got:?}");
        (sent == got && sent.0[0] != 0).then_some((sent, got, (snapshot, seen)))
    });
    assert_eq!(sent, got);
    assert!(sent.0[0] > 2_500, "{mode}: 4 MB in {} packets", sent.0[0]);
    let aggregates = |snapshot, direction| total(snapshot, "eth0", direction, Total::Aggregates);
    assert!(aggregates(&after.0, Direction::Egress) > 10, "{mode}: node-a sent no super-packets");
    assert_eq!(aggregates(&after.1, Direction::Ingress), 0, "{mode}: node-b received super-packets");
    for (snapshot, direction) in [(&after.0, Direction::Egress), (&after.1, Direction::Ingress)] {
        assert_eq!(total(snapshot, "eth0", direction, Total::Oversized), 0, "{mode}: oversized");
        let largest = total(snapshot, "eth0", direction, Total::Largest);
        assert!(largest <= 1500, "{mode}: the largest packet has {largest} bytes");
    }
    if let Some(tunnel) = after.0.devices.iter().find(|d| d.name == "vxlan.calico") {
        let inner = tunnel.totals.iter().find(|t| t.direction == Direction::Egress).expect("egress");
        assert!(inner.counters[Total::Aggregates as usize] > 10, "{mode}: no super-packets into the tunnel");
        assert_eq!(
            inner.counters[Total::WouldFragment as usize] + inner.counters[Total::WouldDrop as usize],
            0
        );
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn native_super_packets_count_as_their_segments() {
    same_on_both_sides("bgp", Class::None);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn vxlan_super_packets_count_as_their_segments() {
    same_on_both_sides("vxlan-always", Class::Vxlan);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn ipip_super_packets_count_as_their_segments() {
    let lab = Lab::up("ipip-always", &[]);
    let real = lab.status["ipip"] == "kernel";
    drop(lab);
    if real {
        same_on_both_sides("ipip-always", Class::Ipip);
    } else {
        // The user-space tunnel sends one packet at a time.
        observer_testing::skip(observer_testing::Need::Ipip, "the lab uses user-space tunnels");
    }
}
