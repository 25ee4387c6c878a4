//! One packet, parsed again by the parser that classified it in the kernel.

use std::net::IpAddr;

use observer_common::abi::{Config, DeviceFacts, role};
use observer_common::account::{Observation, Site, classify};
use observer_common::address::Address;
use observer_common::event::{Event, Why};
use observer_common::kind::Direction;
use observer_common::packet::{Frame, Malformed, Position, Slice, ptb};

use crate::header::{Header, Signal, header, signal};
use crate::topology::convert::from_wire;

/// A traced packet.
#[derive(Clone, Debug)]
pub struct TracedPacket {
    /// Where and why.
    pub event: Event,
    /// Name of the device.
    pub device: String,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// The peer node.
    pub peer: Option<IpAddr>,
    /// The outer header.
    pub outer: Option<Header>,
    /// The inner header.
    pub inner: Option<Header>,
    /// The PTB message in it.
    pub ptb: Option<Signal>,
    /// Reason and function of the drop, if the kernel dropped it.
    pub drop: Option<Dropped>,
    /// The packet's first bytes.
    pub bytes: Vec<u8>,
}

/// Why and where the kernel dropped a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The kernel's name for the reason.
    pub reason: Option<String>,
    /// The function that dropped it.
    pub function: Option<String>,
}

/// Parses what the kernel sent; `clock` is the offset from its clock to nanoseconds since 1970.
#[must_use]
pub fn traced_packet(event: Event, bytes: &[u8], device: &str, config: &Config, clock: u64) -> TracedPacket {
    let packet = Slice(bytes);
    let facts = DeviceFacts {
        ifindex: event.ifindex,
        ingress_link: event.link,
        egress_link: event.link,
        role: role::OTHER,
        ..DeviceFacts::default()
    };
    let site = Site { device: &facts, direction: Direction::Ingress, config };
    let mut seen = Observation::NOTHING;
    seen.frame = Frame {
        length: event.length,
        gso_segs: event.gso_segs,
        gso_size: event.gso_size,
        tag_beside: event.tag_beside != 0,
        zero_length_is_big: event.gso_size != 0,
    };
    classify(&packet, &site, &mut seen);
    let message = seen.ptb().and_then(|(at, protocol)| ptb(&packet, u32::from(at), protocol, config));
    TracedPacket {
        time: event.time.saturating_add(clock),
        device: device.to_owned(),
        peer: (event.peer != Address::UNSPECIFIED).then(|| from_wire(event.peer)),
        outer: header(&packet, &seen.parsed.outer),
        inner: header(&packet, &seen.parsed.inner),
        ptb: message.as_ref().map(signal),
        drop: None,
        bytes: bytes.to_vec(),
        event,
    }
}

impl TracedPacket {
    /// Its reasons, the most telling first.
    pub fn reasons(&self) -> impl Iterator<Item = Why> {
        Why::ALL.iter().copied().filter(|why| self.event.is(*why))
    }

    /// Which header the first reason is about.
    #[must_use]
    pub fn layer(&self) -> &'static str {
        let inner = |header: &Option<Header>| header.as_ref().is_some_and(|h| h.position != Position::Whole);
        match self.reasons().next() {
            Some(Why::Fragment) if !inner(&self.outer) && inner(&self.inner) => "inner",
            _ => "outer",
        }
    }

    /// The MTU that applies, bytes: the tunnel's room where that is what is exceeded, else the device's. A
    /// packet that the kernel dropped and that exceeds both met the device's first.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        let at_device = self.event.is(Why::Drop) && self.event.is(Why::Oversized);
        if !at_device && (self.event.is(Why::WouldDrop) || self.event.is(Why::WouldFragment)) {
            self.event.tunnel_mtu
        } else {
            self.event.mtu
        }
    }

    /// What was wrong with it.
    #[must_use]
    pub const fn malformed(&self) -> Malformed {
        Malformed::from_index(self.event.malformed)
    }
}
