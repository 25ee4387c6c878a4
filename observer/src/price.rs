//! What encapsulation costs, as it was counted: part of a [`crate::snapshot::Snapshot`] where it was asked
//! for.

use std::net::IpAddr;
use std::time::Duration;

use observer_common::kind::{Class, Direction};

/// What encapsulation costs; everything is monotonic since the source started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// One of so many packets or batches is measured.
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
    /// What this kernel does not allow to measure, as sentences.
    pub missing: Vec<String>,
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
    /// Buffers by time in ns, see [`observer_common::price::bucket`].
    pub buckets: Vec<u64>,
}

/// What could not be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Entered a tunnel device and did not come to an underlay's queue as the same buffer.
    pub unsent: u64,
    /// Came as tunnel packets and did not arrive at a tunnel device.
    pub undelivered: u64,
    /// Were interrupted for long.
    pub interrupted: u64,
    /// Fields of the kernel that could not be read.
    pub unreadable: u64,
}

impl Discarded {
    /// Every reason by the word that every view uses, with its count.
    #[must_use]
    pub const fn named(self) -> [(&'static str, u64); 4] {
        [
            ("unsent", self.unsent),
            ("undelivered", self.undelivered),
            ("interrupted", self.interrupted),
            ("unreadable", self.unreadable),
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
    /// Round-trip times by µs, see [`observer_common::price::bucket`].
    pub buckets: Vec<u64>,
}
