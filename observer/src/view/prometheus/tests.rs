//! The exposition compared with its list, and the selection of paths.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::snapshot::{PathId, Vni};
use crate::topology::Scope;
use crate::view::fixture;
use observer_common::counters::{PATH_COUNTERS, PathCounter};
use observer_common::kind::{Class, Direction};

fn scrape() -> Scrape {
    let mut snapshot = fixture::with_cost(60);
    snapshot.programs = vec![crate::snapshot::Program {
        name: "observer_in".to_owned(),
        runs: 7,
        run_time: Duration::from_micros(3),
    }];
    let paths = Selection::default().choose(&snapshot.paths, 2);
    let own = Own {
        cpu: Some(Duration::from_secs(2)),
        resident: Some(20 << 20),
        unwatched: Duration::from_millis(1_500),
        layout: 1,
        peers: 2,
        ..Own::default()
    };
    Scrape { snapshot, paths, own }
}

#[test]
fn exactly_the_listed_families_are_written() {
    let text = text(scrape(), Form::Classic).expect("text");
    let written: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, _)| name)
        .collect();
    let listed: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(written, listed);
}

#[test]
fn samples_have_the_labels_of_the_list() {
    let text = text(scrape(), Form::OpenMetrics).expect("text");
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let family = FAMILIES
            .iter()
            .find(|family| match family.kind {
                Kind::Histogram => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|suffix| name.strip_suffix(suffix) == Some(family.name)),
                _ => name == family.name,
            })
            .unwrap_or_else(|| panic!("{name} is not in the list"));
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.split_once('}').expect("an end").0);
        let labels: Vec<&str> = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        assert_eq!(labels, family.labels, "{line}");
        seen.insert(family.name);
    }
    let missing: Vec<&str> =
        FAMILIES.iter().map(|family| family.name).filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "the fixture has no sample of {missing:?}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_documented_list_is_the_list() {
    let page = include_str!("../../../../docs/metrics.md");
    let documented: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let listed: Vec<String> = FAMILIES
        .iter()
        .map(|family| {
            let labels = if family.labels.is_empty() { "—".to_owned() } else { family.labels.join(", ") };
            format!("| `{}` | {} | {labels} | {} |", family.name, family.kind.label(), family.help)
        })
        .collect();
    assert_eq!(documented, listed, "docs/metrics.md should have:\n{}", listed.join("\n"));
}

#[test]
fn every_histogram_ends_with_infinity() {
    // Without this bucket Prometheus cannot compute quantiles.
    let text = text(scrape(), Form::OpenMetrics).expect("text");
    for family in FAMILIES.iter().filter(|family| family.kind == Kind::Histogram) {
        let count = |suffix: &str, label: &str| {
            let name = format!("{}{suffix}{{", family.name);
            text.lines().filter(|line| line.starts_with(&name) && line.contains(label)).count()
        };
        assert_eq!(count("_bucket", "le=\"+Inf\""), count("_count", ""), "{}", family.name);
    }
}

#[test]
fn buckets_are_cumulative_and_end_with_everything() {
    let text = text(scrape(), Form::Classic).expect("text");
    let of_row = |line: &&str| line.contains("device=\"eth0\",direction=\"egress\",encapsulation=\"vxlan\"");
    let value = |line: &str| line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number");
    let buckets: Vec<f64> = text
        .lines()
        .filter(|line| line.starts_with("observer_packet_size_bytes_bucket"))
        .filter(of_row)
        .map(value)
        .collect();
    assert!(buckets.is_sorted() && buckets.len() == 10, "{buckets:?}");
    let packets = text.lines().filter(|line| line.starts_with("observer_packets_total")).find(|line| {
        line.contains("device=\"eth0\",role=\"underlay\",direction=\"egress\",encapsulation=\"vxlan\"")
    });
    assert_eq!(buckets.last().copied(), packets.map(value));
}

fn path(peer: u8, bytes: u64) -> crate::snapshot::Path {
    let mut counters = [0; PATH_COUNTERS];
    counters[PathCounter::WireBytes as usize] = bytes;
    let id = PathId {
        device: "eth0".into(),
        direction: Direction::Egress,
        class: Class::Ipip,
        vni: Vni::None,
        peer: [10, 0, 0, peer].into(),
        local: None,
    };
    crate::snapshot::Path { id, scope: Scope::SameSubnet, counters }
}

/// Exported paths: the last byte of the peer's address, or 0 for `other`, and wire bytes.
fn exported(selection: &mut Selection, paths: &[(u8, u64)], limit: usize) -> Vec<(u8, u64)> {
    let paths: Vec<_> = paths.iter().map(|(peer, bytes)| path(*peer, *bytes)).collect();
    let of_peer = |named: &Named| match named.peer {
        Some((_, std::net::IpAddr::V4(four), _)) => four.octets()[3],
        _ => 0,
    };
    let chosen = selection.choose(&paths, limit);
    chosen.iter().map(|named| (of_peer(named), named.figures.get(PathCounter::WireBytes))).collect()
}

#[test]
fn no_series_decreases_when_peers_are_replaced() {
    let mut selection = Selection::default();
    assert_eq!(exported(&mut selection, &[(1, 100), (2, 50), (3, 10)], 2), [(1, 100), (2, 50), (0, 10)]);
    // Larger, but not twice as large: no change.
    assert_eq!(exported(&mut selection, &[(1, 100), (2, 50), (3, 90)], 2), [(1, 100), (2, 50), (0, 90)]);
    // Peer 3 is added and starts at 0: its earlier counts stay with `other`. Peer 2 is removed: only its later counts
    // are added to `other`.
    assert_eq!(exported(&mut selection, &[(1, 100), (2, 50), (3, 200)], 2), [(1, 100), (3, 0), (0, 200)]);
    assert_eq!(exported(&mut selection, &[(1, 100), (2, 55), (3, 230)], 2), [(1, 100), (3, 30), (0, 205)]);
    // Peer 2 returns and continues at its previous count.
    assert_eq!(exported(&mut selection, &[(1, 100), (2, 900), (3, 230)], 2), [(2, 50), (3, 30), (0, 1_050)]);
    assert_eq!(exported(&mut selection, &[(1, 107), (2, 903), (3, 230)], 2), [(2, 53), (3, 30), (0, 1_057)]);
}

#[test]
fn a_new_peer_keeps_its_counts_and_the_limit_holds() {
    let mut selection = Selection::default();
    assert_eq!(exported(&mut selection, &[(1, 5)], 2), [(1, 5)]);
    assert_eq!(exported(&mut selection, &[(1, 5), (2, 7)], 2), [(1, 5), (2, 7)]);
    assert_eq!(exported(&mut selection, &[(1, 5), (2, 7)], 0), [(0, 0)]);
    assert_eq!(exported(&mut selection, &[(1, 6), (2, 9)], 0), [(0, 3)]);
}

#[test]
fn a_restart_does_not_change_series() {
    let mut selection = Selection::default();
    exported(&mut selection, &[(1, 100), (2, 50), (3, 10)], 2);
    exported(&mut selection, &[(1, 100), (2, 50), (3, 200)], 2);
    let before = exported(&mut selection, &[(1, 101), (2, 55), (3, 230)], 2);
    let saved = selection.changed().expect("peer 3 was added");
    assert_eq!(selection.changed(), None);
    let mut next = Selection::resume(&saved);
    assert_eq!(exported(&mut next, &[(1, 101), (2, 55), (3, 230)], 2), before);
    // A path that was part of `other` before the restart starts at 0 when it is selected.
    assert_eq!(
        exported(&mut next, &[(1, 101), (2, 900), (3, 230)], 3),
        [(1, 101), (2, 50), (3, 30), (0, 1_050)]
    );
}
