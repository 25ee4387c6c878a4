//! Headers of a single packet, captured or live. Pure.

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
    /// The protocol after the header and its extensions.
    pub protocol: u8,
    /// Fragmentation.
    pub position: Position,
    /// Fragment offset in bytes.
    pub fragment_offset: u32,
    /// DF, or IPv6.
    pub dont_fragment: bool,
    /// The id that fragments share; `None` for an unfragmented IPv6 packet.
    pub id: Option<u32>,
    /// Source.
    pub source: Option<IpAddr>,
    /// Destination.
    pub destination: Option<IpAddr>,
    /// Ports, source first; `None` if the packet has none, or is a later fragment.
    pub ports: Option<(u16, u16)>,
}

/// A PTB message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// 4 or 6.
    pub version: u8,
    /// Its MTU; 0 from routers older than RFC 1191.
    pub mtu: u32,
    /// Source, destination, encapsulation and VNI of the quoted packet.
    pub quoted: Option<(IpAddr, IpAddr, Class, Option<u32>)>,
}

/// The parsed form of an IP header; `None` if none was read.
pub fn header<P: Packet>(packet: &P, header: &Ip) -> Option<Header> {
    if header.version == 0 {
        return None;
    }
    // IPv4: flags and offset are the lower half of the second word. IPv6: of the first word of the Fragment header,
    // which ends where a later fragment's bytes start.
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
        // An unfragmented IPv4 packet may have any id, including 0.
        id: (header.version == 4 || id != 0).then_some(id),
        source: header.source(packet).map(from_wire),
        destination: header.destination(packet).map(from_wire),
        ports: match ports(packet, header) {
            (0, 0) => None,
            (from, to) => Some((port(from), port(to))),
        },
    })
}

/// The parsed form of a PTB message.
pub fn signal(message: &Ptb) -> Signal {
    let quoted = &message.quoted;
    let vni = (quoted.vni != 0).then_some(quoted.vni);
    let readable = quoted.class != Class::Malformed;
    let quoted =
        readable.then(|| (from_wire(quoted.source), from_wire(quoted.destination), quoted.class, vni));
    Signal { version: message.version, mtu: message.mtu, quoted }
}
