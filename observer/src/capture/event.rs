//! What is told of a single frame.

use std::net::IpAddr;

use observer_common::account::Observation;
use observer_common::kind::{Class, Direction};
use observer_common::packet::{Ip, Malformed, Packet, Position, TooBig};

use crate::topology::convert::from_wire;

/// One IP header of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// 4 or 6.
    pub version: u8,
    /// L3 bytes of the packet.
    pub length: u32,
    /// The protocol behind the header and its extensions.
    pub protocol: u8,
    /// Fragmentation.
    pub position: Position,
    /// Fragment offset in bytes.
    pub fragment_offset: u32,
    /// Source.
    pub source: Option<IpAddr>,
    /// Destination.
    pub destination: Option<IpAddr>,
}

/// A too-big message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// 4 or 6.
    pub version: u8,
    /// The MTU in it; 0 from routers before RFC 1191.
    pub mtu: u32,
    /// Source, destination, encapsulation and VNI of the packet that it quotes.
    pub quoted: Option<(IpAddr, IpAddr, Class, Option<u32>)>,
}

/// One frame.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number in the file, from 1.
    pub frame: u64,
    /// The file.
    pub file: String,
    /// File and interface.
    pub device: String,
    /// Which way it went, where the file tells.
    pub direction: Option<Direction>,
    /// Its class.
    pub class: Class,
    /// Bytes of the frame.
    pub wire_bytes: u64,
    /// Bytes from the outer IP header on.
    pub l3_bytes: u64,
    /// L3 bytes of the innermost packet.
    pub inner_bytes: u64,
    /// VNI.
    pub vni: Option<u32>,
    /// The outer IP header.
    pub outer: Option<Layer>,
    /// The inner IP header.
    pub inner: Option<Layer>,
    /// What was wrong with it.
    pub malformed: Malformed,
    /// It exceeds the MTU that was given.
    pub oversized: bool,
    /// The inner packet is itself a tunnel packet.
    pub nested: bool,
    /// A too-big message is in it.
    pub too_big: Option<Signal>,
}

impl Event {
    /// Whether it is a fragment, oversized, malformed, or holds a too-big message.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        let fragment =
            |layer: &Option<Layer>| layer.as_ref().is_some_and(|layer| layer.position != Position::Whole);
        fragment(&self.outer)
            || fragment(&self.inner)
            || self.oversized
            || self.too_big.is_some()
            || self.malformed != Malformed::None
    }
}

/// Whether there may be something to tell of a frame, as [`Event::is_notable`] but before an event is made.
#[inline]
pub(super) fn may_be_notable(seen: &Observation) -> bool {
    seen.parsed.outer.position != Position::Whole
        || seen.parsed.inner.position != Position::Whole
        || seen.verdict.oversized != 0
        || seen.verdict.malformed != 0
        || seen.parsed.too_big_at != 0
}

/// One IP header; `None` where none was read.
pub(super) fn layer<P: Packet>(packet: &P, header: &Ip) -> Option<Layer> {
    if header.version == 0 {
        return None;
    }
    // IPv4: flags and offset are the lower half of the second word. IPv6: of the Fragment header's first
    // word, behind which a later fragment's bytes start.
    let fragment = match (header.position.is_later(), header.version) {
        (false, _) => None,
        (true, 4) => packet.read::<u32>(u32::from(header.start) + 4).map(|w| (u32::from_be(w) & 0x1fff) * 8),
        (true, _) => packet.read::<u32>(u32::from(header.payload) - 8).map(|w| u32::from_be(w) & 0xfff8),
    };
    Some(Layer {
        version: header.version,
        length: header.length,
        protocol: header.protocol,
        position: header.position,
        fragment_offset: fragment.unwrap_or(0),
        source: header.source(packet).map(from_wire),
        destination: header.destination(packet).map(from_wire),
    })
}

/// A too-big message.
pub(super) fn signal(message: &TooBig) -> Signal {
    let quoted = &message.quoted;
    let vni = (quoted.vni != 0).then_some(quoted.vni);
    let readable = quoted.class != Class::Malformed;
    let quoted =
        readable.then(|| (from_wire(quoted.source), from_wire(quoted.destination), quoted.class, vni));
    Signal { version: message.version, mtu: message.mtu, quoted }
}
