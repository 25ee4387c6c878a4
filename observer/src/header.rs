//! What is told of the headers of a single packet, in a capture file or as it passes. Pure.

use std::net::IpAddr;

use observer_common::event::{id, ports};
use observer_common::kind::Class;
use observer_common::packet::{Ip, Packet, Position, Ptb};

use crate::topology::convert::from_wire;

/// One IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
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
    /// DF, or IPv6.
    pub dont_fragment: bool,
    /// The id that fragments share; `None` where there is none (an IPv6 packet in one piece).
    pub id: Option<u32>,
    /// Source.
    pub source: Option<IpAddr>,
    /// Destination.
    pub destination: Option<IpAddr>,
    /// Ports, source first; `None` where the packet has none or a later fragment hides them.
    pub ports: Option<(u16, u16)>,
}

/// A PTB message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// 4 or 6.
    pub version: u8,
    /// The MTU in it; 0 from routers before RFC 1191.
    pub mtu: u32,
    /// Source, destination, encapsulation and VNI of the packet that it quotes.
    pub quoted: Option<(IpAddr, IpAddr, Class, Option<u32>)>,
}

/// One IP header; `None` where none was read.
pub fn header<P: Packet>(packet: &P, header: &Ip) -> Option<Header> {
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
    let port = |number: u32| u16::try_from(number).unwrap_or(0);
    let id = id(packet, header);
    Some(Header {
        version: header.version,
        length: header.length,
        protocol: header.protocol,
        position: header.position,
        fragment_offset: fragment.unwrap_or(0),
        dont_fragment: header.dont_fragment,
        // An IPv4 packet in one piece may have any id, 0 too.
        id: (header.version == 4 || id != 0).then_some(id),
        source: header.source(packet).map(from_wire),
        destination: header.destination(packet).map(from_wire),
        ports: match ports(packet, header) {
            (0, 0) => None,
            (from, to) => Some((port(from), port(to))),
        },
    })
}

/// A PTB message.
pub fn signal(message: &Ptb) -> Signal {
    let quoted = &message.quoted;
    let vni = (quoted.vni != 0).then_some(quoted.vni);
    let readable = quoted.class != Class::Malformed;
    let quoted =
        readable.then(|| (from_wire(quoted.source), from_wire(quoted.destination), quoted.class, vni));
    Signal { version: message.version, mtu: message.mtu, quoted }
}
