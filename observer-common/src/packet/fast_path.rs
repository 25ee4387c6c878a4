//! The fast path of the parser: the shapes that nearly all packets have.
//!
//! In these shapes every header has a fixed offset, so nothing is computed or stored on the way. All other packets
//! are left to [`super::parse`]; `tests/fast_path.rs` checks that both give the same result.

use super::frame::Frame;
use super::headers::{Ethernet, Ipv4, Ipv6, Vxlan, ipproto};
use super::ip::Position;
use super::ipv4::{LONGEST, MORE_FRAGMENTS, OFFSET};
use super::reader::Packet;
use super::transport::{TCP_OFFSET, tcp_length};
use super::udp::{UDP, VXLAN_GPE, VXLAN_VNI};
use super::{ethernet, udp};
use crate::abi::Config;
use crate::address::Address;
use crate::kind::{Class, Direction};
use crate::path::VNI_NONE;

const ETHERNET: u32 = size_of::<Ethernet>() as u32;
const IPV4: u32 = size_of::<Ipv4>() as u32;
const IPV6: u32 = size_of::<Ipv6>() as u32;
const VXLAN: u32 = size_of::<Vxlan>() as u32;
/// Ethernet, IPv4 and the ports. One bounds check covers them; the compiler drops the checks of the later reads.
type Start = [u8; (ETHERNET + IPV4 + UDP) as usize];
/// The same after the UDP header of VXLAN.
type InVxlan = [u8; (VXLAN + ETHERNET + IPV4 + UDP) as usize];
/// The same inside IPIP.
type InIpip = [u8; (IPV4 + UDP) as usize];
/// Version 4, header without options.
const PLAIN_IPV4: u8 = 0x45;
const FRAGMENT: u16 = (MORE_FRAGMENTS | OFFSET).to_be();

/// An unfragmented TCP packet, or UDP packet to a port that is not a tunnel's, without encapsulation, in IPIP or in
/// VXLAN; or a later fragment of UDP over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastPacket {
    /// Class, by the headers alone.
    pub class: Class,
    /// VNI or [`VNI_NONE`].
    pub vni: u32,
    /// L3 bytes.
    pub length: u32,
    /// L3 bytes of the innermost packet.
    pub inner: u32,
    /// IP version of the outer header.
    pub version: u8,
    /// [`Position::Whole`], or the position of the fragment.
    pub position: Position,
    /// Super-packets: offset of the innermost IP header.
    pub inner_start: u32,
    /// Super-packets: offset of the first byte after the innermost transport header.
    pub headers: u32,
    /// Remote address.
    pub far: Address,
}

/// Parses a frame that starts with an Ethernet header; `SUPER` if it is a super-packet. `None` if it has a different
/// shape.
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
            after_ip::<P, SUPER>(packet, frame, outer, (ip.protocol, ETHERNET + IPV4), config)
        }
        6 => {
            let ip: Ipv6 = packet.fixed(ETHERNET)?;
            // A length of 0 is not the real one (BIG TCP).
            if u32::from_be(ip.version_class_flow) >> 28 != 6 || SUPER && ip.payload_length == 0 {
                return None;
            }
            let length = IPV6 + u32::from(u16::from_be(ip.payload_length));
            let far = Address(if ingress { ip.source } else { ip.destination });
            let outer = FastPacket { length, inner: length, version: 6, far, ..FastPacket::NOTHING };
            after_ip::<P, SUPER>(packet, frame, outer, (ip.next_header, ETHERNET + IPV6), config)
        }
        _ => None,
    }
}

impl FastPacket {
    /// Offset of the outer IP header.
    pub const START: u32 = ETHERNET;
    /// Bytes of the header repeated in a later fragment.
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

    /// Adds the fields of super-packets, given the offsets of the innermost IP and transport headers.
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

/// The length of an IPv4 packet without options.
#[inline(always)]
fn plain(ip: &Ipv4) -> Option<u32> {
    let length = u32::from(u16::from_be(ip.total_length));
    if ip.version_ihl == PLAIN_IPV4 && length >= IPV4 { Some(length) } else { None }
}

/// A later fragment of a UDP datagram, if nothing about it is suspicious.
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

/// Parses what follows the outer header, which ends at `at`.
#[inline(always)]
fn after_ip<P: Packet, const SUPER: bool>(
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
            // Nearly always the first port.
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

/// Parses the inner packet at `at`; the outer one ends at `end`.
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
    /// Not to a tunnel port.
    Plain,
    /// To this port, which may be a tunnel's.
    To(u16),
}

/// Reads the ports of the UDP datagram at `at`.
#[inline(always)]
fn datagram<P: Packet>(packet: &P, at: u32, end: u32, config: &Config) -> Option<Datagram> {
    if at + UDP > end {
        return None;
    }
    let _: [u8; UDP as usize] = packet.fixed(at)?;
    // Both ports as one word: LLVM would read and combine single bytes.
    let (source, destination) = udp::split(packet.fixed(at)?);
    if (Config::port_bit(source) | Config::port_bit(destination)) & config.port_filter == 0 {
        return Some(Datagram::Plain);
    }
    Some(Datagram::To(destination))
}
