//! The cost of encapsulation; without a measurement, the families have no samples.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::net::IpAddr;
use std::time::Duration;

use observer_common::cost::lower_bound;
use observer_common::kind::{Class, Direction};
use prometheus_client::encoding::DescriptorEncoder;

use super::families as f;
use super::write::Writer;
use crate::cost::{Cost, HookRttPath, Span, TcpPath};
use crate::snapshot::Snapshot;

/// Upper bounds of encapsulation times as powers of two: 128 ns to 131 µs. They are also bounds of the buckets in the
/// kernel.
const WORK: std::ops::RangeInclusive<u32> = 7..=17;
/// Upper bounds of round-trip times as powers of two: 32 µs to 1 s.
const ROUND_TRIP: std::ops::RangeInclusive<u32> = 5..=20;

/// Label of the sum of all other peers.
const OTHER: &str = "other";

/// Writes all cost families. The first `peers` peers have their own series.
pub(super) fn encode(to: &mut DescriptorEncoder, snapshot: &Snapshot, peers: usize) -> Result<(), Error> {
    let cost = snapshot.cost.as_ref();
    spans(to, cost)?;
    softirqs(to, cost)?;
    tcp(to, cost, peers)?;
    measurement(to, snapshot, cost)?;
    hook_rtt(to, cost, peers)
}

fn spans(to: &mut DescriptorEncoder, cost: Option<&Cost>) -> Result<(), Error> {
    let spans = || cost.into_iter().flat_map(|cost| &cost.spans);
    let labels = |span: &Span| {
        [
            ("device", span.device.clone()),
            ("direction", span.direction.label().to_owned()),
            ("encapsulation", span.class.label().to_owned()),
        ]
    };
    let mut times = Writer::start(to, &f::ENCAPSULATION)?;
    for span in spans() {
        times.histogram(&labels(span), span.time.as_secs_f64(), &coarse(&span.buckets, WORK, 1e-9))?;
    }
    let mut packets = Writer::start(to, &f::ENCAPSULATION_PACKETS)?;
    for span in spans() {
        packets.counter(&labels(span), span.packets)?;
    }
    let mut own = Writer::start(to, &f::ENCAPSULATION_OWN)?;
    for span in spans() {
        own.counter(&labels(span), span.own.as_secs_f64())?;
    }
    let sent = || spans().filter(|span| span.direction == Direction::Egress);
    let by = |span: &Span, who: &str| {
        [
            ("device", span.device.clone()),
            ("encapsulation", span.class.label().to_owned()),
            ("by", who.to_owned()),
        ]
    };
    let mut buffers = Writer::start(to, &f::ENCAPSULATION_GSO)?;
    for span in sent() {
        buffers.counter(&by(span, "offload"), span.offload.whole)?;
        buffers.counter(&by(span, "software"), span.offload.cut)?;
    }
    let mut checksums = Writer::start(to, &f::ENCAPSULATION_CHECKSUMS)?;
    for span in sent() {
        checksums.counter(&by(span, "offload"), span.offload.left)?;
        checksums.counter(&by(span, "software"), span.offload.summed)?;
    }
    Ok(())
}

fn softirqs(to: &mut DescriptorEncoder, cost: Option<&Cost>) -> Result<(), Error> {
    let mut seconds = Writer::start(to, &f::SOFTIRQ)?;
    for row in cost.into_iter().flat_map(|cost| &cost.softirqs) {
        let cpu = row.cpu.to_string();
        for (vector, time) in [("net_rx", row.receive), ("net_tx", row.transmit)] {
            seconds.counter(&[("cpu", cpu.as_str()), ("vector", vector)], time.as_secs_f64())?;
        }
    }
    Ok(())
}

/// One peer and encapsulation, or the sum of other peers.
#[derive(Clone, Copy, Default)]
struct Sum {
    samples: u64,
    time: Duration,
    retransmits: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.time += other.time;
        self.retransmits += other.retransmits;
    }
}

/// A path with round-trip times.
trait Path {
    fn place(&self) -> (IpAddr, Class);
    fn sum(&self) -> Sum;
    fn buckets(&self) -> &[u64];
}

impl Path for TcpPath {
    fn place(&self) -> (IpAddr, Class) {
        (self.peer, self.class)
    }

    fn sum(&self) -> Sum {
        Sum { samples: self.samples, time: self.sum, retransmits: self.retransmits }
    }

    fn buckets(&self) -> &[u64] {
        &self.buckets
    }
}

impl Path for HookRttPath {
    fn place(&self) -> (IpAddr, Class) {
        (self.peer, self.class)
    }

    fn sum(&self) -> Sum {
        Sum { samples: self.samples, time: self.sum, retransmits: 0 }
    }

    fn buckets(&self) -> &[u64] {
        &self.buckets
    }
}

fn tcp(to: &mut DescriptorEncoder, cost: Option<&Cost>, peers: usize) -> Result<(), Error> {
    let paths = cost.map_or(&[][..], |cost| &cost.tcp);
    by_class(to, &f::ROUND_TRIP, paths)?;
    let sums = by_peer(paths, peers);
    samples_and_seconds(to, &f::PEER_ROUND_TRIPS, &f::PEER_ROUND_TRIP_SECONDS, &sums)?;
    let mut retransmits = Writer::start(to, &f::PEER_RETRANSMITS)?;
    for (labels, sum) in &sums {
        retransmits.counter(labels, sum.retransmits)?;
    }
    drops(to, cost, &named(paths, peers))
}

fn hook_rtt(to: &mut DescriptorEncoder, cost: Option<&Cost>, peers: usize) -> Result<(), Error> {
    let paths = cost.map_or(&[][..], |cost| &cost.hook_rtt);
    by_class(to, &f::HOOK_RTT, paths)?;
    let sums = by_peer(paths, peers);
    samples_and_seconds(to, &f::PEER_HOOK_RTT_SAMPLES, &f::PEER_HOOK_RTT_SECONDS, &sums)
}

/// Encapsulations without a round trip have no samples.
fn by_class(to: &mut DescriptorEncoder, family: &f::Family, paths: &[impl Path]) -> Result<(), Error> {
    let mut by_class: BTreeMap<Class, (Duration, Vec<u64>)> = BTreeMap::new();
    for path in paths.iter().filter(|path| path.sum().samples != 0) {
        let (time, buckets) = by_class.entry(path.place().1).or_default();
        *time += path.sum().time;
        buckets.resize(buckets.len().max(path.buckets().len()), 0);
        buckets.iter_mut().zip(path.buckets()).for_each(|(sum, count)| *sum += count);
    }
    let mut times = Writer::start(to, family)?;
    for (class, (time, buckets)) in &by_class {
        let labels = [("encapsulation", class.label())];
        times.histogram(&labels, time.as_secs_f64(), &coarse(buckets, ROUND_TRIP, 1e-6))?;
    }
    Ok(())
}

fn samples_and_seconds(
    to: &mut DescriptorEncoder,
    number: &f::Family,
    time: &f::Family,
    sums: &[(PeerLabels, Sum)],
) -> Result<(), Error> {
    let mut samples = Writer::start(to, number)?;
    for (labels, sum) in sums {
        samples.counter(labels, sum.samples)?;
    }
    let mut seconds = Writer::start(to, time)?;
    for (labels, sum) in sums {
        seconds.counter(labels, sum.time.as_secs_f64())?;
    }
    Ok(())
}

/// Drops by peer; other peers are summed.
fn drops(to: &mut DescriptorEncoder, cost: Option<&Cost>, named: &[IpAddr]) -> Result<(), Error> {
    let mut sums: BTreeMap<[String; 4], u64> = BTreeMap::new();
    for row in cost.into_iter().flat_map(|cost| &cost.drops) {
        let peer = if named.contains(&row.peer) { row.peer.to_string() } else { OTHER.to_owned() };
        let key = [peer, row.class.label().to_owned(), row.direction.label().to_owned(), row.reason.clone()];
        *sums.entry(key).or_default() += row.packets;
    }
    let mut packets = Writer::start(to, &f::PEER_DROPS)?;
    for ([peer, encapsulation, direction, reason], count) in sums {
        let labels =
            [("peer", peer), ("encapsulation", encapsulation), ("direction", direction), ("reason", reason)];
        packets.counter(&labels, count)?;
    }
    Ok(())
}

/// The peers with their own series, in order of appearance, which never changes during a measurement, so that no
/// series decreases.
fn named(paths: &[impl Path], peers: usize) -> Vec<IpAddr> {
    let mut named = Vec::new();
    for path in paths {
        let (peer, _) = path.place();
        if !named.contains(&peer) && named.len() < peers {
            named.push(peer);
        }
    }
    named
}

type PeerLabels = [(&'static str, String); 2];

/// The paths of the first peers, and the others summed by encapsulation.
fn by_peer(paths: &[impl Path], peers: usize) -> Vec<(PeerLabels, Sum)> {
    let labels = |peer: String, class: Class| [("peer", peer), ("encapsulation", class.label().to_owned())];
    let (named, mut rows) = (named(paths, peers), Vec::new());
    let mut others: BTreeMap<Class, Sum> = BTreeMap::new();
    for path in paths {
        let ((peer, class), sum) = (path.place(), path.sum());
        if sum.samples == 0 && sum.retransmits == 0 {
            continue;
        }
        if named.contains(&peer) {
            rows.push((labels(peer.to_string(), class), sum));
        } else {
            others.entry(class).or_default().add(sum);
        }
    }
    rows.extend(others.into_iter().map(|(class, sum)| (labels(OTHER.to_owned(), class), sum)));
    rows
}

/// Metadata of the measurement.
fn measurement(to: &mut DescriptorEncoder, snapshot: &Snapshot, cost: Option<&Cost>) -> Result<(), Error> {
    let mut lost = Writer::start(to, &f::COST_DISCARDED)?;
    if let Some(cost) = cost {
        for (reason, count) in cost.discarded.named() {
            lost.counter(&[("reason", reason)], count)?;
        }
    }
    let mut sample = Writer::start(to, &f::COST_SAMPLE)?;
    if let Some(cost) = cost {
        sample.only_gauge(1.0 / f64::from(cost.sample.max(1)))?;
    }
    let mut probe = Writer::start(to, &f::COST_PROBE)?;
    if let Some(cost) = cost {
        probe.only_gauge(cost.probe.as_secs_f64())?;
    }
    let mut missing = Writer::start(to, &f::COST_MISSING)?;
    if let Some(cost) = cost {
        missing.only_gauge(cost.missing.len() as u64)?;
    }
    let mut start = Writer::start(to, &f::COST_START)?;
    if let Some(cost) = cost {
        start.only_gauge(snapshot.taken.saturating_sub(cost.measuring).as_secs_f64())?;
    }
    Ok(())
}

/// Merges the kernel's fine buckets into powers of two: upper bound times `unit`, and the count of that class alone;
/// the last bound is infinite. A value equal to a bound is counted in the next class.
#[expect(clippy::cast_precision_loss, reason = "bounds of fewer than 2^53")]
fn coarse(fine: &[u64], powers: std::ops::RangeInclusive<u32>, unit: f64) -> Vec<(f64, u64)> {
    let bounds: Vec<u64> = powers.map(|power| 1 << power).collect();
    let mut classes: Vec<(f64, u64)> =
        bounds.iter().map(|bound| (*bound as f64 * unit, 0)).chain([(f64::INFINITY, 0)]).collect();
    for (index, count) in (0_u32..).zip(fine) {
        let class = bounds.iter().position(|bound| lower_bound(index) < *bound).unwrap_or(bounds.len());
        classes[class].1 += count;
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use observer_common::cost::{BUCKETS, bucket};

    #[test]
    fn every_fine_bucket_is_inside_one_coarse_bucket() {
        for value in [0, 127, 128, 129, 130_000, 131_071, 131_072, 1 << 40] {
            let mut fine = vec![0; BUCKETS];
            fine[bucket(value) as usize] = 1;
            let classes = coarse(&fine, WORK, 1.0);
            let class = classes.iter().position(|(_, count)| *count == 1).expect("one");
            let (bound, _) = classes[class];
            let below = class.checked_sub(1).map_or(0.0, |before| classes[before].0);
            let value = value as f64;
            assert!(below <= value && (value < bound), "{value} between {below} and {bound}");
            assert_eq!(classes.iter().map(|(_, count)| count).sum::<u64>(), 1);
        }
    }

    #[test]
    fn no_peer_series_decreases_when_peers_are_added() {
        let path = |peer: u8, samples| TcpPath {
            peer: [10, 0, 0, peer].into(),
            class: Class::Ipip,
            samples,
            sum: Duration::ZERO,
            retransmits: samples,
            buckets: Vec::new(),
        };
        let shown = |paths: &[TcpPath]| -> Vec<(String, u64)> {
            let rows = by_peer(paths, 2);
            rows.into_iter().map(|(labels, sum)| (labels[0].1.clone(), sum.samples)).collect()
        };
        let row = |peer: &str, samples| (peer.to_owned(), samples);
        // The first peer has no data yet but keeps its place.
        assert_eq!(
            shown(&[path(1, 0), path(2, 5), path(3, 7), path(4, 1)]),
            [row("10.0.0.2", 5), row("other", 8)]
        );
        assert_eq!(
            shown(&[path(1, 2), path(2, 5), path(3, 7), path(4, 1)]),
            [row("10.0.0.1", 2), row("10.0.0.2", 5), row("other", 8)]
        );
    }
}
