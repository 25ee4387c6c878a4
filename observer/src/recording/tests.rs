//! Recordings are read back exactly; damage is reported with its line.

use std::io::{self, BufReader, Cursor, Write};
use std::time::Duration;

use observer_common::abi::SIZE_CLASSES;
use observer_common::cost::BUCKETS;
use observer_common::counters::{EVENTS, PATH_COUNTERS, TOTALS};
use observer_common::kind::{Class, Direction};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::{End, Header, Recording, Writer};
use crate::cost::{Cost, Discarded, Drops, HookRttPath, Offload, Softirq, Span, TcpPath};
use crate::snapshot::{
    Device, Fill, Hook, Path, PathId, Program, Routing, Snapshot, Totals, Tunnel, UnknownPeer, Vni,
};
use crate::topology::{Role, Scope};
use crate::view::fixture;

fn header() -> Header {
    Header {
        observer: "0.1.0".to_owned(),
        node: "edge-ams-03".to_owned(),
        origin: "6.12".to_owned(),
        created: Duration::new(1_795_348_800, 1),
        interval: Duration::from_millis(500),
        options: [("devices".to_owned(), serde_json::json!(["eth0"]))].into_iter().collect(),
    }
}

fn written(snapshots: &[Snapshot], end: Option<End>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).expect("memory");
    for snapshot in snapshots {
        writer.snapshot(snapshot.clone()).expect("memory");
    }
    // Without an end, the last line is removed.
    let text = writer.end(end.unwrap_or(End::Done)).expect("memory");
    match end {
        Some(_) => text,
        None => {
            let length = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines");
            text[..=length].to_vec()
        }
    }
}

fn recording(bytes: &[u8]) -> Recording {
    Recording::read("test.json", BufReader::new(Cursor::new(bytes.to_vec()))).expect("a header")
}

fn failure(bytes: &[u8]) -> String {
    match Recording::read("test.json", Cursor::new(bytes.to_vec())) {
        Err(error) => error.to_string(),
        Ok(recording) => {
            let failed = recording.filter_map(Result::err).next();
            failed.expect("an error").to_string()
        }
    }
}

fn fixtures() -> Vec<Snapshot> {
    vec![fixture::snapshot(10), fixture::lost(11, 10), fixture::snapshot(12), fixture::snapshot(5)]
}

/// The cost appears, grows, loses a row, restarts and disappears.
fn with_cost() -> Vec<Snapshot> {
    let mut more = fixture::with_cost(14);
    let cost = more.cost.as_mut().expect("it is measured");
    cost.missing.push("vxlan.calico: only 32 tunnel devices are measured".to_owned());
    cost.spans.remove(0);
    vec![
        fixture::snapshot(10),
        fixture::with_cost(12),
        fixture::with_cost(13),
        more,
        fixture::with_cost(3),
        fixture::snapshot(15),
        fixture::with_cost(16),
    ]
}

#[test]
fn snapshots_are_read_back_exactly() {
    let bytes = written(&fixtures(), Some(End::Done));
    let mut recording = recording(&bytes);
    assert_eq!(*recording.header(), header());
    let read: Vec<Snapshot> = recording.by_ref().map(|snapshot| snapshot.expect("readable")).collect();
    assert_eq!(read, fixtures());
    assert_eq!((recording.flaw(), recording.snapshots()), (None, 4));
    assert_eq!(recording.next_snapshot(), Ok(None));
}

#[test]
fn cost_is_recorded_if_it_was_measured() {
    let bytes = written(&with_cost(), Some(End::Done));
    let read: Vec<Snapshot> = recording(&bytes).map(|snapshot| snapshot.expect("readable")).collect();
    assert_eq!(read, with_cost());
    let text = String::from_utf8(bytes).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert!(!lines[1].contains("cost"), "cost was not measured: {}", lines[1]);
    let cost = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["cost"].to_string()
    };
    assert!(!cost(lines[3]).contains("vxlan.calico"), "identities are written once: {}", cost(lines[3]));
    assert!(lines[6].contains(r#""cost":null"#), "{}", lines[6]);
    let same = written(&[fixture::with_cost(7), fixture::with_cost(7)], Some(End::Done));
    assert_eq!(
        String::from_utf8(same).expect("text").lines().nth(2),
        Some(r#"{"taken":[1795348807,0],"counting":[7,0]}"#)
    );
}

#[test]
fn invalid_costs_are_refused_and_unknown_fields_ignored() {
    let good = String::from_utf8(written(&with_cost()[1..3], Some(End::Done))).expect("text");
    for (from, to, expected) in [
        (r#""sample":64,"#, "", "line 2: the first cost lacks `sample`"),
        (r#""cpu":0"#, r#""cpu":-1"#, "line 2: "),
        (r#""softirqs":{"columns":["#, r#""softirqs":{"columns":["one","#, "cost: softirqs: a row has 2"),
    ] {
        assert!(good.contains(from), "{from}");
        let error = failure(good.replacen(from, to, 1).as_bytes());
        assert!(error.contains(expected), "{error}");
    }
    let later = good.replace(r#""cost":{"#, r#""cost":{"later":[1],"#);
    let read: Vec<Snapshot> = recording(later.as_bytes()).map(|s| s.expect("readable")).collect();
    assert_eq!(read, with_cost()[1..3]);
}

#[test]
fn lines_contain_only_changes() {
    let snapshots: Vec<Snapshot> = (0..20).map(fixture::snapshot).collect();
    let bytes = written(&snapshots, Some(End::Done));
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    assert!(lines[3].len() * 4 < lines[1].len() * 3, "{} of {}", lines[3].len(), lines[1].len());
    let same = vec![fixture::snapshot(7); 3];
    let bytes = written(&same, Some(End::Done));
    let last = bytes.split(|byte| *byte == b'\n').nth(3).expect("a line").to_vec();
    assert_eq!(String::from_utf8(last).expect("text"), r#"{"taken":[1795348807,0],"counting":[7,0]}"#);
}

#[test]
fn a_truncated_file_is_read_up_to_the_cut() {
    let bytes = written(&fixtures()[..2], Some(End::Interrupted));
    let first = bytes.iter().position(|byte| *byte == b'\n').expect("a header");
    let mut ends = Vec::new();
    for length in first + 1..bytes.len() {
        let mut recording = recording(&bytes[..length]);
        let read: Vec<Snapshot> = recording.by_ref().map(|snapshot| snapshot.expect("a cut")).collect();
        assert_eq!(read, fixtures()[..read.len()]);
        ends.push((read.len(), recording.flaw()));
    }
    assert_eq!(
        ends[0],
        (0, Some("test.json has no end: its writer was killed or is still running".to_owned()))
    );
    assert_eq!(
        ends[1],
        (0, Some("test.json is cut off in line 2: 0 snapshots before it were read".to_owned()))
    );
    let (read, flaw) = ends.last().expect("cuts");
    assert_eq!((*read, flaw.as_deref()), (2, None));
    // The header itself is truncated.
    assert!(failure(&bytes[..first - 1]).contains("line 1"));
}

#[test]
fn other_files_and_versions_are_refused() {
    let cases: [(&[u8], &str); 6] = [
        (b"", "it is empty"),
        (b"\xd4\xc3\xb2\xa1 a capture\n", "line 1 is not a JSON object with the schema observer-recording/2"),
        (b"[1]\n", "line 1 is not a JSON object"),
        (br#"{"schema":"observer-recording/0"}"#, "line 1 has the schema `observer-recording/0` instead of"),
        (br#"{"schema":"observer-stat/2"}"#, "line 1 has the schema `observer-stat/2` instead of"),
        (
            br#"{"schema":"observer-recording/3","new":true}"#,
            "line 1 has the schema `observer-recording/3` instead of observer-recording/2; read it with the \
             version of Observer that wrote it, or record again",
        ),
    ];
    for (bytes, expected) in cases {
        let error = failure(bytes);
        assert!(
            error.starts_with("cannot read the recording test.json: ") && error.contains(expected),
            "{error}"
        );
    }
    let missing = Recording::open(std::path::Path::new("/nonexistent/x.json")).err().expect("not there");
    assert!(missing.to_string().contains("/nonexistent/x.json"));
}

#[test]
fn damage_is_reported_with_line_and_cause() {
    let good = String::from_utf8(written(&fixtures(), Some(End::Done))).expect("text");
    // The line, what to replace in it, the replacement, and the error.
    let cases = [
        (
            2,
            r#""direction":"egress""#,
            r#""direction":"sideways""#,
            "unknown variant `sideways`, expected `ingress` or `egress`",
        ),
        (2, r#""at":1"#, r#""at":99"#, "a new row has place 99 in a table of 1 rows"),
        (3, r#""added":[["#, r#""added":[[900,"#, "counters for"),
        (3, r#""added":[[0,"#, r#""added":[[900,"#, "row 900 is not in a table of"),
        (3, r#""taken""#, r#""token""#, "a snapshot lacks `taken` or `counting`"),
        (3, r#""taken":[1795348811,0]"#, r#""taken":[1795348811,1000000000]"#, "1,000,000,000 nanoseconds"),
        (4, "{", "#", "expected value (column 1)"),
        (2, r#""name":"eth0""#, r#""name":"eth9""#, "device eth0 is not listed"),
    ];
    for (line, from, to, expected) in cases {
        let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
        assert!(lines[line - 1].contains(from), "{from} in {}", lines[line - 1]);
        lines[line - 1] = lines[line - 1].replacen(from, to, 1);
        let error = failure((lines.join("\n") + "\n").as_bytes());
        assert!(error.contains(&format!("line {line}: ")) && error.contains(expected), "{error}");
        assert!(error.contains("the file is damaged"), "{error}");
    }
    let twice = good.clone() + &good;
    assert!(failure(twice.as_bytes()).contains("line 7: it follows the end"));
    let unended = good.lines().take(4).map(|line| format!("{line}\n")).collect::<String>() + "\0\0\n";
    assert!(failure(unended.as_bytes()).contains("line 5: "));
}

#[test]
fn unknown_fields_and_counters_are_ignored() {
    let text = String::from_utf8(written(&fixtures(), Some(End::Done))).expect("text");
    let text = text
        .replace(r#"{"schema""#, r#"{"later":[1],"schema""#)
        .replace(r#"{"taken""#, r#"{"later":{"a":null},"taken""#)
        .replace(r#""role":"#, r#""later":3,"role":"#)
        .replace(r#""columns":["largest_bytes"]"#, r#""columns":["smallest_bytes"]"#);
    let read: Vec<Snapshot> =
        recording(text.as_bytes()).map(|snapshot| snapshot.expect("readable")).collect();
    assert_eq!(read, fixtures());
    let unknown = text.replacen(r#""columns":["packets","#, r#""columns":["parcels","#, 1);
    let read = recording(unknown.as_bytes()).next().expect("a line").expect("readable");
    assert!(read.devices[0].totals.iter().all(|totals| totals.counters[0] == 0));
    assert_eq!(read.devices[0].totals[0].counters[1], fixtures()[0].devices[0].totals[0].counters[1]);
}

/// Counts flushes, and fails when it is full.
struct Disk {
    flushes: usize,
    room: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes += 1;
        Ok(())
    }
}

#[test]
fn every_line_is_flushed_and_a_full_disk_is_an_error() {
    let mut writer = Writer::new(Disk { flushes: 0, room: 1 << 20 }, &header()).expect("room");
    for second in 0..3 {
        writer.snapshot(fixture::snapshot(second)).expect("room");
    }
    assert_eq!(writer.end(End::Done).expect("room").flushes, 5);
    let mut writer = Writer::new(Disk { flushes: 0, room: 2_000 }, &header()).expect("room");
    let full = writer.snapshot(fixture::snapshot(1)).expect_err("no room");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_minute_of_ten_thousand_paths_is_below_25_mb() {
    let snapshots = |second: u64| {
        let mut snapshot = fixture::snapshot(second);
        let template = snapshot.paths[0].clone();
        snapshot.paths = (0..10_000_u32)
            .map(|n| {
                let mut path = template.clone();
                path.id.peer = std::net::Ipv4Addr::from(0x0a00_0000 + n).into();
                path.counters[0] = 1_000_000 + second * 137;
                path.counters[1] = 800_000_000 + second * 150_137;
                path.counters[2] = 790_000_000 + second * 148_137;
                path.counters[3] = 780_000_000 + second * 141_137;
                path
            })
            .collect();
        snapshot
    };
    let bytes = written(&[snapshots(0), snapshots(1), snapshots(2)], Some(End::Done));
    let lines: Vec<usize> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
    // The first line has the identities, the others the increments: 60 of them are below 25 MB.
    assert!(lines[1] < 2_500_000 && lines[3] < 400_000, "{lines:?}");
}

fn direction() -> impl Strategy<Value = Direction> {
    select(&Direction::ALL[..])
}

fn class() -> impl Strategy<Value = Class> {
    select(&Class::ALL[..])
}

/// Mostly small numbers, some of the largest.
fn counter() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..50_u64, 1 => any::<u64>()]
}

fn counters<const N: usize>() -> impl Strategy<Value = [u64; N]> {
    vec(prop_oneof![3 => Just(0), 1 => counter()], N).prop_map(|values| values.try_into().expect("N"))
}

fn duration() -> impl Strategy<Value = Duration> {
    (0..1_u64 << 40, 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just("eth0".to_owned()), any::<String>()]
}

prop_compose! {
    fn id()(
        device in "[a-c]", direction in direction(), class in class(),
        vni in prop_oneof![Just(Vni::None), Just(Vni::Unknown), any::<u32>().prop_map(Vni::Own)],
        peer in any::<std::net::IpAddr>(),
    ) -> PathId {
        PathId { device: device.into(), direction, class, vni, peer, local: None }
    }
}

prop_compose! {
    fn device()(
        kind in text(), role in select(&Role::ALL[..]), mtu in any::<u32>(),
        tunnel in proptest::option::of((class(), any::<u32>(), any::<Option<u32>>(), any::<Option<u32>>())),
        hooks in (select(&Hook::ALL[..]), select(&Hook::ALL[..])),
        losses in any::<[u64; 2]>(),
        totals in btree_map((direction(), class()), (counters::<TOTALS>(), counters::<SIZE_CLASSES>()), 0..5),
        events in (counters::<EVENTS>(), counters::<EVENTS>()),
    ) -> Device {
        Device {
            name: String::new(),
            kind,
            role,
            mtu,
            tunnel: tunnel.map(|(class, overhead, underlay_mtu, vni)| Tunnel { class, overhead, underlay_mtu, vni }),
            hooks: [hooks.0, hooks.1],
            losses,
            totals: totals
                .into_iter()
                .map(|((direction, class), (counters, sizes))| Totals { direction, class, counters, sizes })
                .collect(),
            events: [events.0, events.1],
        }
    }
}

prop_compose! {
    fn fill()(n in any::<[u64; 6]>()) -> Fill {
        Fill {
            paths: n[0], paths_capacity: n[1], peers: n[2],
            peers_capacity: n[3], blocks: n[4], blocks_capacity: n[5],
        }
    }
}

fn buckets() -> impl Strategy<Value = Vec<u64>> {
    btree_map(0..BUCKETS, counter(), 0..4)
        .prop_map(|some| (0..BUCKETS).map(|index| some.get(&index).copied().unwrap_or(0)).collect())
}

prop_compose! {
    fn span()(
        direction in direction(), class in class(),
        n in (counter(), counter(), any::<u64>(), any::<u64>()), offload in any::<[u64; 5]>(), buckets in buckets(),
    ) -> Span {
        let [whole, cut, segments, left, summed] = offload;
        Span {
            device: String::new(), direction, class, skbs: n.0, packets: n.1,
            time: Duration::from_nanos(n.2), own: Duration::from_nanos(n.3), buckets,
            offload: Offload { whole, cut, segments, left, summed },
        }
    }
}

prop_compose! {
    fn cost()(
        sample in any::<u32>(), measuring in duration(), probe in any::<u64>(), discarded in any::<[u64; 5]>(),
        spans in btree_map("[a-c]", span(), 0..3),
        softirqs in btree_map(any::<u32>(), any::<[u64; 2]>(), 0..3),
        tcp in btree_map(any::<std::net::IpAddr>(), (class(), any::<[u64; 3]>(), buckets()), 0..3),
        drops in btree_map((any::<std::net::IpAddr>(), text()), (class(), direction(), any::<u64>()), 0..3),
        missing in vec(text(), 0..2),
        hook_rtt in btree_map(any::<std::net::IpAddr>(), (class(), any::<[u64; 2]>(), buckets()), 0..3),
    ) -> Cost {
        let [unsent, undelivered, interrupted, unreadable, uncounted] = discarded;
        let busy = |(cpu, [transmit, receive]): (u32, [u64; 2])| Softirq {
            cpu, transmit: Duration::from_nanos(transmit), receive: Duration::from_nanos(receive),
        };
        Cost {
            sample,
            measuring,
            probe: Duration::from_nanos(probe),
            spans: spans.into_iter().map(|(device, span)| Span { device, ..span }).collect(),
            discarded: Discarded { unsent, undelivered, interrupted, unreadable, uncounted },
            softirqs: softirqs.into_iter().map(busy).collect(),
            tcp: tcp
                .into_iter()
                .map(|(peer, (class, [samples, sum, retransmits], buckets))| TcpPath {
                    peer, class, samples, sum: Duration::from_nanos(sum), retransmits, buckets,
                })
                .collect(),
            drops: drops
                .into_iter()
                .map(|((peer, reason), (class, direction, packets))| Drops { peer, class, direction, reason, packets })
                .collect(),
            missing,
            hook_rtt: hook_rtt
                .into_iter()
                .map(|(peer, (class, [samples, sum], buckets))| HookRttPath {
                    peer, class, samples, sum: Duration::from_nanos(sum), buckets,
                })
                .collect(),
        }
    }
}

prop_compose! {
    fn snapshot()(
        times in (duration(), duration()),
        words in (text(), text()),
        devices in btree_map("[a-d]", device(), 0..4),
        paths in btree_map(id(), (select(&Scope::ALL[..]), counters::<PATH_COUNTERS>()), 0..6),
        unknown_peers in btree_map(id(), (counter(), counter()), 0..4),
        fill in fill(),
        routing in btree_set((any::<bool>(), class(), select(&Scope::ALL[..])), 0..4),
        programs in btree_map(text(), (counter(), any::<u64>()), 0..3),
        size_bounds in vec(any::<u32>(), 0..4),
        notes in vec(text(), 0..3),
        cost in proptest::option::of(cost()),
    ) -> Snapshot {
        let named = |(name, device): (String, Device)| Device { name, ..device };
        let program = |(name, (runs, nanos)): (String, (u64, u64))| {
            Program { name, runs, run_time: Duration::from_nanos(nanos) }
        };
        Snapshot {
            taken: times.0,
            counting: times.1,
            node: words.0,
            origin: words.1,
            devices: devices.into_iter().map(named).collect(),
            paths: paths.into_iter().map(|(id, (scope, counters))| Path { id, scope, counters }).collect(),
            unknown_peers: unknown_peers
                .into_iter()
                .map(|(id, (packets, wire_bytes))| UnknownPeer { id, packets, wire_bytes })
                .collect(),
            fill,
            cost,
            routing: routing
                .into_iter()
                .map(|(ipv6, class, scope)| Routing { ipv6, class, scope, blocks: 1, peers: 2 })
                .collect(),
            programs: programs.into_iter().map(program).collect(),
            size_bounds,
            notes,
        }
    }
}

/// A later snapshot: most rows grow, some are added, rarely one is removed or restarts.
fn grown(mut earlier: Snapshot, other: Snapshot, step: u64) -> Snapshot {
    match step % 4 {
        0 => return other,
        1 => earlier.paths.extend(other.paths),
        2 => earlier.paths.truncate(1),
        _ => earlier.devices.reverse(),
    }
    for path in &mut earlier.paths {
        path.counters[(step % 16) as usize] = path.counters[(step % 16) as usize].saturating_add(step);
    }
    for span in earlier.cost.iter_mut().flat_map(|cost| &mut cost.spans) {
        span.packets = span.packets.saturating_add(step);
    }
    earlier
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_snapshots_are_read_back(seeds in vec((snapshot(), any::<u64>()), 1..5)) {
        let mut snapshots: Vec<Snapshot> = Vec::new();
        for (seed, step) in seeds {
            let next = match snapshots.last() {
                Some(last) => grown(last.clone(), seed, step),
                None => seed,
            };
            snapshots.push(next);
        }
        let bytes = written(&snapshots, None);
        let mut recording = recording(&bytes);
        let read: Result<Vec<Snapshot>, _> = recording.by_ref().collect();
        prop_assert_eq!(read.expect("readable"), snapshots);
        prop_assert!(recording.flaw().is_some());
    }

    #[test]
    fn no_byte_makes_the_reader_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = written(&[fixtures(), with_cost()].concat(), Some(End::Done));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(recording) = Recording::read("test.json", Cursor::new(bytes)) {
            recording.for_each(drop);
        }
    }
}
