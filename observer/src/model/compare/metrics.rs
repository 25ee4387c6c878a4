//! The metrics of a comparison, defined once for every view.

use observer_common::counters::Total;
use observer_common::kind::Direction;

use super::Sample;
use super::cost::{By, Kind};
use crate::model::Figures;

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A ratio between 0 and 1, shown in percent.
    Ratio,
    /// Bytes.
    Bytes,
    /// Bits per second.
    BitsPerSecond,
    /// Packets per second.
    PacketsPerSecond,
    /// Per million packets.
    PerMillion,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl Unit {
    /// The label in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ratio => "ratio",
            Self::Bytes => "bytes",
            Self::BitsPerSecond => "bits_per_second",
            Self::PacketsPerSecond => "packets_per_second",
            Self::PerMillion => "per_million_packets",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }
}

/// Metrics of one group are shown together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Encapsulation and its overhead.
    Encapsulation,
    /// Fragments and packets that are too big.
    Size,
    /// Latency and CPU time.
    Cost,
    /// The traffic, which the mode does not determine.
    Traffic,
}

impl Group {
    /// Every group, in their order.
    pub const ALL: [Self; 4] = [Self::Encapsulation, Self::Size, Self::Cost, Self::Traffic];

    /// The label in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Encapsulation => "encapsulation",
            Self::Size => "size",
            Self::Cost => "cost",
            Self::Traffic => "traffic",
        }
    }

    /// The label in other formats.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Encapsulation => "Encapsulation of pod traffic",
            Self::Size => "Fragments and oversized packets, per million pod packets",
            Self::Cost => "Latency and CPU",
            Self::Traffic => "Traffic (independent of the mode)",
        }
    }
}

/// Which direction is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Lower.
    Lower,
    /// Neither: it describes the traffic.
    Neither,
}

/// How a metric is computed from sums.
#[derive(Clone, Copy, Debug)]
enum What {
    /// One sum over another, times a factor.
    Quotient(fn(&Sample) -> (u64, u64), f64),
    /// A sum over time, times a factor.
    Rate(fn(&Sample) -> u64, f64),
    /// A maximum since counting began.
    Maximum(fn(&Sample) -> u64),
    /// A figure that not every recording has.
    Extra(fn(&Sample) -> Option<f64>),
    /// A percentile of round-trip times, as [`Sample::round_trip_percentile`] numbers them.
    RoundTrip(By, Kind, usize),
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in JSON.
    pub id: &'static str,
    /// The label in other formats.
    pub title: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Its group.
    pub group: Group,
    /// Which direction is better.
    pub better: Better,
    /// Shown in tables only if it was measured.
    pub detail: bool,
    what: What,
}

const MILLION: f64 = 1e6;

const fn lower(id: &'static str, title: &'static str, unit: Unit, group: Group, what: What) -> Metric {
    Metric { id, title, unit, group, better: Better::Lower, detail: false, what }
}

const fn traffic(id: &'static str, title: &'static str, unit: Unit, what: What) -> Metric {
    Metric { id, title, unit, group: Group::Traffic, better: Better::Neither, detail: false, what }
}

const fn per_million(id: &'static str, title: &'static str, what: fn(&Sample) -> (u64, u64)) -> Metric {
    lower(id, title, Unit::PerMillion, Group::Size, What::Quotient(what, MILLION))
}

const fn extra(
    id: &'static str,
    title: &'static str,
    unit: Unit,
    what: fn(&Sample) -> Option<f64>,
) -> Metric {
    lower(id, title, unit, Group::Cost, What::Extra(what))
}

const fn detail(
    id: &'static str,
    title: &'static str,
    unit: Unit,
    what: fn(&Sample) -> Option<f64>,
) -> Metric {
    Metric { detail: true, ..extra(id, title, unit, what) }
}

const fn round_trip(id: &'static str, title: &'static str, kind: Kind, which: usize) -> Metric {
    let metric = lower(id, title, Unit::Microseconds, Group::Cost, What::RoundTrip(By::Sockets, kind, which));
    Metric { detail: true, ..metric }
}

const fn at_hooks(id: &'static str, title: &'static str, kind: Kind, which: usize) -> Metric {
    Metric { what: What::RoundTrip(By::Hooks, kind, which), ..round_trip(id, title, kind, which) }
}

fn overhead(figures: &Figures) -> (u64, u64) {
    (figures.overhead_bytes(), figures.get(Total::L3Bytes))
}

/// Every metric, in the order of views. Pod traffic is the encapsulated and native traffic on the underlay; external
/// traffic is included only in figures of the whole underlay.
pub static METRICS: [Metric; 44] = [
    lower(
        "encapsulated_packets",
        "encapsulated packets",
        Unit::Ratio,
        Group::Encapsulation,
        What::Quotient(|s| (s.tunnelled.packets(), s.pods().packets()), 1.0),
    ),
    lower(
        "encapsulated_bytes",
        "encapsulated inner bytes",
        Unit::Ratio,
        Group::Encapsulation,
        What::Quotient(|s| (s.tunnelled.get(Total::InnerBytes), s.pods().get(Total::InnerBytes)), 1.0),
    ),
    lower(
        "overhead_ratio",
        "overhead of pod traffic",
        Unit::Ratio,
        Group::Encapsulation,
        What::Quotient(|s| overhead(&s.pods()), 1.0),
    ),
    lower(
        "underlay_overhead_ratio",
        "overhead of all underlay traffic",
        Unit::Ratio,
        Group::Encapsulation,
        What::Quotient(|s| overhead(&s.all()), 1.0),
    ),
    lower(
        "overhead_bytes_per_packet",
        "overhead per packet",
        Unit::Bytes,
        Group::Encapsulation,
        What::Quotient(|s| (s.pods().overhead_bytes(), s.pods().packets()), 1.0),
    ),
    lower(
        "wire_bytes_per_inner_byte",
        "wire bytes per inner byte",
        Unit::Bytes,
        Group::Encapsulation,
        What::Quotient(|s| (s.pods().get(Total::WireBytes), s.pods().get(Total::InnerBytes)), 1.0),
    ),
    per_million("tunnel_fragments", "fragments of tunnel packets", |s| {
        (s.tunnelled.outer_fragments().count(), s.pods().packets())
    }),
    per_million("pod_fragments", "fragments of inner packets", |s| {
        (s.native.fragments() + s.tunnelled.inner_fragments().count(), s.pods().packets())
    }),
    per_million("fragments", "fragments, total", |s| (s.pods().fragments(), s.pods().packets())),
    per_million("oversized", "oversized", |s| (s.all().get(Total::Oversized), s.pods().packets())),
    per_million("would_fragment", "would be fragmented by the tunnel", |s| {
        (s.tunnels.get(Total::WouldFragment), s.pods().packets())
    }),
    per_million("would_drop", "would be dropped by the tunnel", |s| {
        (s.tunnels.get(Total::WouldDrop), s.pods().packets())
    }),
    per_million("ptb", "PTB messages", |s| (s.ptb, s.pods().packets())),
    extra("rtt", "RTT, mean", Unit::Microseconds, |s| s.round_trip(By::Sockets)),
    round_trip("rtt_p50", "RTT, p50", Kind::All, 0),
    round_trip("rtt_p90", "RTT, p90", Kind::All, 1),
    round_trip("rtt_p99", "RTT, p99", Kind::All, 2),
    round_trip("rtt_native_p50", "RTT of native paths, p50", Kind::Native, 0),
    round_trip("rtt_native_p90", "RTT of native paths, p90", Kind::Native, 1),
    round_trip("rtt_native_p99", "RTT of native paths, p99", Kind::Native, 2),
    round_trip("rtt_tunnelled_p50", "RTT through tunnels, p50", Kind::Tunnelled, 0),
    round_trip("rtt_tunnelled_p90", "RTT through tunnels, p90", Kind::Tunnelled, 1),
    round_trip("rtt_tunnelled_p99", "RTT through tunnels, p99", Kind::Tunnelled, 2),
    extra("retransmits", "retransmitted segments per sent packet", Unit::Ratio, Sample::retransmitted),
    detail("dropped", "packets dropped by the node per pod packet", Unit::Ratio, Sample::dropped),
    detail("encapsulate_time", "encapsulation time per packet", Unit::Nanoseconds, |s| {
        s.packet_time(Direction::Egress)
    }),
    detail("decapsulate_time", "decapsulation time per packet", Unit::Nanoseconds, |s| {
        s.packet_time(Direction::Ingress)
    }),
    extra(
        "encapsulation_time",
        "encapsulation time per pod packet",
        Unit::Nanoseconds,
        Sample::pod_packet_time,
    ),
    extra(
        "encapsulation_cpu",
        "encapsulation CPU per node (of one CPU)",
        Unit::Ratio,
        Sample::encapsulation_cpu,
    ),
    detail("gso_segmented", "GSO packets segmented in software", Unit::Ratio, Sample::segmented_in_software),
    extra("softirq", "CPU time in network softirqs", Unit::Ratio, Sample::softirq_share),
    detail("hook_rtt", "hook RTT, mean", Unit::Microseconds, |s| s.round_trip(By::Hooks)),
    at_hooks("hook_rtt_p50", "hook RTT, p50", Kind::All, 0),
    at_hooks("hook_rtt_p99", "hook RTT, p99", Kind::All, 2),
    at_hooks("hook_rtt_native_p50", "hook RTT of native paths, p50", Kind::Native, 0),
    at_hooks("hook_rtt_native_p99", "hook RTT of native paths, p99", Kind::Native, 2),
    at_hooks("hook_rtt_tunnelled_p50", "hook RTT through tunnels, p50", Kind::Tunnelled, 0),
    at_hooks("hook_rtt_tunnelled_p99", "hook RTT through tunnels, p99", Kind::Tunnelled, 2),
    traffic(
        "wire_rate",
        "underlay wire rate per node",
        Unit::BitsPerSecond,
        What::Rate(|s| s.all().get(Total::WireBytes), 8.0),
    ),
    traffic(
        "inner_rate",
        "pod traffic, inner bytes per node",
        Unit::BitsPerSecond,
        What::Rate(|s| s.pods().get(Total::InnerBytes), 8.0),
    ),
    traffic(
        "packet_rate",
        "pod traffic, packets per node",
        Unit::PacketsPerSecond,
        What::Rate(|s| s.pods().packets(), 1.0),
    ),
    traffic(
        "mean_inner_size",
        "mean inner packet size",
        Unit::Bytes,
        What::Quotient(|s| (s.pods().get(Total::InnerBytes), s.pods().packets()), 1.0),
    ),
    traffic(
        "mean_size",
        "mean underlay packet size, L3",
        Unit::Bytes,
        What::Quotient(|s| (s.pods().get(Total::L3Bytes), s.pods().packets()), 1.0),
    ),
    traffic(
        "largest",
        "largest underlay packet, L3",
        Unit::Bytes,
        What::Maximum(|s| s.pods().get(Total::Largest)),
    ),
];

impl Metric {
    /// Its value over a sample; `None` if it was not measured or the denominator is zero.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub fn of(&self, sample: &Sample) -> Option<f64> {
        let quotient = |part: f64, whole: f64, scale: f64| (whole > 0.0).then(|| part / whole * scale);
        match self.what {
            What::Quotient(of, scale) => {
                let (part, whole) = of(sample);
                quotient(part as f64, whole as f64, scale)
            }
            What::Rate(of, scale) => quotient(of(sample) as f64, sample.seconds, scale),
            What::Maximum(of) => Some(of(sample)).filter(|largest| *largest != 0).map(|n| n as f64),
            What::Extra(of) => of(sample),
            What::RoundTrip(by, kind, which) => sample.round_trip_percentile(by, kind, which),
        }
    }

    /// Whether it is a maximum, which has no confidence interval.
    #[must_use]
    pub const fn is_maximum(&self) -> bool {
        matches!(self.what, What::Maximum(_))
    }
}
