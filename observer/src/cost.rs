//! The cost of encapsulation as counted: an optional part of a [`crate::snapshot::Snapshot`].

use std::net::IpAddr;
use std::time::Duration;

use observer_common::kind::{Class, Direction};

/// The cost of encapsulation. All counters are monotonic since the source started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// 1/N of the time is measured, and 1/N of the round-trip times are read.
    pub sample: u32,
    /// Duration of the measurement, which may have started later than counting.
    pub measuring: Duration,
    /// Probe overhead per measurement; already subtracted from the figures.
    pub probe: Duration,
    /// Encapsulation (egress) and decapsulation (ingress), by device and direction.
    pub spans: Vec<Span>,
    /// What could not be measured.
    pub discarded: Discarded,
    /// Time in network softirqs by CPU.
    pub softirqs: Vec<Softirq>,
    /// TCP connections of this node and its pods, by path.
    pub tcp: Vec<TcpPath>,
    /// Packets to and from peers that this node dropped.
    pub drops: Vec<Drops>,
    /// What cannot be measured on this kernel, as sentences.
    pub missing: Vec<String>,
    /// All TCP at the hooks, forwarded or not, by path.
    pub hook_rtt: Vec<HookRttPath>,
}

/// Measured work of a tunnel device in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The tunnel device.
    pub device: String,
    /// Egress: encapsulation. Ingress: decapsulation.
    pub direction: Direction,
    /// The encapsulation.
    pub class: Class,
    /// Measured skbs.
    pub skbs: u64,
    /// Packets in them, segments counted one by one.
    pub packets: u64,
    /// Their time, without probe overhead.
    pub time: Duration,
    /// Probe overhead that was subtracted.
    pub own: Duration,
    /// Egress only: work offloaded to the hardware or done in software.
    pub offload: Offload,
    /// Skbs by time in ns, see [`observer_common::cost::bucket`].
    pub buckets: Vec<u64>,
}

/// Segmentation and checksums of skbs sent through a tunnel device. The kernel does in software what the hardware
/// cannot offload for tunnel packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// GSO skbs that reached the underlay device unsegmented.
    pub whole: u64,
    /// GSO skbs that the kernel segmented.
    pub cut: u64,
    /// Packets that these became.
    pub segments: u64,
    /// Single packets whose checksum was left to the underlay device.
    pub left: u64,
    /// Single packets whose checksum the kernel computed.
    pub summed: u64,
}

impl Offload {
    /// The difference to an earlier reading.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            whole: self.whole.saturating_sub(earlier.whole),
            cut: self.cut.saturating_sub(earlier.cut),
            segments: self.segments.saturating_sub(earlier.segments),
            left: self.left.saturating_sub(earlier.left),
            summed: self.summed.saturating_sub(earlier.summed),
        }
    }

    /// Share of GSO skbs that the kernel segmented; `None` if there were none.
    #[must_use]
    pub fn cut_ratio(self) -> Option<f64> {
        ratio(self.cut, self.whole)
    }

    /// Share of single packets whose checksum the kernel computed; `None` if there were none.
    #[must_use]
    pub fn summed_ratio(self) -> Option<f64> {
        ratio(self.summed, self.left)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares of fewer than 2^53")]
fn ratio(part: u64, rest: u64) -> Option<f64> {
    let whole = part.saturating_add(rest);
    (whole != 0).then(|| part as f64 / whole as f64)
}

/// What could not be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Discarded {
    /// Skbs that entered a tunnel device and did not reach the underlay's queue as the same skb.
    pub unsent: u64,
    /// Tunnel packets that did not arrive at a tunnel device.
    pub undelivered: u64,
    /// Measurements that were interrupted.
    pub interrupted: u64,
    /// Kernel fields that could not be read.
    pub unreadable: u64,
    /// Dropped packets that did not fit into the table.
    pub uncounted: u64,
}

impl Discarded {
    /// Every reason by its label, with its count.
    #[must_use]
    pub const fn named(self) -> [(&'static str, u64); 5] {
        [
            ("unsent", self.unsent),
            ("undelivered", self.undelivered),
            ("interrupted", self.interrupted),
            ("unreadable", self.unreadable),
            ("uncounted", self.uncounted),
        ]
    }
}

/// One CPU's network softirqs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softirq {
    /// The CPU.
    pub cpu: u32,
    /// Time in NET_TX.
    pub transmit: Duration,
    /// Time in NET_RX.
    pub receive: Duration,
}

/// TCP connections to one peer node over one encapsulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpPath {
    /// The peer node (natively: the next hop).
    pub peer: IpAddr,
    /// The encapsulation of its pods' route; [`Class::None`]: native.
    pub class: Class,
    /// Number of smoothed round-trip times.
    pub samples: u64,
    /// Their sum.
    pub sum: Duration,
    /// Retransmitted segments.
    pub retransmits: u64,
    /// Round-trip times by µs, see [`observer_common::cost::bucket`].
    pub buckets: Vec<u64>,
}

/// Packets to or from one peer node that the kernel dropped in this node's network namespace, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops {
    /// The peer node (natively: the next hop).
    pub peer: IpAddr,
    /// The encapsulation of its pods' route; [`Class::None`]: native, or the node itself.
    pub class: Class,
    /// Egress: to the peer. Ingress: from it.
    pub direction: Direction,
    /// `skb_drop_reason` without its prefix; `unknown` if the kernel has none (before Linux 5.17).
    pub reason: String,
    /// Packets, segments counted one by one.
    pub packets: u64,
}

/// TCP round trips at the hooks, to one peer node over one encapsulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRttPath {
    /// The peer node (natively: the next hop).
    pub peer: IpAddr,
    /// The encapsulation of its pods' route; [`Class::None`]: native.
    pub class: Class,
    /// Number of round-trip times at the hook, by TCP timestamps.
    pub samples: u64,
    /// Their sum.
    pub sum: Duration,
    /// Their number by µs, see [`observer_common::cost::bucket`].
    pub buckets: Vec<u64>,
}
