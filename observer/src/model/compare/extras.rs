//! Sums of cost and latency, which only some recordings have.

use crate::model::{CostReport, Report, RoundTrips as Row};

/// Figures that not every recording has; `None` if one was not measured all the time on all nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    /// Work of tunnel devices by [`Direction`].
    pub work: Option<[Work; 2]>,
    /// Seconds in network softirqs, and seconds of all CPUs.
    pub softirq: Option<[f64; 2]>,
    /// TCP round trips: native, and through tunnels.
    pub round_trips: Option<[RoundTrips; 2]>,
    /// Retransmitted TCP segments: native, and through tunnels.
    pub retransmits: Option<[u64; 2]>,
    /// GSO skbs sent through tunnel devices: segmented by the kernel, and offloaded.
    pub cut: Option<[u64; 2]>,
    /// Packets to and from peers that the nodes dropped.
    pub dropped: Option<u64>,
    /// Sent pod packets, native and through tunnels: the denominator of retransmissions.
    pub sent: [u64; 2],
    /// Round trips at the hooks: native, and through tunnels.
    pub at_hooks: Option<[RoundTrips; 2]>,
}

/// Encapsulation or decapsulation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Measured nanoseconds.
    pub time: f64,
    /// Packets in the measurements.
    pub measured: u64,
    /// Packets that crossed the tunnel devices, measured or not.
    pub crossed: u64,
}

/// Round-trip times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundTrips {
    /// Their sum in microseconds.
    pub time: f64,
    /// Their number.
    pub readings: u64,
    /// Readings by µs, see [`observer_common::cost::bucket`].
    pub buckets: Vec<u64>,
}

impl Work {
    /// Nanoseconds of all packets that crossed, extrapolated; `None` if none of them was measured.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub(super) fn all(&self) -> Option<f64> {
        match (self.crossed, self.measured) {
            (0, _) => Some(0.0),
            (_, 0) => None,
            (crossed, measured) => Some(self.time / measured as f64 * crossed as f64),
        }
    }

    fn join(&self, other: &Self, sums: fn(f64, f64) -> f64, counts: fn(u64, u64) -> u64) -> Self {
        Self {
            time: sums(self.time, other.time),
            measured: counts(self.measured, other.measured),
            crossed: counts(self.crossed, other.crossed),
        }
    }
}

impl RoundTrips {
    fn add(&mut self, row: &impl Row) {
        #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
        let time = row.mean().unwrap_or(0.0) * 1e3 * row.samples() as f64;
        self.time += time;
        self.readings += row.samples();
        self.buckets = joined(&self.buckets, row.buckets(), u64::saturating_add);
    }

    pub(super) fn join(&self, other: &Self, sums: fn(f64, f64) -> f64, counts: fn(u64, u64) -> u64) -> Self {
        Self {
            time: sums(self.time, other.time),
            readings: counts(self.readings, other.readings),
            buckets: joined(&self.buckets, &other.buckets, counts),
        }
    }
}

/// Histograms of different lengths; missing buckets are 0.
fn joined(a: &[u64], b: &[u64], counts: fn(u64, u64) -> u64) -> Vec<u64> {
    let of = |buckets: &[u64], index: usize| buckets.get(index).copied().unwrap_or(0);
    (0..a.len().max(b.len())).map(|index| counts(of(a, index), of(b, index))).collect()
}

impl Extras {
    /// What a report has; `sent` as in the field.
    pub(super) fn of(report: &Report, sent: [u64; 2]) -> Self {
        let Some(cost) = &report.cost else { return Self { sent, ..Self::default() } };
        let lacks = |what: &str| cost.missing.iter().any(|missing| missing.starts_with(what));
        Self {
            work: work(report, cost).filter(|_| !lacks("encapsulation") && !lacks("decapsulation")),
            softirq: softirq(report, cost),
            round_trips: (!lacks("round-trip times")).then(|| round_trips(&cost.tcp)),
            retransmits: (!lacks("retransmissions")).then(|| retransmits(cost)),
            dropped: (!lacks("drops")).then(|| cost.drops.iter().map(|row| row.packets).sum()),
            cut: (!lacks("segmentation in software")).then(|| cut(cost)),
            sent,
            at_hooks: (!lacks("round trips at the hooks")).then(|| round_trips(&cost.hook_rtt)),
        }
    }

    /// Field by field; `None` if one of the two is.
    fn join(&self, other: &Self, sums: fn(f64, f64) -> f64, counts: fn(u64, u64) -> u64) -> Self {
        fn both<T, U>(a: &Option<T>, b: &Option<T>, join: impl Fn(&T, &T) -> U) -> Option<U> {
            Some(join(a.as_ref()?, b.as_ref()?))
        }
        let trips = |a: &[RoundTrips; 2], b: &[RoundTrips; 2]| {
            [0, 1].map(|kind: usize| a[kind].join(&b[kind], sums, counts))
        };
        let two = |a: [u64; 2], b: [u64; 2]| [0, 1].map(|kind: usize| counts(a[kind], b[kind]));
        Self {
            work: both(&self.work, &other.work, |a, b| [0, 1].map(|d: usize| a[d].join(&b[d], sums, counts))),
            softirq: both(&self.softirq, &other.softirq, |a, b| [0, 1].map(|n: usize| sums(a[n], b[n]))),
            round_trips: both(&self.round_trips, &other.round_trips, trips),
            at_hooks: both(&self.at_hooks, &other.at_hooks, trips),
            retransmits: both(&self.retransmits, &other.retransmits, |a, b| two(*a, *b)),
            dropped: both(&self.dropped, &other.dropped, |a, b| counts(*a, *b)),
            cut: both(&self.cut, &other.cut, |a, b| two(*a, *b)),
            sent: two(self.sent, other.sent),
        }
    }

    /// The sum of both.
    pub(super) fn with(&self, other: &Self) -> Self {
        self.join(other, |a, b| a + b, u64::saturating_add)
    }

    /// Without a part.
    pub(super) fn without(&self, part: &Self) -> Self {
        self.join(part, |a, b| a - b, u64::saturating_sub)
    }
}

/// `None` if the hook of a measured device was lost.
fn work(report: &Report, cost: &CostReport) -> Option<[Work; 2]> {
    let mut work = [Work::default(); 2];
    for span in &cost.spans {
        let sum = &mut work[span.direction as usize];
        let (_, packets) = span.measured;
        #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
        let time = span.packet.unwrap_or(0.0) * packets as f64;
        sum.time += time;
        sum.measured += packets;
        sum.crossed += report.counted(&span.device, span.direction)?;
    }
    Some(work)
}

fn softirq(report: &Report, cost: &CostReport) -> Option<[f64; 2]> {
    let mut sum = [0.0; 2];
    for row in &cost.softirqs {
        let seconds = report.interval.as_secs_f64();
        sum[0] += (row.receive? + row.transmit?) * seconds;
        sum[1] += seconds;
    }
    (!cost.softirqs.is_empty()).then_some(sum)
}

fn round_trips(rows: &[impl Row]) -> [RoundTrips; 2] {
    let mut kinds = [RoundTrips::default(), RoundTrips::default()];
    rows.iter().for_each(|row| kinds[usize::from(row.path().1.is_tunnel())].add(row));
    kinds
}

fn retransmits(cost: &CostReport) -> [u64; 2] {
    let mut kinds = [0; 2];
    cost.tcp.iter().for_each(|row| kinds[usize::from(row.class.is_tunnel())] += row.retransmits);
    kinds
}

fn cut(cost: &CostReport) -> [u64; 2] {
    let sums = cost.spans.iter().map(|span| [span.offload.cut, span.offload.whole]);
    sums.fold([0; 2], |sum, one| [0, 1].map(|kind: usize| sum[kind].saturating_add(one[kind])))
}
