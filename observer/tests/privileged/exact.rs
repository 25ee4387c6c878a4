//! In each mode, with segmentation offloads off, packets and wire bytes of every device equal those of a
//! simultaneous capture and of the kernel's counters, and every path has the mode's encapsulation.

use std::time::Duration;

use observer::kernel::Options;
use observer::snapshot::{Snapshot, Vni};
use observer::topology::Scope;
use observer_common::counters::PathCounter;
use observer_common::kind::{Class, Direction};

use crate::capture::Capture;
use crate::lab::{Lab, Traffic, kernel_counters, wait_for};
use crate::watch::{Watch, counted};

/// All counters at one moment.
struct Moment {
    snapshot: Snapshot,
    kernel: Vec<Traffic>,
    captured: Vec<Traffic>,
}

/// Reads all counters once two consecutive readings are equal.
fn moment(netns: &str, devices: &[String], watch: &Watch, captures: &[Capture]) -> Moment {
    let read = || {
        let kernel: Vec<Traffic> = devices.iter().map(|device| kernel_counters(netns, device)).collect();
        let captured: Vec<Traffic> = captures.iter().map(Capture::counted).collect();
        Moment { snapshot: watch.snapshot(), kernel, captured }
    };
    let same = |a: &Moment, b: &Moment| {
        a.kernel == b.kernel
            && a.captured == b.captured
            && devices.iter().all(|device| counted(&a.snapshot, device) == counted(&b.snapshot, device))
    };
    wait_for("the counters to settle", || {
        let before = read();
        std::thread::sleep(Duration::from_millis(150));
        let after = read();
        same(&before, &after).then_some(after)
    })
}

fn added(before: Traffic, after: Traffic) -> Traffic {
    [0, 1].map(|side| (after[side].0 - before[side].0, after[side].1 - before[side].1))
}

/// Bytes that the kernel's counters of a device do not include: VXLAN devices count from the inner IP header
/// on (`iptunnel_xmit`, `vxlan_rcv`).
fn left_out(device: &str, direction: usize, kernel: Traffic, ours: Traffic) -> u64 {
    const ETHERNET: u64 = 14;
    if device.starts_with("vxlan") {
        let difference = ours[direction].1 - kernel[direction].1;
        assert!(
            difference == 0 || difference == ETHERNET * ours[direction].0,
            "{device}: a difference of {difference} bytes in {} packets is not one of Ethernet headers",
            ours[direction].0
        );
        return difference;
    }
    0
}

fn transfers(lab: &Lab) {
    for to in ["b1", "c1"] {
        for family in ["4", "6"] {
            lab.traffic(&[
                "--kind", "tcp", "--from", "a1", "--to", to, "--family", family, "--bytes", "300000",
            ]);
            lab.traffic(&[
                "--kind", "tcp", "--from", to, "--to", "a1", "--family", family, "--bytes", "100000",
            ]);
            lab.traffic(&["--kind", "rr", "--from", "a1", "--to", to, "--family", family, "--count", "20"]);
            let big = ["--kind", "udp", "--from", "a2", "--to", to, "--family", family];
            lab.traffic(&[&big[..], &["--count", "30", "--size", "1900"]].concat());
        }
    }
}

fn exact(mode: &str) {
    let lab = Lab::up(mode, &["--no-offloads"]);
    let netns = lab.netns("node-a");
    let watch = Watch::start(&netns, Options::default()).expect("attach");
    let devices: Vec<String> = watch.snapshot().devices.iter().map(|device| device.name.clone()).collect();
    let captures: Vec<Capture> = devices.iter().map(|device| Capture::start(&netns, device)).collect();
    // The first transfers resolve neighbours and path MTUs.
    transfers(&lab);
    let before = moment(&netns, &devices, &watch, &captures);
    transfers(&lab);
    let after = moment(&netns, &devices, &watch, &captures);
    for (nth, device) in devices.iter().enumerate() {
        let ours = added(counted(&before.snapshot, device), counted(&after.snapshot, device));
        let kernel = added(before.kernel[nth], after.kernel[nth]);
        let captured = added(before.captured[nth], after.captured[nth]);
        println!("{mode} {device}: {ours:?}");
        assert!(ours[0].0 > 100 && ours[1].0 > 100, "{mode}: almost no packets on {device}: {ours:?}");
        assert_eq!(ours, captured, "{mode}: {device}: Observer and tcpdump, [(packets, bytes); in, out]");
        for side in [0, 1] {
            let left_out = left_out(device, side, kernel, ours);
            let kernel = (kernel[side].0, kernel[side].1 + left_out);
            assert_eq!(
                ours[side], kernel,
                "{mode}: {device}: Observer and kernel, (packets, bytes), side {side}"
            );
        }
    }
    paths(&lab, mode, &after.snapshot);
}

/// Checks the paths from node-a to the other nodes.
fn paths(lab: &Lab, mode: &str, snapshot: &Snapshot) {
    let tunnel = match mode {
        "ipip-always" | "ipip-crosssubnet" => Some((Class::Ipip, Vni::None, 20)),
        "vxlan-always" | "vxlan-crosssubnet" => Some((Class::Vxlan, Vni::Own(4096), 50)),
        _ => None,
    };
    for (node, scope) in [("node-b", Scope::SameSubnet), ("node-c", Scope::CrossSubnet)] {
        let tunnelled = tunnel.filter(|_| mode.ends_with("always") || scope == Scope::CrossSubnet);
        let (class, vni, overhead) = tunnelled.unwrap_or((Class::None, Vni::None, 0));
        // The peer of a native packet is its next hop, which is the router for a node in another subnet.
        let peer = match (class, node) {
            (Class::None, "node-c") => lab.node("node-a")["gateway"].as_str(),
            _ => lab.node(node)["address"].as_str(),
        };
        let peer: std::net::IpAddr = peer.and_then(|peer| peer.parse().ok()).expect("an address");
        for direction in Direction::ALL {
            let path = snapshot
                .paths
                .iter()
                .find(|p| p.id.peer == peer && p.id.direction == direction && p.id.class == class)
                .unwrap_or_else(|| {
                    panic!("{mode}: no {} path to {node}: {:?}", class.label(), snapshot.paths)
                });
            assert_eq!((path.id.vni, path.scope), (vni, scope), "{mode}: {:?}", path.id);
            let get = |counter: PathCounter| path.counters[counter as usize];
            let overhead_bytes = get(PathCounter::L3Bytes) - get(PathCounter::InnerBytes);
            assert_eq!(overhead_bytes, overhead * get(PathCounter::Packets), "{mode}: {:?}", path.id);
        }
    }
    for path in &snapshot.paths {
        assert!(
            path.counters[PathCounter::Packets as usize] != 0
                || path.counters[PathCounter::Ptb as usize] != 0,
            "{mode}: an empty path {:?}",
            path.id
        );
    }
    assert!(
        snapshot.unknown_peers.is_empty(),
        "{mode}: unknown peers in a healthy lab: {:?}",
        snapshot.unknown_peers
    );
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn ipip_always_is_counted_exactly() {
    exact("ipip-always");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn ipip_cross_subnet_is_counted_exactly() {
    exact("ipip-crosssubnet");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn vxlan_always_is_counted_exactly() {
    exact("vxlan-always");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn vxlan_cross_subnet_is_counted_exactly() {
    exact("vxlan-crosssubnet");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn bgp_is_counted_exactly() {
    exact("bgp");
}
