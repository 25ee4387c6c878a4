//! The packet-size histogram on a node: it includes every IP packet once, and predicts which packets would not fit
//! after a mode switch.

use observer::kernel::Options;
use observer::model::Report;
use observer::model::whatif::{Carriage, Share, would_not_fit};
use observer::snapshot::Snapshot;
use observer_common::counters::Total;
use observer_common::kind::{Class, Direction};

use crate::lab::{Lab, wait_for};
use crate::watch::{Watch, total};

const NAME: &str = "observer-sizes";

/// With offloads on, every segment of a super-packet is in the histogram.
fn histogram_is_complete(mode: &str) {
    let lab = Lab::up_named(NAME, mode, &[]);
    let watch = Watch::start(&lab.netns("node-a"), Options::default()).expect("attach");
    for (from, to) in [("a1", "b1"), ("a1", "c1"), ("c1", "a1")] {
        for family in ["4", "6"] {
            lab.traffic(&[
                "--kind", "tcp", "--from", from, "--to", to, "--family", family, "--bytes", "1000000",
            ]);
        }
    }
    for size in ["100", "1200", "1900"] {
        lab.traffic(&["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "30", "--size", size]);
    }
    // A reading during traffic may include a packet in a counter but not yet in the histogram.
    let snapshot = wait_for("complete histograms", || {
        let snapshot = watch.snapshot();
        let whole = snapshot.devices.iter().flat_map(|d| &d.totals).all(|row| {
            let is_ip = !matches!(row.class, Class::NonIp | Class::Malformed);
            let sum: u64 = row.sizes.iter().sum();
            sum == if is_ip { row.counters[Total::Packets as usize] } else { 0 }
        });
        whole.then_some(snapshot)
    });
    let (mut packets, mut aggregates) = (0, 0);
    for device in &snapshot.devices {
        for row in &device.totals {
            let get = |counter: Total| row.counters[counter as usize];
            let row_name = format!("{mode}: {} {} {}", device.name, row.direction.label(), row.class.label());
            assert!(
                get(Total::Largest) <= u64::from(device.mtu),
                "{row_name}: {} bytes",
                get(Total::Largest)
            );
            assert_eq!(get(Total::Oversized), 0, "{row_name}");
            // The largest packet is in the highest class that is not empty.
            if let Some(class) = row.sizes.iter().rposition(|count| *count != 0) {
                let above = class.checked_sub(1).map_or(0, |below| snapshot.size_bounds[below]);
                let largest = get(Total::Largest) as u32;
                assert!(largest > above, "{row_name}: {largest} in the class above {above}");
                let bound = snapshot.size_bounds.get(class);
                assert!(bound.is_none_or(|bound| largest <= *bound), "{row_name}: {largest}, {bound:?}");
            }
            packets += get(Total::Packets);
            aggregates += get(Total::Aggregates);
        }
    }
    println!(
        "sizes {mode}: {packets} packets on {} devices, {aggregates} super-packets",
        snapshot.devices.len()
    );
    assert!(packets > 3_000 && aggregates > 20, "{mode}: {packets} packets, {aggregates} super-packets");
    for device in &snapshot.devices {
        assert!(snapshot.size_bounds.contains(&device.mtu), "{}'s MTU is a bound", device.name);
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn histogram_includes_every_packet_in_bgp_mode() {
    histogram_is_complete("bgp");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn histogram_includes_every_packet_in_vxlan_mode() {
    histogram_is_complete("vxlan-always");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn histogram_includes_every_packet_in_ipip_mode() {
    histogram_is_complete("ipip-always");
}

/// Number of native egress packets, and how many of them would not fit.
fn what_if(snapshot: &Snapshot, mtu: u32, planned: Carriage) -> Share {
    let report = Report::total(snapshot);
    let row = report
        .rows
        .iter()
        .find(|r| r.device == "eth0" && r.direction == Direction::Egress && r.class == Class::None)
        .expect("native egress packets");
    let now = Carriage::over_ipv4(Class::None);
    would_not_fit(&report.size_bounds, &row.sizes, now, mtu, planned).expect("both carry packets")
}

/// Datagrams of known sizes on both sides of each limit: the number that would not fit after a mode switch is
/// exact.
#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn mode_switch_prediction_is_exact() {
    const HEADERS: u32 = 28;
    let lab = Lab::up_named(NAME, "bgp", &[]);
    let watch = Watch::start(&lab.netns("node-a"), Options::default()).expect("attach");
    let sent = [(1000, 3), (1430, 5), (1431, 7), (1440, 11), (1441, 13), (1450, 17), (1451, 19), (1480, 23)];
    let sent: Vec<(u32, u64)> = sent.into_iter().chain([(1481, 29), (1500, 31)]).collect();
    for (size, count) in &sent {
        let (count, size) = (count.to_string(), (size - HEADERS).to_string());
        let what = ["--kind", "udp", "--from", "a2", "--to", "b1", "--dont-fragment"];
        lab.traffic(&[&what[..], &["--count", &count, "--size", &size]].concat());
    }
    let above = |limit: u32| -> u64 { sent.iter().filter(|(size, _)| *size > limit).map(|(_, n)| n).sum() };
    let snapshot = wait_for("all datagrams", || {
        let snapshot = watch.snapshot();
        let ours = what_if(&snapshot, 1500, Carriage::over_ipv6(Class::Wireguard));
        (ours.least >= above(1420)).then_some(snapshot)
    });
    for (mtu, planned, room) in [
        (1500, Carriage::over_ipv4(Class::Ipip), 1480),
        (1500, Carriage::over_ipv4(Class::Vxlan), 1450),
        (1500, Carriage::over_ipv6(Class::Vxlan), 1430),
        (1500, Carriage::over_ipv4(Class::Wireguard), 1440),
        (1500, Carriage::over_ipv4(Class::None), 1500),
        (1480, Carriage::over_ipv4(Class::Vxlan), 1430),
    ] {
        let share = what_if(&snapshot, mtu, planned);
        println!(
            "sizes: at MTU {mtu} with {}: {} of {} do not fit",
            planned.class.label(),
            share.least,
            share.packets
        );
        assert!(share.exact, "{mtu} {planned:?}: {share:?}");
        assert_eq!(share.least, above(room), "{mtu} {planned:?}");
    }
    let gre = what_if(&snapshot, 1500, Carriage::over_ipv4(Class::Gre));
    assert_eq!(
        (gre.exact, gre.least, gre.most),
        (false, above(1480), above(1460)),
        "1476 is not a bound of a size class"
    );
    assert_eq!(total(&snapshot, "eth0", Direction::Egress, Total::Largest), 1500);
}
