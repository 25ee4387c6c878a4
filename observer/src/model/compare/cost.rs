//! What encapsulation costs, as sums that can be added and taken apart again, where recordings have it.

use observer_common::kind::{Class, Direction};

use super::Sample;
use crate::model::cost::percentiles;
use crate::model::{CostReport, Report, RoundTrips as Row};

/// Figures that not every recording has; `None` where one was not measured, in all of the time or at all
/// of the nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    /// Work of tunnel devices by [`Direction`].
    pub work: Option<[Work; 2]>,
    /// Seconds in network softirqs, and seconds of all CPUs.
    pub softirq: Option<[f64; 2]>,
    /// Round trips of TCP: natively, and through tunnels.
    pub round_trips: Option<[RoundTrips; 2]>,
    /// TCP segments sent again: natively, and through tunnels.
    pub retransmits: Option<[u64; 2]>,
    /// Super-packets that went through tunnel devices: cut by the kernel, and given whole to a device behind.
    pub cut: Option<[u64; 2]>,
    /// Packets to and from peers that the nodes dropped.
    pub dropped: Option<u64>,
    /// Packets of pods that left, natively and through tunnels; by them the former are divided.
    pub sent: [u64; 2],
    /// Round trips at the hooks: natively, and through tunnels.
    pub at_hooks: Option<[RoundTrips; 2]>,
}

/// Encapsulation or decapsulation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Nanoseconds that were measured.
    pub time: f64,
    /// Packets in them.
    pub measured: u64,
    /// Packets that crossed the tunnel devices, measured or not.
    pub crossed: u64,
}

/// Round-trip times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundTrips {
    /// Their sum in microseconds.
    pub time: f64,
    /// How many.
    pub readings: u64,
    /// Readings by µs, see [`observer_common::cost::bucket`].
    pub buckets: Vec<u64>,
}

impl Work {
    /// Nanoseconds of all packets that crossed; `None` where some did and none was measured.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    fn all(&self) -> Option<f64> {
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

    fn join(&self, other: &Self, sums: fn(f64, f64) -> f64, counts: fn(u64, u64) -> u64) -> Self {
        Self {
            time: sums(self.time, other.time),
            readings: counts(self.readings, other.readings),
            buckets: joined(&self.buckets, &other.buckets, counts),
        }
    }
}

/// Histograms of different lengths: what is not there is 0.
fn joined(a: &[u64], b: &[u64], counts: fn(u64, u64) -> u64) -> Vec<u64> {
    let of = |buckets: &[u64], index: usize| buckets.get(index).copied().unwrap_or(0);
    (0..a.len().max(b.len())).map(|index| counts(of(a, index), of(b, index))).collect()
}

impl Extras {
    /// What a report has; `sample` holds the traffic of the same report, the packets that were sent too.
    pub(super) fn of(report: &Report, sample: &Sample) -> Self {
        let sent = sample.extras.sent;
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

    /// Field by field; what one of the two has not, neither has.
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

    /// Both together.
    pub(super) fn with(&self, other: &Self) -> Self {
        self.join(other, |a, b| a + b, u64::saturating_add)
    }

    /// Without a part.
    pub(super) fn without(&self, part: &Self) -> Self {
        self.join(part, |a, b| a - b, u64::saturating_sub)
    }
}

/// `None` where the hook of a measured device was lost.
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

/// Which round trips.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// All of them.
    All,
    /// To peers that are reached natively.
    Native,
    /// To peers behind a tunnel.
    Tunnelled,
}

/// Who timed them.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// The kernel, for sockets of the node.
    Sockets,
    /// The hooks.
    Hooks,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    fn over(part: f64, whole: u64) -> Option<f64> {
        (whole != 0).then(|| part / whole as f64)
    }

    /// What tunnel devices did; `None` where tunnel packets crossed the underlay that no measured device saw:
    /// WireGuard's, or those of a tunnel in user space. Asked of sums only: a snapshot does not read its devices
    /// at one moment, so one interval may have a packet on the underlay that the next one has in the tunnel.
    fn work(&self) -> Option<[Work; 2]> {
        let work = self.extras.work?;
        let unseen = self.tunnelled.packets() != 0 && work.iter().all(|work| work.crossed == 0);
        let wireguard = self.classes[Class::Wireguard as usize] != 0;
        (!unseen && !wireguard).then_some(work)
    }

    /// Nanoseconds for a packet of what was measured in a direction.
    pub(super) fn packet_time(&self, direction: Direction) -> Option<f64> {
        let work = self.work()?[direction as usize];
        Self::over(work.time, work.measured)
    }

    /// Nanoseconds of encapsulation and decapsulation.
    fn encapsulation_time(&self) -> Option<f64> {
        let [ingress, egress] = self.work()?;
        Some(ingress.all()? + egress.all()?)
    }

    /// The same by packets of pods, encapsulated or not: what a mode makes of the same traffic.
    pub(super) fn pod_packet_time(&self) -> Option<f64> {
        Self::over(self.encapsulation_time()?, self.pods().packets())
    }

    /// How much of a change of [`Self::pod_packet_time`] other shares of packets in tunnels explain, at the
    /// mean time for one. The rest is the time for a packet, which the machine's other load moves as well.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub(super) fn pod_packet_time_explained(&self, after: &Self) -> Option<f64> {
        let (b, a) = (self.work()?, after.work()?);
        let mut sum = 0.0;
        for direction in Direction::ALL {
            let share = |sample: &Self, work: &[Work; 2]| {
                Self::over(work[direction as usize].crossed as f64, sample.pods().packets())
            };
            let moved = share(after, &a)? - share(self, &b)?;
            let time = match (self.packet_time(direction), after.packet_time(direction)) {
                (Some(before), Some(after)) => f64::midpoint(before, after),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) if moved == 0.0 => 0.0,
                (None, None) => return None,
            };
            sum += moved * time;
        }
        Some(sum)
    }

    /// [`Self::encapsulation_time`] as a share of one CPU of each node.
    pub(super) fn encapsulation_cpu(&self) -> Option<f64> {
        (self.seconds > 0.0).then_some(self.encapsulation_time()? / 1e9 / self.seconds)
    }

    /// Share of all CPUs in network softirqs.
    pub(super) fn softirq_share(&self) -> Option<f64> {
        let [busy, all] = self.extras.softirq?;
        (all > 0.0).then_some(busy / all)
    }

    fn round_trips(&self, by: By, kind: Kind) -> Option<RoundTrips> {
        let [native, tunnelled] = match by {
            By::Sockets => self.extras.round_trips.as_ref()?,
            By::Hooks => self.extras.at_hooks.as_ref()?,
        };
        Some(match kind {
            Kind::All => native.join(tunnelled, |a, b| a + b, u64::saturating_add),
            Kind::Native => native.clone(),
            Kind::Tunnelled => tunnelled.clone(),
        })
    }

    /// Mean round-trip time in µs.
    pub(super) fn round_trip(&self, by: By) -> Option<f64> {
        let all = self.round_trips(by, Kind::All)?;
        Self::over(all.time, all.readings)
    }

    /// Median (0), 90th (1) or 99th percentile (2) of round-trip times in µs.
    pub(super) fn round_trip_percentile(&self, by: By, kind: Kind, which: usize) -> Option<f64> {
        percentiles(&self.round_trips(by, kind)?.buckets, 1.0).map(|values| values[which])
    }

    /// Segments sent again over packets of pods that left.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub(super) fn sent_again(&self) -> Option<f64> {
        let again: u64 = self.extras.retransmits?.iter().sum();
        Self::over(again as f64, self.extras.sent.iter().sum())
    }

    /// Super-packets that the kernel cut, over all that went through tunnel devices.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub(super) fn cut_in_software(&self) -> Option<f64> {
        let [cut, whole] = self.extras.cut?;
        Self::over(cut as f64, cut.saturating_add(whole))
    }

    /// Packets that the nodes dropped, over the packets of pods.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub(super) fn dropped(&self) -> Option<f64> {
        Self::over(self.extras.dropped? as f64, self.pods().packets())
    }
}
