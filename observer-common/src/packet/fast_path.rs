//! The shapes that nearly all packets have, read in few steps.
//!
//! Every header stands where it stands in each of them, so that no offset is computed and nothing is kept of
//! what was passed. Whatever is in any way special is left to [`super::parse`], which says the same of what is
//! found here (observer-common/tests/usual.rs holds the two against each other).

use super::headers::{Ethernet, Ipv4, Ipv6, Vxlan, ipproto};
use super::ipv4::{LONGEST, MORE_FRAGMENTS, OFFSET};
use super::transport::{TCP_OFFSET, tcp_length};
use super::udp::{UDP, VXLAN_GPE, VXLAN_VNI};
use super::{Frame, Packet, Position, ethernet, udp};
use crate::abi::Config;
use crate::address::Address;
use crate::kind::{Class, Direction};
use crate::path::VNI_NONE;

const ETHERNET: u32 = size_of::<Ethernet>() as u32;
const IPV4: u32 = size_of::<Ipv4>() as u32;
const IPV6: u32 = size_of::<Ipv6>() as u32;
const VXLAN: u32 = size_of::<Vxlan>() as u32;
/// Ethernet, IPv4 and the ports: whether they are there is asked once, and whoever reads one of them behind that asks
/// what the compiler knows.
type Start = [u8; (ETHERNET + IPV4 + UDP) as usize];
/// The same behind the UDP header of VXLAN.
type InVxlan = [u8; (VXLAN + ETHERNET + IPV4 + UDP) as usize];
/// The same in IPIP.
type InIpip = [u8; (IPV4 + UDP) as usize];
/// Version 4, and a header without options.
const PLAIN_IPV4: u8 = 0x45;
const FRAGMENT: u16 = (MORE_FRAGMENTS | OFFSET).to_be();

/// A whole packet of TCP, or of UDP to no tunnel's port: without encapsulation, in IPIP, or in VXLAN; or a later
/// fragment of UDP over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastPacket {
    /// Class by the headers alone.
    pub class: Class,
    /// VNI or [`VNI_NONE`].
    pub vni: u32,
    /// L3 bytes.
    pub length: u32,
    /// L3 bytes of the innermost packet.
    pub inner: u32,
    /// IP version of the outer header.
    pub version: u8,
    /// [`Position::Whole`], or where the fragment stands.
    pub position: Position,
    /// Of a super-packet: where the innermost IP header starts.
    pub inner_start: u32,
    /// Of a super-packet: the first byte behind the innermost transport header.
    pub headers: u32,
    /// Its far address.
    pub far: Address,
}

/// Reads a frame that starts with an Ethernet header, and is a super-packet or is not; `None` where it has none of
/// the usual shapes.
#[inline(always)]
pub fn parse_fast<P: Packet, const SUPER: bool>(
    packet: &P,
    frame: &Frame,
    direction: Direction,
    config: &Config,
) -> Option<FastPacket> {
    let _: Start = packet.fixed(0)?;
    let link: Ethernet = packet.fixed(0)?;
    let ingress = direction as u8 == Direction::Ingress as u8;
    match ethernet::ip_version(link.ethertype) {
        4 => {
            let ip: Ipv4 = packet.fixed(ETHERNET)?;
            let length = plain(&ip)?;
            let far = Address::from_v4_wire(if ingress { ip.source } else { ip.destination });
            let outer = FastPacket { length, inner: length, version: 4, far, ..FastPacket::NOTHING };
            if ip.fragment & FRAGMENT != 0 {
                return if SUPER { None } else { later_fragment(frame, outer, &ip) };
            }
            behind::<P, SUPER>(packet, frame, outer, (ip.protocol, ETHERNET + IPV4), config)
        }
        6 => {
            let ip: Ipv6 = packet.fixed(ETHERNET)?;
            // A length of 0 is not to be believed (BIG TCP).
            if u32::from_be(ip.version_class_flow) >> 28 != 6 || SUPER && ip.payload_length == 0 {
                return None;
            }
            let length = IPV6 + u32::from(u16::from_be(ip.payload_length));
            let far = Address(if ingress { ip.source } else { ip.destination });
            let outer = FastPacket { length, inner: length, version: 6, far, ..FastPacket::NOTHING };
            behind::<P, SUPER>(packet, frame, outer, (ip.next_header, ETHERNET + IPV6), config)
        }
        _ => None,
    }
}

impl FastPacket {
    /// Where the outer IP header starts.
    pub const START: u32 = ETHERNET;
    /// Bytes of the header that a later fragment repeats.
    pub const HEADER: u16 = IPV4 as u16;

    const NOTHING: Self = Self {
        class: Class::None,
        vni: VNI_NONE,
        length: 0,
        inner: 0,
        version: 0,
        position: Position::Whole,
        inner_start: 0,
        headers: 0,
        far: Address::UNSPECIFIED,
    };

    /// With what only super-packets need to know: the innermost IP and transport headers start there.
    #[inline(always)]
    fn segmented<P: Packet, const SUPER: bool>(
        self,
        packet: &P,
        inner_start: u32,
        transport: u32,
        protocol: u8,
    ) -> Option<Self> {
        if !SUPER {
            return Some(self);
        }
        let length =
            if protocol == ipproto::TCP { tcp_length(packet.fixed(transport + TCP_OFFSET)?)? } else { UDP };
        Some(Self { inner_start, headers: transport + length, ..self })
    }
}

/// The length of an IPv4 packet that has no options.
#[inline(always)]
fn plain(ip: &Ipv4) -> Option<u32> {
    let length = u32::from(u16::from_be(ip.total_length));
    if ip.version_ihl == PLAIN_IPV4 && length >= IPV4 { Some(length) } else { None }
}

/// A fragment behind the first one of a UDP datagram, if nothing is suspicious about it.
#[inline(always)]
fn later_fragment(frame: &Frame, outer: FastPacket, ip: &Ipv4) -> Option<FastPacket> {
    let fragment = u16::from_be(ip.fragment);
    let (more, offset) = (fragment & MORE_FRAGMENTS != 0, u32::from(fragment & OFFSET) * 8);
    let odd = more && !(outer.length - IPV4).is_multiple_of(8);
    let beyond = ETHERNET + outer.length > frame.length || offset + outer.length > LONGEST;
    if ip.protocol != ipproto::UDP || offset == 0 || odd || beyond {
        return None;
    }
    Some(FastPacket { position: if more { Position::Middle } else { Position::Last }, ..outer })
}

/// What stands behind the outer header, which ends at `at`.
#[inline(always)]
fn behind<P: Packet, const SUPER: bool>(
    packet: &P,
    frame: &Frame,
    outer: FastPacket,
    (protocol, at): (u8, u32),
    config: &Config,
) -> Option<FastPacket> {
    let end = ETHERNET + outer.length;
    if end > frame.length {
        return None;
    }
    match protocol {
        ipproto::TCP => outer.segmented::<P, SUPER>(packet, ETHERNET, at, protocol),
        ipproto::UDP => {
            let destination = match datagram(packet, at, end, config)? {
                Datagram::Plain => return outer.segmented::<P, SUPER>(packet, ETHERNET, at, protocol),
                Datagram::To(port) => port,
            };
            // Nearly always the first.
            let first = destination == config.vxlan_ports[0] && destination != 0;
            if !first && !udp::listed(&config.vxlan_ports, destination) {
                return None;
            }
            let _: InVxlan = packet.fixed(at + UDP)?;
            let vxlan: Vxlan = packet.fixed(at + UDP)?;
            let link: Ethernet = packet.fixed(at + UDP + VXLAN)?;
            if vxlan.flags & (VXLAN_VNI | VXLAN_GPE) != VXLAN_VNI || ethernet::ip_version(link.ethertype) != 4
            {
                return None;
            }
            let outer = FastPacket { class: Class::Vxlan, vni: u32::from_be(vxlan.vni) >> 8, ..outer };
            inner::<P, SUPER>(packet, outer, at + UDP + VXLAN + ETHERNET, end, config)
        }
        ipproto::IPV4 if outer.version == 4 => {
            let _: InIpip = packet.fixed(at)?;
            inner::<P, SUPER>(packet, FastPacket { class: Class::Ipip, ..outer }, at, end, config)
        }
        _ => None,
    }
}

/// The outer packet, which ends at `end`, with the inner one that starts at `at`.
#[inline(always)]
fn inner<P: Packet, const SUPER: bool>(
    packet: &P,
    outer: FastPacket,
    at: u32,
    end: u32,
    config: &Config,
) -> Option<FastPacket> {
    let ip: Ipv4 = packet.fixed(at)?;
    let length = plain(&ip)?;
    if at + length > end || ip.fragment & FRAGMENT != 0 {
        return None;
    }
    let whole = FastPacket { inner: length, ..outer };
    match ip.protocol {
        ipproto::TCP => whole.segmented::<P, SUPER>(packet, at, at + IPV4, ip.protocol),
        ipproto::UDP => match datagram(packet, at + IPV4, at + length, config)? {
            Datagram::Plain => whole.segmented::<P, SUPER>(packet, at, at + IPV4, ip.protocol),
            Datagram::To(_) => None,
        },
        _ => None,
    }
}

enum Datagram {
    /// No tunnel's.
    Plain,
    /// To this port, and perhaps a tunnel's.
    To(u16),
}

/// Reads the ports of the UDP datagram at `at`.
#[inline(always)]
fn datagram<P: Packet>(packet: &P, at: u32, end: u32, config: &Config) -> Option<Datagram> {
    if at + UDP > end {
        return None;
    }
    let _: [u8; UDP as usize] = packet.fixed(at)?;
    // Both ports as one word: LLVM would read and join them piece by piece, or read the header as one.
    let (source, destination) = udp::split(packet.fixed(at)?);
    if (Config::port_bit(source) | Config::port_bit(destination)) & config.port_filter == 0 {
        return Some(Datagram::Plain);
    }
    Some(Datagram::To(destination))
}
