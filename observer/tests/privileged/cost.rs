//! The cost of encapsulation, measured in a lab: every tunnel packet is found, and unknown figures stay
//! unknown.

use std::time::Duration;

use observer::cost::Offload;
use observer::kernel::{Measure, Options};
use observer::model::{CostReport, SpanRow};
use observer_common::kind::{Class, Direction};

use crate::lab::{Lab, wait_for};
use crate::watch::Watch;

fn options(sample: Option<u32>) -> Options {
    Options { cost: sample.map(|sample| Measure { sample, hooks: false }), ..Options::default() }
}

fn span<'a>(report: &'a CostReport, device: &str, direction: Direction) -> &'a SpanRow {
    let found = report.spans.iter().find(|span| span.device == device && span.direction == direction);
    found.expect("the tunnel device has a row")
}

/// Whether a measurement is missing on this kernel.
fn lacks(report: &CostReport, what: &str) -> bool {
    let lacks = report.missing.iter().any(|missing| missing.starts_with(what));
    if lacks {
        observer_testing::skip(observer_testing::Need::CostPrograms, &format!("{:?}", report.missing));
    }
    lacks
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn cost_is_absent_unless_requested() {
    let lab = Lab::up("vxlan-always", &[]);
    let watch = Watch::start(&lab.netns("node-a"), options(None)).expect("attach");
    assert_eq!(watch.snapshot().cost, None);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn cost_of_vxlan_is_measured_in_both_directions() {
    tunnel_is_measured("vxlan-always", "vxlan.calico", Class::Vxlan);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn cost_of_ipip_is_measured_in_both_directions() {
    tunnel_is_measured("ipip-always", "tunl0", Class::Ipip);
}

/// Sends datagrams one way. Each must be measured as encapsulated at one node and decapsulated at the other.
fn tunnel_is_measured(mode: &str, device: &str, class: Class) {
    const DATAGRAMS: u64 = 200;
    let lab = Lab::up(mode, &["--no-offloads"]);
    if lab.status["ipip"] == "user-space" && class == Class::Ipip {
        observer_testing::skip(observer_testing::Need::Ipip, "the lab uses user-space tunnels");
        return;
    }
    let watches =
        ["node-a", "node-c"].map(|node| Watch::start(&lab.netns(node), options(Some(1))).expect("attach"));
    let before = watches.each_ref().map(|watch| watch.cost());
    // The node itself may have sent packets (neighbour discovery) since the programs were attached.
    for row in before[0].spans.iter().filter(|row| row.measured == (0, 0)) {
        assert_eq!((row.packet, row.percentiles, row.own), (None, None, None), "nothing is measured yet");
    }
    let count = DATAGRAMS.to_string();
    let sent =
        lab.traffic(&["--kind", "udp", "--from", "a1", "--to", "c1", "--size", "500", "--count", &count]);
    assert_eq!(sent["received"], DATAGRAMS, "{sent}");
    for (watch, direction) in watches.iter().zip([Direction::Egress, Direction::Ingress]) {
        let report = wait_for("all datagrams to be measured", || {
            let report = watch.cost();
            let done = span(&report, device, direction).measured.1 + unfinished(&report) >= DATAGRAMS;
            (done || lacks(&report, "encapsulation") || lacks(&report, "decapsulation")).then_some(report)
        });
        assert!(report.missing.is_empty(), "{:?}", report.missing);
        let row = span(&report, device, direction);
        assert_eq!(row.class, class);
        assert!(row.measured.1 >= DATAGRAMS * 9 / 10, "{row:?}, {:?}", report.discarded);
        assert!(row.packet.is_some_and(|ns| ns > 0.0), "{row:?}");
        assert!(row.cpu.is_some_and(|share| share > 0.0), "{row:?}");
        assert_eq!(report.discarded.unreadable, 0, "the offsets match this kernel");
        assert!(report.softirqs.iter().any(|cpu| cpu.receive.is_some_and(|share| share > 0.0)));
    }
}

/// Packets whose start was measured, but not their end.
fn unfinished(report: &CostReport) -> u64 {
    report.discarded.unsent + report.discarded.undelivered + report.discarded.interrupted
}

/// Sends TCP from a pod through a tunnel, and returns where its skbs were segmented and checksummed.
fn offload_of(lab: &Lab, watch: &Watch, device: &str) -> Option<Offload> {
    let before = span(&watch.cost(), device, Direction::Egress).offload;
    lab.traffic(&["--kind", "tcp", "--from", "a1", "--to", "c1", "--bytes", "4000000"]);
    wait_for("GSO skbs", || {
        let report = watch.cost();
        if lacks(&report, "segmentation in software") {
            return Some(None);
        }
        let offload = span(&report, device, Direction::Egress).offload.since(before);
        (offload.whole + offload.cut > 10).then_some(Some(offload))
    })
}

/// Switches a device's offloads as `ethtool -K` does.
fn switch(lab: &Lab, device: &str, features: &[&str]) {
    let mut command = vec!["ethtool", "-K", device];
    command.extend(features);
    lab.exec("node-a", &command);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn cost_reports_software_segmentation_and_checksums() {
    let lab = Lab::up("vxlan-always", &[]);
    let watch = Watch::start(&lab.netns("node-a"), options(Some(1))).expect("attach");
    let Some(all) = offload_of(&lab, &watch, "vxlan.calico") else { return };
    println!("offload at the underlay: {all:?}");
    assert_eq!((all.cut, all.segments, all.summed), (0, 0, 0), "{all:?}");

    // Like a NIC with TCP offload but without tunnel offload.
    switch(&lab, "eth0", &["tx-udp_tnl-segmentation", "off", "tx-udp_tnl-csum-segmentation", "off"]);
    let cut = offload_of(&lab, &watch, "vxlan.calico").expect("as before");
    println!("no tunnel offload at the underlay: {cut:?}");
    // On each CPU, the last skb passed on is only counted when the next one comes.
    assert!(cut.whole <= 8 && cut.segments > cut.cut, "{cut:?}");
    assert_eq!(cut.summed, 0, "{cut:?}");

    // Like Calico's `checksumOffloadBroken`: no work is left for after the tunnel.
    switch(&lab, "eth0", &["tx-udp_tnl-segmentation", "on", "tx-udp_tnl-csum-segmentation", "on"]);
    switch(&lab, "vxlan.calico", &["tx", "off"]);
    let before = offload_of(&lab, &watch, "vxlan.calico").expect("as before");
    println!("no offload at the tunnel device: {before:?}");
    assert!(before.whole <= 8 && before.cut > 10 && before.left <= 8, "{before:?}");
    assert!(before.summed > 0, "checksums of single packets are computed in software: {before:?}");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn cost_reports_tcp_round_trips_by_peer() {
    let lab = Lab::up("vxlan-always", &[]);
    let watch = Watch::start(&lab.netns("node-a"), options(Some(1))).expect("attach");
    lab.traffic(&["--kind", "tcp", "--from", "a1", "--to", "c1", "--bytes", "2000000"]);
    let report = wait_for("a round-trip time", || {
        let report = watch.cost();
        (!report.tcp.is_empty() || lacks(&report, "round-trip times")).then_some(report)
    });
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    let peer = lab.node("node-c")["address"].as_str().map(str::to_owned);
    let row = report.tcp.iter().find(|row| row.class == Class::Vxlan && !row.peer.is_ipv6());
    let row = row.expect("a row for the VXLAN peer");
    println!("{peer:?}: {row:?}");
    let [median, _, ninety_nine] = row.percentiles.expect("samples");
    assert!(median > 0.0 && median <= ninety_nine, "{row:?}");
    assert!(row.mean.is_some_and(|mean| mean < Duration::from_secs(10).as_secs_f64() * 1e3));
}
