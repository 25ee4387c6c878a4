//! The cost of encapsulation over an interval.

use std::net::IpAddr;
use std::time::Duration;

use observer_common::cost::lower_bound;
use observer_common::kind::{Class, Direction};

use super::per_second;
use crate::cost::{Cost, Discarded, Drops, HookRttPath, Offload, Softirq, Span, TcpPath};

/// The cost over an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CostReport {
    /// 1/N of the time was measured.
    pub sample: u32,
    /// Probe overhead subtracted from each measurement.
    pub probe: Duration,
    /// By tunnel device and direction, including those without a measured packet.
    pub spans: Vec<SpanRow>,
    /// What could not be measured.
    pub discarded: Discarded,
    /// Shares of each CPU in network softirqs.
    pub softirqs: Vec<SoftirqRow>,
    /// By peer and encapsulation, without those that have no data.
    pub tcp: Vec<TcpRow>,
    /// Packets that this node dropped, grouped by path, the most frequent reason first.
    pub drops: Vec<Drops>,
    /// What cannot be measured on this kernel.
    pub missing: Vec<String>,
    /// Round trips at the hooks by peer and encapsulation, without those that have no data.
    pub hook_rtt: Vec<HookRttRow>,
}

/// Encapsulation or decapsulation.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanRow {
    /// The tunnel device.
    pub device: String,
    /// Egress: encapsulation. Ingress: decapsulation.
    pub direction: Direction,
    /// The encapsulation.
    pub class: Class,
    /// Measured skbs and packets.
    pub measured: (u64, u64),
    /// Mean ns per packet; `None` if none was measured.
    pub packet: Option<f64>,
    /// Mean ns per skb.
    pub skb: Option<f64>,
    /// Median, 90th and 99th percentile of ns per skb.
    pub percentiles: Option<[f64; 3]>,
    /// Share of one CPU: ns per packet times packets per second at the device's hook; `None` if either is unknown.
    pub cpu: Option<f64>,
    /// Share of the measured time that was probe overhead and was subtracted.
    pub own: Option<f64>,
    /// Egress only: work offloaded to the hardware or done in software.
    pub offload: Offload,
    /// Skbs by time.
    pub buckets: Vec<u64>,
}

/// One CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftirqRow {
    /// The CPU.
    pub cpu: u32,
    /// Share of its time in NET_TX softirqs.
    pub transmit: Option<f64>,
    /// Share of its time in NET_RX softirqs.
    pub receive: Option<f64>,
}

/// TCP by path.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpRow {
    /// The peer node.
    pub peer: IpAddr,
    /// The encapsulation.
    pub class: Class,
    /// Number of round-trip times.
    pub samples: u64,
    /// Their mean, ms.
    pub mean: Option<f64>,
    /// Median, 90th and 99th percentile, ms.
    pub percentiles: Option<[f64; 3]>,
    /// Retransmitted segments.
    pub retransmits: u64,
    /// Packets of any protocol that this node dropped; `None` if the kernel does not allow counting them.
    pub dropped: Option<u64>,
    /// The most frequent drop reason.
    pub reason: Option<String>,
    /// Median, 90th and 99th percentile of the same path's round trips at the hook, ms.
    pub at_hook: Option<[f64; 3]>,
    /// Buckets in µs.
    pub buckets: Vec<u64>,
}

/// Round trips at the hooks, by path.
#[derive(Clone, Debug, PartialEq)]
pub struct HookRttRow {
    /// The peer node.
    pub peer: IpAddr,
    /// The encapsulation.
    pub class: Class,
    /// Number of round-trip times.
    pub samples: u64,
    /// Their mean, ms.
    pub mean: Option<f64>,
    /// Median, 90th and 99th percentile, ms.
    pub percentiles: Option<[f64; 3]>,
    /// Buckets in µs.
    pub buckets: Vec<u64>,
}

/// Round-trip times of a path, from sockets or at the hooks.
pub trait RoundTrips {
    /// The peer node and the encapsulation.
    fn path(&self) -> (IpAddr, Class);
    /// Their number.
    fn samples(&self) -> u64;
    /// Their mean, ms.
    fn mean(&self) -> Option<f64>;
    /// Median, 90th and 99th percentile, ms.
    fn percentiles(&self) -> Option<[f64; 3]>;
    /// Their number by µs.
    fn buckets(&self) -> &[u64];
}

macro_rules! round_trips {
    ($($row:ty),*) => {$(
        impl RoundTrips for $row {
            fn path(&self) -> (IpAddr, Class) {
                (self.peer, self.class)
            }
            fn samples(&self) -> u64 {
                self.samples
            }
            fn mean(&self) -> Option<f64> {
                self.mean
            }
            fn percentiles(&self) -> Option<[f64; 3]> {
                self.percentiles
            }
            fn buckets(&self) -> &[u64] {
                &self.buckets
            }
        }
    )*};
}

round_trips!(TcpRow, HookRttRow);

impl CostReport {
    /// The difference between two readings, or everything in `later`. `packets` returns the packets that a device's
    /// hook counted over the interval.
    #[must_use]
    pub fn between(
        earlier: Option<&Cost>,
        later: &Cost,
        interval: Duration,
        packets: impl Fn(&str, Direction) -> Option<u64>,
    ) -> Self {
        // An earlier reading with a longer measurement belongs to a previous measurement.
        let earlier = earlier.filter(|earlier| earlier.measuring <= later.measuring);
        let measured = later.measuring.saturating_sub(earlier.map_or(Duration::ZERO, |e| e.measuring));
        let before = |span: &Span| {
            earlier.and_then(|e| {
                e.spans.iter().find(|b| b.device == span.device && b.direction == span.direction)
            })
        };
        let of = |path: &TcpPath| {
            earlier.and_then(|e| e.tcp.iter().find(|b| b.peer == path.peer && b.class == path.class))
        };
        let drops = drops(earlier, later);
        let at_hooks = |path: &HookRttPath| {
            earlier.and_then(|e| e.hook_rtt.iter().find(|b| b.peer == path.peer && b.class == path.class))
        };
        let hook_rtt: Vec<_> = later
            .hook_rtt
            .iter()
            .map(|path| hook_rtt_row(at_hooks(path), path))
            .filter(|row| row.samples != 0)
            .collect();
        let counted = !later.missing.iter().any(|missing| missing.starts_with("drops"));
        let tcp = |path| tcp_row(of(path), path, counted.then_some(&drops[..]), &hook_rtt);
        Self {
            sample: later.sample,
            probe: later.probe,
            spans: later
                .spans
                .iter()
                .map(|span| span_row(before(span), span, interval, packets(&span.device, span.direction)))
                .collect(),
            discarded: discarded(earlier.map(|e| e.discarded).unwrap_or_default(), later.discarded),
            softirqs: softirqs(earlier, later, measured),
            tcp: later.tcp.iter().map(tcp).filter(TcpRow::has_something).collect(),
            drops,
            missing: later.missing.clone(),
            hook_rtt,
        }
    }
}

impl TcpRow {
    fn has_something(&self) -> bool {
        let dropped = self.dropped.is_some_and(|packets| packets != 0);
        self.samples != 0 || self.retransmits != 0 || dropped || self.at_hook.is_some()
    }
}

fn drops(earlier: Option<&Cost>, later: &Cost) -> Vec<Drops> {
    let same = |a: &Drops, b: &Drops| {
        (a.peer, a.class, a.direction, &a.reason) == (b.peer, b.class, b.direction, &b.reason)
    };
    let before = |row: &Drops| {
        earlier.and_then(|e| e.drops.iter().find(|b| same(b, row))).map_or(0, |before| before.packets)
    };
    let since = |row: &Drops| Drops { packets: row.packets.saturating_sub(before(row)), ..row.clone() };
    let mut rows: Vec<_> = later.drops.iter().map(since).filter(|row| row.packets != 0).collect();
    rows.sort_by_key(|row| (row.peer, row.class, std::cmp::Reverse(row.packets)));
    rows
}

fn discarded(before: Discarded, after: Discarded) -> Discarded {
    Discarded {
        unsent: after.unsent.saturating_sub(before.unsent),
        undelivered: after.undelivered.saturating_sub(before.undelivered),
        interrupted: after.interrupted.saturating_sub(before.interrupted),
        unreadable: after.unreadable.saturating_sub(before.unreadable),
        uncounted: after.uncounted.saturating_sub(before.uncounted),
    }
}

fn since(earlier: Option<&Vec<u64>>, later: &[u64]) -> Vec<u64> {
    let before = |index: usize| earlier.and_then(|e| e.get(index)).copied().unwrap_or(0);
    later.iter().enumerate().map(|(index, count)| count.saturating_sub(before(index))).collect()
}

fn span_row(earlier: Option<&Span>, later: &Span, interval: Duration, seen: Option<u64>) -> SpanRow {
    let skbs = later.skbs - earlier.map_or(0, |e| e.skbs.min(later.skbs));
    let packets = later.packets - earlier.map_or(0, |e| e.packets.min(later.packets));
    let time = later.time.saturating_sub(earlier.map_or(Duration::ZERO, |e| e.time));
    let own = later.own.saturating_sub(earlier.map_or(Duration::ZERO, |e| e.own));
    let buckets = since(earlier.map(|e| &e.buckets), &later.buckets);
    let packet = mean(time, packets);
    let rate = seen.and_then(|seen| per_second(seen, interval));
    SpanRow {
        device: later.device.clone(),
        direction: later.direction,
        class: later.class,
        measured: (skbs, packets),
        packet,
        skb: mean(time, skbs),
        percentiles: percentiles(&buckets, 1.0),
        cpu: rate.and_then(|rate| if rate == 0.0 { Some(0.0) } else { packet.map(|ns| rate * ns / 1e9) }),
        offload: later.offload.since(earlier.map(|e| e.offload).unwrap_or_default()),
        own: (skbs != 0).then(|| own.as_secs_f64() / (own + time).as_secs_f64().max(f64::MIN_POSITIVE)),
        buckets,
    }
}

fn softirqs(earlier: Option<&Cost>, later: &Cost, interval: Duration) -> Vec<SoftirqRow> {
    let share = |before: Duration, after: Duration| {
        let length = interval.as_secs_f64();
        (length > 0.0).then(|| after.saturating_sub(before).as_secs_f64() / length)
    };
    let row = |after: &Softirq| {
        let before = earlier.and_then(|e| e.softirqs.iter().find(|b| b.cpu == after.cpu));
        SoftirqRow {
            cpu: after.cpu,
            transmit: share(before.map_or(Duration::ZERO, |b| b.transmit), after.transmit),
            receive: share(before.map_or(Duration::ZERO, |b| b.receive), after.receive),
        }
    };
    later.softirqs.iter().map(row).collect()
}

/// A path with its drops (`None` if they are not counted) and its round trips at the hooks.
fn tcp_row(
    earlier: Option<&TcpPath>,
    later: &TcpPath,
    drops: Option<&[Drops]>,
    hook_rtt: &[HookRttRow],
) -> TcpRow {
    let here = (later.peer, later.class);
    let dropped = || drops.into_iter().flatten().filter(|drop| (drop.peer, drop.class) == here);
    let same = hook_rtt.iter().find(|hook_rtt| (hook_rtt.peer, hook_rtt.class) == here);
    let times =
        times(earlier.map(|e| (e.samples, e.sum, &e.buckets)), (later.samples, later.sum, &later.buckets));
    TcpRow {
        dropped: drops.map(|_| dropped().map(|drop| drop.packets).sum()),
        reason: dropped().next().map(|drop| drop.reason.clone()),
        at_hook: same.and_then(|hook_rtt| hook_rtt.percentiles),
        peer: later.peer,
        class: later.class,
        samples: times.samples,
        mean: times.mean,
        percentiles: times.percentiles,
        retransmits: later.retransmits - earlier.map_or(0, |e| e.retransmits.min(later.retransmits)),
        buckets: times.buckets,
    }
}

fn hook_rtt_row(earlier: Option<&HookRttPath>, later: &HookRttPath) -> HookRttRow {
    let times =
        times(earlier.map(|e| (e.samples, e.sum, &e.buckets)), (later.samples, later.sum, &later.buckets));
    HookRttRow {
        peer: later.peer,
        class: later.class,
        samples: times.samples,
        mean: times.mean,
        percentiles: times.percentiles,
        buckets: times.buckets,
    }
}

struct Times {
    samples: u64,
    mean: Option<f64>,
    percentiles: Option<[f64; 3]>,
    buckets: Vec<u64>,
}

/// Round-trip times between two readings of their number, sum and buckets in µs.
fn times(earlier: Option<(u64, Duration, &Vec<u64>)>, later: (u64, Duration, &Vec<u64>)) -> Times {
    let samples = later.0 - earlier.map_or(0, |e| e.0.min(later.0));
    let sum = later.1.saturating_sub(earlier.map_or(Duration::ZERO, |e| e.1));
    let buckets = since(earlier.map(|e| e.2), later.2);
    Times {
        samples,
        mean: mean(sum, samples).map(|ns| ns / 1e6),
        percentiles: percentiles(&buckets, 1e-3),
        buckets,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean of fewer than 2^53")]
fn mean(time: Duration, count: u64) -> Option<f64> {
    (count != 0).then(|| time.as_secs_f64() * 1e9 / count as f64)
}

/// Median, 90th and 99th percentile, times `unit`. Values are assumed to be evenly distributed within a bucket.
#[expect(clippy::cast_precision_loss, reason = "counts of fewer than 2^53")]
pub(super) fn percentiles(buckets: &[u64], unit: f64) -> Option<[f64; 3]> {
    let all: u64 = buckets.iter().sum();
    if all == 0 {
        return None;
    }
    let at = |part: f64| {
        let target = part * all as f64;
        let mut below = 0.0;
        for (index, count) in (0_u32..).zip(buckets) {
            let count = *count as f64;
            if count > 0.0 && below + count >= target {
                let (from, to) = (lower_bound(index) as f64, lower_bound(index + 1) as f64);
                return (from + (to - from) * ((target - below) / count)) * unit;
            }
            below += count;
        }
        lower_bound(u32::try_from(buckets.len()).unwrap_or(u32::MAX)) as f64 * unit
    };
    Some([at(0.5), at(0.9), at(0.99)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use observer_common::cost::{BUCKETS, bucket};

    fn span(values: &[u64]) -> Span {
        let mut buckets = vec![0; BUCKETS];
        for value in values {
            buckets[bucket(*value) as usize] += 1;
        }
        Span {
            device: "vxlan.calico".to_owned(),
            direction: Direction::Egress,
            class: Class::Vxlan,
            skbs: values.len() as u64,
            packets: values.len() as u64 * 2,
            time: Duration::from_nanos(values.iter().sum()),
            own: Duration::ZERO,
            offload: Offload::default(),
            buckets,
        }
    }

    fn cost(values: &[u64]) -> Cost {
        Cost { sample: 1, spans: vec![span(values)], ..Cost::default() }
    }

    #[test]
    fn cpu_share_is_time_per_packet_times_packet_rate() {
        let later = cost(&[1000; 10]);
        let report = CostReport::between(None, &later, Duration::from_secs(2), |_, _| Some(400_000));
        let row = &report.spans[0];
        assert_eq!(row.measured, (10, 20));
        assert_eq!(row.skb, Some(1000.0));
        assert_eq!(row.packet, Some(500.0));
        let share = row.cpu.expect("both are known");
        assert!((share - 0.1).abs() < 1e-9, "{share}: 200,000 packets/s of 500 ns are a tenth");
    }

    #[test]
    fn unmeasured_figures_are_unknown() {
        let report = CostReport::between(None, &cost(&[]), Duration::from_secs(1), |_, _| Some(5));
        let row = &report.spans[0];
        assert_eq!((row.packet, row.percentiles, row.cpu), (None, None, None));
        // Without packets counted by a hook, the CPU share is unknown, but not the cost per packet.
        let report = CostReport::between(None, &cost(&[700]), Duration::from_secs(1), |_, _| None);
        assert_eq!((report.spans[0].packet, report.spans[0].cpu), (Some(350.0), None));
        // No packets cost nothing, measured or not.
        let report = CostReport::between(None, &cost(&[]), Duration::from_secs(1), |_, _| Some(0));
        assert_eq!(report.spans[0].cpu, Some(0.0));
    }

    #[test]
    fn percentiles_are_accurate_to_a_bucket() {
        let values: Vec<u64> = (1..=1000).collect();
        let report = CostReport::between(None, &cost(&values), Duration::from_secs(1), |_, _| None);
        let [median, ninety, ninety_nine] = report.spans[0].percentiles.expect("measured");
        for (found, truth) in [(median, 500.0), (ninety, 900.0), (ninety_nine, 990.0)] {
            assert!((found / truth - 1.0_f64).abs() < 0.02, "{found} instead of {truth}");
        }
    }

    #[test]
    fn softirq_shares_refer_to_the_measured_time() {
        let at = |seconds, busy| Cost {
            measuring: Duration::from_secs(seconds),
            softirqs: vec![Softirq { cpu: 0, transmit: Duration::ZERO, receive: Duration::from_secs(busy) }],
            ..cost(&[])
        };
        let share = |earlier: Option<&Cost>, later: &Cost| {
            let report = CostReport::between(earlier, later, Duration::from_secs(100), |_, _| None);
            report.softirqs[0].receive
        };
        assert_eq!(share(Some(&at(10, 2)), &at(14, 3)), Some(0.25));
        assert_eq!(share(None, &at(4, 2)), Some(0.5), "counting began long before the measurement");
        assert_eq!(share(Some(&at(90, 60)), &at(4, 1)), Some(0.25), "the measurement restarted in between");
        assert_eq!(share(None, &at(0, 0)), None);
    }

    #[test]
    fn an_interval_contains_only_the_difference() {
        let (earlier, later) = (cost(&[100; 4]), cost(&[100, 100, 100, 100, 3000]));
        let report = CostReport::between(Some(&earlier), &later, Duration::from_secs(1), |_, _| None);
        assert_eq!(report.spans[0].measured, (1, 2));
        assert_eq!(report.spans[0].skb, Some(3000.0));
    }
}
