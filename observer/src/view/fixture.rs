//! A simulated node with consistent numbers, for tests, screens and pictures.
//!
//! Also compiled into `tests/golden.rs` and examples, hence `super::observer`.

use std::net::IpAddr;
use std::time::Duration;

use super::observer::cost::{Cost, Discarded, Drops, HookRttPath, Offload, Softirq, Span, TcpPath};
use super::observer::snapshot::{
    Device, Fill, Hook, Path, PathId, Routing, Snapshot, Totals, Tunnel, UnknownPeer, Vni,
};
use super::observer::topology::{Role, Scope};
use observer_common::abi::SIZE_CLASSES;
use observer_common::cost::{BUCKETS, bucket};
use observer_common::counters::{EVENTS, Event, PATH_COUNTERS, PathCounter, TOTALS, Total};
use observer_common::kind::{Class, Direction};

/// Upper bounds of the size classes.
const BOUNDS: [u32; 9] = [64, 128, 256, 512, 1_024, 1_400, 1_450, 1_480, 1_500];
/// The first snapshot: 2026-11-22 12:00:00 UTC.
const START: u64 = 1_795_348_800;

/// Packets of one kind: packets per second, L3 size, and overhead in it.
#[derive(Clone, Copy)]
struct Flow {
    rate: u64,
    size: u64,
    overhead: u64,
}

/// Rates vary by ±30 % over 40 seconds, each with its own phase.
fn packets(rate: u64, seconds: u64) -> u64 {
    (0..seconds)
        .map(|second| {
            let phase = (second + rate / 100) % 40;
            let wave = if phase < 20 { phase } else { 40 - phase };
            rate * (70 + 3 * wave) / 100
        })
        .sum()
}

fn totals(direction: Direction, class: Class, flows: &[Flow], link: u64, seconds: u64) -> Totals {
    let (mut counters, mut sizes) = ([0; TOTALS], [0; SIZE_CLASSES]);
    for flow in flows {
        let count = packets(flow.rate, seconds);
        counters[Total::Packets as usize] += count;
        counters[Total::WireBytes as usize] += count * (flow.size + link);
        counters[Total::L3Bytes as usize] += count * flow.size;
        counters[Total::InnerBytes as usize] += count * (flow.size - flow.overhead);
        let largest = &mut counters[Total::Largest as usize];
        *largest = (*largest).max(flow.size);
        let class = BOUNDS.iter().position(|bound| flow.size <= u64::from(*bound)).unwrap_or(BOUNDS.len());
        sizes[class] += count;
    }
    Totals { direction, class, counters, sizes }
}

/// Some of the large tunnel packets are fragmented in two.
fn add_fragments(row: &mut Totals, rate: u64, seconds: u64) {
    let count = packets(rate, seconds);
    row.counters[Total::OuterV4First as usize] += count;
    row.counters[Total::OuterV4Last as usize] += count;
    row.counters[Total::FragmentationOverheadBytes as usize] += count * 20;
}

fn path(peer: &str, scope: Scope, direction: Direction, class: Class, flows: &[Flow], seconds: u64) -> Path {
    let sum = totals(direction, class, flows, 14, seconds);
    let mut counters = [0; PATH_COUNTERS];
    let pairs = [
        (PathCounter::Packets, Total::Packets),
        (PathCounter::WireBytes, Total::WireBytes),
        (PathCounter::L3Bytes, Total::L3Bytes),
        (PathCounter::InnerBytes, Total::InnerBytes),
        (PathCounter::Largest, Total::Largest),
    ];
    for (to, from) in pairs {
        counters[to as usize] = sum.counters[from as usize];
    }
    let vni = if class == Class::Vxlan { Vni::Own(4_096) } else { Vni::None };
    let id = PathId { device: "eth0".into(), direction, class, vni, peer: address(peer), local: None };
    Path { id, scope, counters }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("a fixed address")
}

const BULK: Flow = Flow { rate: 42_000, size: 1_500, overhead: 50 };
const ACKS: Flow = Flow { rate: 19_000, size: 102, overhead: 50 };
const FAR_BULK: Flow = Flow { rate: 8_400, size: 1_500, overhead: 50 };
const FAR_ACKS: Flow = Flow { rate: 3_900, size: 102, overhead: 50 };
const NATIVE: Flow = Flow { rate: 6_000, size: 1_450, overhead: 0 };
const WORLD_IN: Flow = Flow { rate: 52_000, size: 420, overhead: 0 };
const WORLD_OUT: Flow = Flow { rate: 88_000, size: 1_480, overhead: 0 };

fn inner(flow: Flow) -> Flow {
    Flow { size: flow.size - flow.overhead, overhead: 0, ..flow }
}

fn device(name: &str, kind: &str, role: Role, mtu: u32, totals: Vec<Totals>) -> Device {
    Device {
        name: name.to_owned(),
        kind: kind.to_owned(),
        role,
        mtu,
        tunnel: None,
        hooks: [Hook::Tcx; 2],
        losses: [0; 2],
        totals,
        events: [[0; EVENTS]; 2],
    }
}

fn devices(seconds: u64) -> Vec<Device> {
    use Class::{External, NonIp, None as Native, Vxlan};
    use Direction::{Egress, Ingress};
    let sum = |direction, class, flows: &[Flow], link| totals(direction, class, flows, link, seconds);
    let mut sent = sum(Egress, Vxlan, &[BULK, FAR_BULK], 14);
    add_fragments(&mut sent, 120, seconds);
    let arp = sum(Ingress, NonIp, &[Flow { rate: 4, size: 28, overhead: 0 }], 14);
    let mut eth0 = device(
        "eth0",
        "",
        Role::Underlay,
        1_500,
        vec![
            sum(Ingress, Native, &[NATIVE], 14),
            sum(Ingress, Vxlan, &[ACKS, FAR_ACKS], 14),
            sum(Ingress, External, &[WORLD_IN], 14),
            arp,
            sum(Egress, Native, &[NATIVE], 14),
            sent,
            sum(Egress, External, &[WORLD_OUT], 14),
        ],
    );
    eth0.events[0][Event::PtbV4 as usize] = packets(10, seconds) / 20;
    eth0.events[0][Event::TruncatedIp as usize] = packets(10, seconds) / 10;
    let mut leaving = sum(Egress, Native, &[inner(BULK), inner(FAR_BULK)], 14);
    leaving.counters[Total::WouldFragment as usize] = packets(120, seconds);
    leaving.counters[Total::WouldDrop as usize] = packets(10, seconds) / 20;
    let entering = sum(Ingress, Native, &[inner(ACKS), inner(FAR_ACKS)], 14);
    let mut vxlan = device("vxlan.calico", "vxlan", Role::Tunnel, 1_450, vec![entering, leaving]);
    vxlan.tunnel = Some(Tunnel { class: Vxlan, overhead: 50, underlay_mtu: Some(1_500), vni: Some(4_096) });
    let near =
        vec![sum(Ingress, Native, &[inner(BULK), NATIVE], 14), sum(Egress, Native, &[inner(ACKS)], 14)];
    let far = vec![
        sum(Ingress, Native, &[inner(FAR_BULK)], 14),
        sum(Egress, Native, &[inner(FAR_ACKS), NATIVE], 14),
    ];
    vec![
        eth0,
        vxlan,
        device("cali8a4e1c02b77", "veth", Role::Workload, 1_450, near),
        device("cali91f2d3370ce", "veth", Role::Workload, 1_450, far),
    ]
}

/// The node after `seconds`.
pub(crate) fn snapshot(seconds: u64) -> Snapshot {
    use Direction::{Egress, Ingress};
    use Scope::{CrossSubnet, SameSubnet};
    let near = |direction, class, flow| path("10.1.0.12", SameSubnet, direction, class, &[flow], seconds);
    let far = |direction, class, flow| path("10.2.0.13", CrossSubnet, direction, class, &[flow], seconds);
    let other = |direction| path("10.1.0.14", SameSubnet, direction, Class::None, &[NATIVE], seconds);
    let mut fragmented = far(Egress, Class::Vxlan, FAR_BULK);
    fragmented.counters[PathCounter::OuterFirst as usize] = packets(120, seconds);
    fragmented.counters[PathCounter::OuterLast as usize] = packets(120, seconds);
    fragmented.counters[PathCounter::Ptb as usize] = packets(10, seconds) / 20;
    fragmented.counters[PathCounter::PtbMtu as usize] = 1_450;
    fragmented.counters[PathCounter::WouldFragment as usize] = packets(120, seconds);
    fragmented.counters[PathCounter::WouldDrop as usize] = packets(10, seconds) / 20;
    let unknown_peer = PathId {
        device: "eth0".into(),
        direction: Ingress,
        class: Class::Vxlan,
        vni: Vni::Own(77),
        peer: address("198.51.100.7"),
        local: None,
    };
    Snapshot {
        taken: Duration::from_secs(START + seconds),
        counting: Duration::from_secs(seconds),
        node: "edge-ams-03".to_owned(),
        origin: "6.12.57+deb13-cloud-amd64".to_owned(),
        devices: devices(seconds),
        paths: vec![
            near(Ingress, Class::Vxlan, ACKS),
            near(Egress, Class::Vxlan, BULK),
            far(Ingress, Class::Vxlan, FAR_ACKS),
            fragmented,
            other(Ingress),
            other(Egress),
        ],
        unknown_peers: vec![UnknownPeer { id: unknown_peer, packets: 12, wire_bytes: 1_392 }],
        fill: Fill {
            paths: 6,
            paths_capacity: 16_384,
            peers: 3,
            peers_capacity: 8_192,
            blocks: 3,
            blocks_capacity: 65_536,
        },
        routing: vec![
            Routing { ipv6: false, class: Class::None, scope: SameSubnet, blocks: 1, peers: 1 },
            Routing { ipv6: false, class: Class::Vxlan, scope: SameSubnet, blocks: 1, peers: 1 },
            Routing { ipv6: false, class: Class::Vxlan, scope: CrossSubnet, blocks: 1, peers: 1 },
        ],
        programs: Vec::new(),
        cost: None,
        size_bounds: BOUNDS.to_vec(),
        notes: Vec::new(),
    }
}

/// The same node with the cost of encapsulation, 1/64 of the time measured.
pub(crate) fn with_cost(seconds: u64) -> Snapshot {
    let busy = |share: u64| Duration::from_millis(share * seconds);
    let cost = Cost {
        sample: 64,
        measuring: Duration::from_secs(seconds),
        probe: Duration::from_nanos(41),
        spans: vec![
            span(Direction::Ingress, packets(3_400, seconds), 1, [1_150, 2_350]),
            span(Direction::Egress, packets(7_900, seconds), 10, [980, 1_900]),
        ],
        discarded: Discarded { undelivered: packets(10, seconds), ..Discarded::default() },
        softirqs: vec![
            Softirq { cpu: 0, transmit: busy(2), receive: busy(183) },
            Softirq { cpu: 1, transmit: Duration::ZERO, receive: busy(64) },
        ],
        tcp: vec![
            tcp("10.1.0.12", Class::Vxlan, packets(900, seconds), [180, 420], 0),
            tcp("10.2.0.13", Class::Vxlan, packets(300, seconds), [9_400, 22_800], packets(20, seconds)),
            tcp("10.1.0.14", Class::None, packets(160, seconds), [140, 260], 0),
        ],
        drops: vec![
            drops("10.2.0.13", Class::Vxlan, "NEIGH_FAILED", packets(3, seconds)),
            drops("10.2.0.13", Class::Vxlan, "PKT_TOO_BIG", packets(11, seconds)),
        ],
        missing: Vec::new(),
        hook_rtt: vec![
            hook_rtt("10.1.0.12", Class::Vxlan, packets(620, seconds), [190, 4_300]),
            hook_rtt("10.2.0.13", Class::Vxlan, packets(240, seconds), [9_500, 49_700]),
            hook_rtt("10.1.0.14", Class::None, packets(110, seconds), [150, 41_000]),
        ],
    };
    Snapshot { cost: Some(cost), ..snapshot(seconds) }
}

/// Nine of ten have the first value, one has the second.
fn histogram(count: u64, values: [u64; 2]) -> (u64, Vec<u64>) {
    let (often, seldom) = (count - count / 10, count / 10);
    let mut buckets = vec![0; BUCKETS];
    buckets[bucket(values[0]) as usize] += often;
    buckets[bucket(values[1]) as usize] += seldom;
    (often * values[0] + seldom * values[1], buckets)
}

fn span(direction: Direction, packets: u64, packets_a_skb: u64, nanoseconds: [u64; 2]) -> Span {
    let skbs = packets / packets_a_skb / 64;
    let (time, buckets) = histogram(skbs, nanoseconds);
    let offload = match direction {
        Direction::Ingress => Offload::default(),
        Direction::Egress => Offload {
            whole: packets / 40,
            cut: packets / 200,
            segments: packets / 20,
            left: packets / 10,
            summed: 0,
        },
    };
    Span {
        device: "vxlan.calico".to_owned(),
        direction,
        class: Class::Vxlan,
        skbs,
        packets: skbs * packets_a_skb,
        time: Duration::from_nanos(time),
        own: Duration::from_nanos(skbs * 41),
        offload,
        buckets,
    }
}

fn drops(peer: &str, class: Class, reason: &str, packets: u64) -> Drops {
    let (peer, direction) = (peer.parse().expect("an address"), Direction::Egress);
    Drops { peer, class, direction, reason: reason.to_owned(), packets }
}

fn tcp(peer: &str, class: Class, samples: u64, microseconds: [u64; 2], retransmits: u64) -> TcpPath {
    let (sum, buckets) = histogram(samples, microseconds);
    TcpPath { peer: address(peer), class, samples, sum: Duration::from_micros(sum), retransmits, buckets }
}

fn hook_rtt(peer: &str, class: Class, samples: u64, microseconds: [u64; 2]) -> HookRttPath {
    let (sum, buckets) = histogram(samples, microseconds);
    HookRttPath { peer: address(peer), class, samples, sum: Duration::from_micros(sum), buckets }
}

/// The same node with its ingress hook at `eth0` lost.
pub(crate) fn lost(seconds: u64, since: u64) -> Snapshot {
    let mut now = snapshot(seconds);
    let earlier = snapshot(since);
    let saved = earlier.devices[0].totals.iter().filter(|row| row.direction == Direction::Ingress).cloned();
    let device = &mut now.devices[0];
    device.hooks[0] = Hook::Lost;
    device.totals.retain(|row| row.direction == Direction::Egress);
    device.totals.splice(0..0, saved);
    now
}
