//! What encapsulation costs, as it was counted: part of a [`crate::snapshot::Snapshot`] where it was asked
//! for.

use std::net::IpAddr;
use std::time::Duration;

use observer_common::kind::{Class, Direction};

/// What encapsulation costs; everything is monotonic since the source started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// It is measured during one of so many parts of the time, and one of so many round-trip times is read.
    pub sample: u32,
    /// For how long it has been measured, which may be shorter than the source has been counting.
    pub measuring: Duration,
    /// What each stretch of work is longer by because it is measured; its figures are without.
    pub probe: Duration,
    /// Encapsulation (egress) and decapsulation (ingress), by device and direction.
    pub spans: Vec<Span>,
    /// What could not be measured.
    pub discarded: Discarded,
    /// Time in network softirqs by CPU.
    pub softirqs: Vec<Softirq>,
    /// TCP connections of this node and its pods, by where they lead.
    pub tcp: Vec<TcpPath>,
    /// Packets to and from peers that this node dropped.
    pub drops: Vec<Drops>,
    /// What this kernel does not allow to measure, as sentences.
    pub missing: Vec<String>,
    /// All TCP that crossed the hooks, forwarded or not, by where it leads.
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
    /// Buffers that were measured: what the kernel handles at once.
    pub skbs: u64,
    /// Packets in them, segments counted one by one.
    pub packets: u64,
    /// Their time, without the measurement's own.
    pub time: Duration,
    /// The measurement's own time that was taken off.
    pub own: Duration,
    /// Of egress: what became of work for the hardware.
    pub offload: Offload,
    /// Buffers by time in ns, see [`observer_common::cost::bucket`].
    pub buckets: Vec<u64>,
}

/// What became of buffers that a tunnel device was given with work left for the hardware: segments to be cut,
/// or a checksum to be computed. Where the hardware cannot do it inside of a tunnel, the kernel does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Buffers of several segments that came whole to a device that is no tunnel.
    pub whole: u64,
    /// Those that the kernel cut before.
    pub cut: u64,
    /// The packets that these became.
    pub segments: u64,
    /// Single packets whose checksum was left to such a device.
    pub left: u64,
    /// Single packets whose checksum the kernel computed before.
    pub summed: u64,
}

impl Offload {
    /// What was added since.
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

    /// The part of buffers with segments that the kernel cut; `None` where there was none.
    #[must_use]
    pub fn cut_ratio(self) -> Option<f64> {
        ratio(self.cut, self.whole)
    }

    /// The part of single packets whose checksum the kernel computed; `None` where there was none.
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
    /// Entered a tunnel device and did not come to an underlay's queue as the same buffer.
    pub unsent: u64,
    /// Came as tunnel packets and did not arrive at a tunnel device.
    pub undelivered: u64,
    /// Were interrupted for long.
    pub interrupted: u64,
    /// Fields of the kernel that could not be read.
    pub unreadable: u64,
    /// Dropped packets that the table had no room for.
    pub uncounted: u64,
}

impl Discarded {
    /// Every reason by the word that every view uses, with its count.
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

/// TCP connections that lead to one peer node over one encapsulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpPath {
    /// The peer node (natively: the next hop).
    pub peer: IpAddr,
    /// The encapsulation of its pods' route; [`Class::None`]: native.
    pub class: Class,
    /// Smoothed round-trip times that were read.
    pub samples: u64,
    /// Their sum.
    pub sum: Duration,
    /// Segments sent again.
    pub retransmits: u64,
    /// Round-trip times by µs, see [`observer_common::cost::bucket`].
    pub buckets: Vec<u64>,
}

/// Packets on the way to or from one peer node that the kernel dropped in this node's network namespace, for
/// one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops {
    /// The peer node (natively: the next hop).
    pub peer: IpAddr,
    /// The encapsulation of its pods' route; [`Class::None`]: native, or the node itself.
    pub class: Class,
    /// Egress: to the peer. Ingress: from it.
    pub direction: Direction,
    /// `skb_drop_reason` without its prefix; `unknown` where the kernel gives none (before Linux 5.17).
    pub reason: String,
    /// Packets, segments counted one by one.
    pub packets: u64,
}

/// TCP that left through a hook to one peer node over one encapsulation, and was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRttPath {
    /// The peer node (natively: the next hop).
    pub peer: IpAddr,
    /// The encapsulation of its pods' route; [`Class::None`]: native.
    pub class: Class,
    /// Round-trip times at the hook, by TCP timestamps.
    pub samples: u64,
    /// Their sum.
    pub sum: Duration,
    /// How many by µs, see [`observer_common::cost::bucket`].
    pub buckets: Vec<u64>,
}
