//! Comparisons of simulated nodes.

use std::time::Duration;

use observer_common::counters::Total;
use observer_common::kind::{Class, Direction};

use super::*;
use crate::recording::Header;
use crate::snapshot::{Hook, Snapshot};
use crate::topology::{Role, Scope};
use crate::view::fixture;

/// The fixture without a tunnel within the subnet.
fn untunnelled(mut snapshot: Snapshot) -> Snapshot {
    for path in &mut snapshot.paths {
        if path.scope == Scope::SameSubnet && path.id.class == Class::Vxlan {
            path.id.class = Class::None;
        }
    }
    for direction in Direction::ALL {
        let device = &mut snapshot.devices[0];
        let near: u64 = snapshot
            .paths
            .iter()
            .filter(|path| path.id.direction == direction && path.id.class == Class::None)
            .map(|path| path.counters[0])
            .sum();
        let row = |class| device.totals.iter().position(|t| t.direction == direction && t.class == class);
        let (native, vxlan) = (row(Class::None).expect("native"), row(Class::Vxlan).expect("vxlan"));
        let moved = near - device.totals[native].counters[0];
        let size = if direction == Direction::Egress { 1_500 } else { 102 };
        let all = |counters: &mut [u64], add: bool, sizes: [u64; 4]| {
            for (counter, value) in counters.iter_mut().zip(sizes) {
                *counter = if add { *counter + value } else { *counter - value };
            }
        };
        all(
            &mut device.totals[vxlan].counters[..4],
            false,
            [moved, moved * (size + 14), moved * size, moved * (size - 50)],
        );
        all(
            &mut device.totals[native].counters[..4],
            true,
            [moved, moved * (size - 36), moved * (size - 50), moved * (size - 50)],
        );
    }
    snapshot.routing.retain(|way| way.class == Class::None || way.scope == Scope::CrossSubnet);
    snapshot
}

fn side(name: &str, seconds: impl Iterator<Item = u64>, of: impl Fn(u64) -> Snapshot) -> Side {
    let mut reading = Reading::new(name, &Header::default());
    for second in seconds {
        reading.push(of(second));
    }
    Side::of(vec![reading.finish(None)])
}

fn verdicts(comparison: &Comparison) -> Vec<(&'static str, &'static str)> {
    comparison.verdicts.iter().map(|v| (v.aim.label(), v.outcome.label())).collect()
}

/// Two whole waves of the fixture's traffic on each side.
fn switched() -> Comparison {
    let before = side("before.json", 10..=90, fixture::snapshot);
    let after = side("after.json", 210..=290, |second| untunnelled(fixture::snapshot(second)));
    Comparison::of(before, after)
}

#[test]
fn a_mode_switch_is_detected_and_attributed_to_the_mode() {
    let comparison = switched();
    let value = |id: &str| {
        let row = comparison.row(id).expect("a metric");
        (row.before.expect("before").value, row.after.expect("after").value, row.change.expect("change"))
    };
    let (b, a, change) = value("encapsulated_packets");
    // Rates: tunnelled 42,000 + 19,000 near, 8,400 + 3,900 far; native 2 × 6,000.
    assert!((b - 73_300.0 / 85_300.0).abs() < 0.005, "{b}");
    assert!((a - 12_300.0 / 85_300.0).abs() < 0.005, "{a}");
    assert_eq!(change.is_clear(), Some(true));
    let parts = comparison.decomposition.as_ref().expect("traffic");
    let sum: f64 = parts.effects.iter().map(|(_, change)| change.value).sum();
    assert!((sum - (parts.ratios[1] - parts.ratios[0])).abs() < 1e-9, "{parts:?}");
    assert!((parts.mode.value + parts.traffic.value - sum).abs() < 1e-9);
    // The traffic is the same: the mode explains all of it.
    assert!(parts.traffic.value.abs() < 0.03 * sum.abs(), "{parts:?}");
    assert!((parts.expected.value - parts.ratios[1]).abs() < 0.001, "{parts:?}");
    assert_eq!(
        verdicts(&comparison),
        [
            ("less_encapsulation", "reached"),
            ("less_overhead", "reached"),
            // Fragments have a different wave than the other traffic.
            ("fewer_fragments", "inconclusive"),
            ("no_new_oversized", "reached"),
            ("latency", "inconclusive"),
            ("cpu", "inconclusive"),
        ]
    );
}

fn figure(comparison: &Comparison, id: &str) -> [Option<f64>; 2] {
    let row = comparison.row(id).expect("a metric");
    [row.before, row.after].map(|estimate| estimate.map(|estimate| estimate.value))
}

fn verdict_on(comparison: &Comparison, aim: Aim) -> &Verdict {
    comparison.verdicts.iter().find(|verdict| verdict.aim == aim).expect("a verdict")
}

#[test]
fn the_cost_is_compared_if_both_sides_have_it() {
    let sides = || (side("a", 10..=90, fixture::with_cost), side("b", 210..=290, fixture::with_cost));
    let comparison = Comparison::of(sides().0, sides().1);
    let near = |id: &str, expected: f64| {
        for value in figure(&comparison, id) {
            let value = value.unwrap_or_else(|| panic!("{id} is measured"));
            assert!((value / expected - 1.0).abs() < 0.03, "{id}: {value} instead of {expected}");
        }
    };
    // Nine of ten skbs have the first value, one has the second; ten packets per sent skb.
    near("encapsulate_time", (0.9 * 980.0 + 0.1 * 1_900.0) / 10.0);
    near("decapsulate_time", 0.9 * 1_150.0 + 0.1 * 2_350.0);
    // Per second, 50,400 packets leave through the tunnel device and 22,900 arrive; 85,300 are pod packets.
    let time = 50_400.0 * 107.2 + 22_900.0 * 1_270.0;
    near("encapsulation_cpu", time / 1e9);
    near("encapsulation_time", time / 85_300.0);
    near("softirq", (0.185 + 0.064) / 2.0);
    // 20 of 56,400 packets that leave.
    near("retransmits", 20.0 / 56_400.0);
    let [native, tunnelled] =
        ["rtt_native_p50", "rtt_tunnelled_p50"].map(|id| figure(&comparison, id)[0].expect("measured"));
    assert!(
        (native / 140.0 - 1.0).abs() < 0.07 && (tunnelled / 185.0 - 1.0).abs() < 0.07,
        "{native} {tunnelled}"
    );
    let row = comparison.row("rtt_p99").expect("a metric");
    assert!(row.is_shown() && row.before.expect("measured").margin.is_some());
    assert_eq!(verdict_on(&comparison, Aim::Cpu).outcome, Outcome::NotReached);
}

#[test]
fn a_cost_missing_on_one_side_is_not_measured_instead_of_zero() {
    let with_cost = || side("a", 10..=90, fixture::with_cost);
    let comparison = Comparison::of(with_cost(), side("b", 210..=290, fixture::snapshot));
    for id in ["rtt", "rtt_p50", "retransmits", "encapsulation_time", "encapsulation_cpu", "softirq"] {
        let [before, after] = figure(&comparison, id);
        assert!(before.is_some() && after.is_none(), "{id}: {before:?} {after:?}");
        assert!(comparison.row(id).expect("a metric").change.is_none());
    }
    assert_eq!(verdict_on(&comparison, Aim::Cpu).reason, "not measured");
    // A single interval without the cost makes the whole unknown.
    let gap =
        side(
            "a",
            10..=90,
            |second| if second == 50 { fixture::snapshot(50) } else { fixture::with_cost(second) },
        );
    assert_eq!(figure(&Comparison::of(with_cost(), gap), "rtt")[1], None);
    // A measurement that the kernel does not support, and a tunnel without a measured device.
    let change = |of: fn(&mut Snapshot)| {
        let after = side("b", 210..=290, |second| {
            let mut snapshot = fixture::with_cost(second);
            of(&mut snapshot);
            snapshot
        });
        Comparison::of(with_cost(), after)
    };
    let lacking = change(|snapshot| {
        let cost = snapshot.cost.as_mut().expect("it is measured");
        cost.missing = vec!["decapsulation: this kernel does not allow tracing netif_rx".to_owned()];
    });
    assert_eq!(figure(&lacking, "encapsulation_cpu")[1], None);
    assert!(figure(&lacking, "rtt")[1].is_some());
    let unseen = change(|snapshot| snapshot.cost.as_mut().expect("it is measured").spans.clear());
    assert_eq!(figure(&unseen, "encapsulation_cpu")[1], None);
}

#[test]
fn devices_read_at_different_times_do_not_look_like_an_unmeasured_tunnel() {
    // A reading in the middle of a burst: the tunnel device is not updated yet.
    let late = |second| {
        let mut snapshot = fixture::with_cost(second);
        if second == 50 {
            let earlier = fixture::with_cost(49);
            for (device, before) in snapshot.devices.iter_mut().zip(earlier.devices) {
                if device.role == Role::Tunnel {
                    device.totals = before.totals;
                }
            }
        }
        snapshot
    };
    let comparison = Comparison::of(side("a", 10..=90, fixture::with_cost), side("b", 10..=90, late));
    for id in ["encapsulate_time", "encapsulation_cpu"] {
        let [known, found] = figure(&comparison, id);
        let (known, found) = (known.expect("measured"), found.expect("measured"));
        assert!((found / known - 1.0).abs() < 0.001, "{id}: {found} instead of {known}");
    }
}

#[test]
fn a_faster_machine_is_not_attributed_to_the_mode() {
    let faster = |second| {
        let mut snapshot = fixture::with_cost(second);
        let cost = snapshot.cost.as_mut().expect("it is measured");
        cost.spans.iter_mut().for_each(|span| span.time = span.time * 3 / 4);
        snapshot
    };
    let comparison = Comparison::of(side("a", 10..=90, fixture::with_cost), side("b", 210..=290, faster));
    let row = comparison.row("encapsulation_time").expect("a metric");
    assert!(row.change.expect("measured").value < -90.0, "{row:?}");
    let verdict = verdict_on(&comparison, Aim::Cpu);
    assert_eq!(verdict.outcome, Outcome::NotReached, "{verdict:?}");
    assert!(comparison.remarks.iter().any(|remark| remark.id == "other_load"));
}

#[test]
fn without_tunnels_the_cost_is_zero_and_not_unknown() {
    let native = |second| {
        let mut snapshot = fixture::with_cost(second);
        snapshot.devices.remove(1);
        snapshot.devices[0].totals.retain(|totals| totals.class != Class::Vxlan);
        snapshot.paths.retain(|path| path.id.class != Class::Vxlan);
        snapshot.cost.as_mut().expect("it is measured").spans.clear();
        snapshot
    };
    let comparison = Comparison::of(side("a", 10..=90, fixture::with_cost), side("b", 210..=290, native));
    assert_eq!(figure(&comparison, "encapsulation_cpu")[1], Some(0.0));
    assert_eq!(figure(&comparison, "encapsulate_time")[1], None, "no packet was encapsulated");
    let verdict = verdict_on(&comparison, Aim::Cpu);
    assert_eq!((verdict.outcome, verdict.metric), (Outcome::Reached, Some("encapsulation_time")));
}

#[test]
fn without_a_change_no_change_is_reported() {
    let (before, after) = (side("a", 10..=90, fixture::snapshot), side("b", 210..=290, fixture::snapshot));
    let comparison = Comparison::of(before, after);
    for row in &comparison.rows {
        if let Some(change) = row.change.filter(|_| !row.metric.is_maximum()) {
            assert_eq!(change.is_clear(), Some(false), "{}: {change:?}", row.metric.id);
        }
    }
    assert!(
        comparison.verdicts[..2].iter().all(|v| v.outcome == Outcome::NotReached),
        "{:?}",
        comparison.verdicts
    );
    assert!(
        comparison.remarks.iter().all(|remark| remark.weight == Weight::Note),
        "{:?}",
        comparison.remarks
    );
    let shares: f64 = comparison.sizes.iter().filter_map(|class| class.shares[0]).sum();
    assert!((shares - 1.0).abs() < 1e-9);
}

#[test]
fn the_reverse_switch_is_worse() {
    let before = side("before.json", 10..=90, |second| untunnelled(fixture::snapshot(second)));
    let comparison = Comparison::of(before, side("after.json", 210..=290, fixture::snapshot));
    let found = verdicts(&comparison);
    assert_eq!(found[..2], [("less_encapsulation", "worse"), ("less_overhead", "worse")]);
}

#[test]
fn smaller_packets_are_not_attributed_to_the_mode() {
    // Every packet has half its inner bytes: the overhead ratio nearly doubles.
    let halved = |second| {
        let mut snapshot = fixture::snapshot(second);
        for device in &mut snapshot.devices {
            for totals in &mut device.totals {
                let inner = totals.counters[Total::InnerBytes as usize] / 2;
                totals.counters[Total::L3Bytes as usize] -= inner;
                totals.counters[Total::InnerBytes as usize] -= inner;
            }
        }
        snapshot
    };
    let comparison = Comparison::of(side("a", 10..=90, fixture::snapshot), side("b", 210..=290, halved));
    let parts = comparison.decomposition.as_ref().expect("traffic");
    assert!(parts.ratios[1] > parts.ratios[0] * 1.7);
    assert!(parts.mode.value.abs() < 0.001 && parts.traffic.value > 0.03, "{parts:?}");
    assert!(comparison.remarks.iter().any(|remark| remark.id == "packet_sizes"));
    let overhead = &comparison.verdicts[1];
    assert_eq!(overhead.outcome, Outcome::NotReached, "{overhead:?}");
}

#[test]
fn unwatched_intervals_are_skipped_and_reported() {
    let lost = |second| match second {
        30..50 => fixture::lost(second, 30),
        _ => fixture::snapshot(second),
    };
    let before = side("before.json", 10..=90, lost);
    // The intervals that end at 30 to 49, and the one in which the hook was re-attached.
    assert_eq!(before.skipped(), (21, 80));
    let comparison = Comparison::of(before, side("after.json", 210..=290, fixture::snapshot));
    let ids: Vec<&str> = comparison.remarks.iter().map(|remark| remark.id).collect();
    assert!(ids.contains(&"intervals_skipped") && ids.contains(&"lost_hooks"), "{ids:?}");
    let row = comparison.row("overhead_ratio").expect("a metric");
    assert!(row.change.expect("measured").value.abs() < 0.002, "{row:?}");
    // Nothing measured at all: no verdict.
    let never = side("before.json", 10..=20, |second| {
        let mut snapshot = fixture::snapshot(second);
        snapshot.devices[0].hooks = [Hook::None; 2];
        snapshot
    });
    let comparison = Comparison::of(never, side("after.json", 210..=290, fixture::snapshot));
    assert!(comparison.verdicts.iter().all(|verdict| verdict.outcome == Outcome::Inconclusive));
    assert!(comparison.verdicts[0].reason.contains("no interval was measured"));
    assert_eq!(comparison.decomposition, None);
}

#[test]
fn a_switch_during_a_recording_voids_the_comparison() {
    let middle = |second| match second {
        0..50 => fixture::snapshot(second),
        _ => untunnelled(fixture::snapshot(second)),
    };
    let comparison = Comparison::of(side("a", 10..=90, middle), side("b", 210..=290, fixture::snapshot));
    assert_eq!(comparison.remarks[0].id, "mode_changed");
    assert!(comparison.verdicts.iter().all(|verdict| verdict.outcome == Outcome::Inconclusive));
}

#[test]
fn identical_nodes_do_not_narrow_the_confidence_interval() {
    let reading = || {
        let mut reading = Reading::new("a", &Header { node: "a".to_owned(), ..Header::default() });
        (10..=90).for_each(|second| reading.push(fixture::snapshot(second)));
        reading.finish(None)
    };
    let (one, two) = (Side::of(vec![reading()]), Side::of(vec![reading(), reading()]));
    assert_eq!(two.length(), Duration::from_secs(160));
    let of = |side: &Side| estimate(side, |s| s.pods().overhead_ratio()).expect("traffic");
    assert!((of(&one).value - of(&two).value).abs() < 1e-12);
    assert!((of(&one).margin.expect("enough") - of(&two).margin.expect("enough")).abs() < 1e-9);
    let rate = METRICS.iter().find(|metric| metric.id == "packet_rate").expect("a metric");
    assert!((rate.of(&one.total).expect("a rate") - rate.of(&two.total).expect("a rate")).abs() < 1e-6);
}
