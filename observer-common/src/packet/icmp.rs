//! PTB messages: ICMPv4 type 3 code 4 (RFC 792, 1191) and ICMPv6 type 2 (RFC 4443).

use super::headers::{Icmp, Ipv4, Ipv6, Udp, ipproto};
use super::reader::Packet;
use super::udp;
use crate::abi::Config;
use crate::address::Address;
use crate::kind::Class;
use crate::path::VNI_NONE;

const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;
/// The fragment offset of IPv4, in wire order.
const OFFSET: u16 = 0x1fff_u16.to_be();

/// Whether the ICMP message at `at` of a packet that ends at `end` is a PTB message; `None` if its header
/// is incomplete.
#[inline(always)]
pub(super) fn is_ptb<P: Packet>(packet: &P, at: u32, end: u32, protocol: u8) -> Option<bool> {
    if at + size_of::<Icmp>() as u32 > end {
        return None;
    }
    let icmp: Icmp = packet.read(at)?;
    Some(if protocol == ipproto::ICMP {
        icmp.kind == UNREACHABLE && icmp.code == FRAGMENTATION_NEEDED
    } else {
        icmp.kind == PACKET_TOO_BIG
    })
}

/// The packet quoted in a PTB message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Encapsulation; [`Class::Malformed`] if the quote cannot be read. Not an `Option`, because it would
    /// leave the other fields uninitialized, and verifiers before Linux 6.3 reject loads of uninitialized
    /// stack even if the value is not used.
    pub class: Class,
    /// VNI, or [`VNI_NONE`].
    pub vni: u32,
}

impl Quoted {
    const UNREADABLE: Self = Self {
        source: Address::UNSPECIFIED,
        destination: Address::UNSPECIFIED,
        class: Class::Malformed,
        vni: VNI_NONE,
    };
}

/// A PTB message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ptb {
    /// ICMP version: 4 or 6.
    pub version: u8,
    /// Announced MTU, in bytes; 0 from routers older than RFC 1191.
    pub mtu: u32,
    /// The quoted packet.
    pub quoted: Quoted,
}

/// Reads the PTB message at `at`.
#[inline(always)]
pub fn ptb<P: Packet>(packet: &P, at: u32, protocol: u8, config: &Config) -> Option<Ptb> {
    let icmp: Icmp = packet.read(at)?;
    let at = at + size_of::<Icmp>() as u32;
    let word = u32::from_be(icmp.word);
    Some(if protocol == ipproto::ICMP {
        Ptb { version: 4, mtu: word & 0xffff, quoted: quoted4(packet, at, config) }
    } else {
        Ptb { version: 6, mtu: word, quoted: quoted6(packet, at, config) }
    })
}

#[inline(always)]
fn quoted4<P: Packet>(packet: &P, at: u32, config: &Config) -> Quoted {
    let Some(ip) = packet.read::<Ipv4>(at) else { return Quoted::UNREADABLE };
    if ip.version_ihl >> 4 != 4 {
        return Quoted::UNREADABLE;
    }
    let payload = at + u32::from(ip.version_ihl & 0xf) * 4;
    let later = ip.fragment & OFFSET != 0;
    let (class, vni) = match ip.protocol {
        ipproto::IPV4 => (Class::Ipip, VNI_NONE),
        ipproto::IPV6 => (Class::Ip6In4, VNI_NONE),
        // Later fragments have no ports.
        ipproto::UDP if later => (Class::None, VNI_NONE),
        protocol => quoted_tunnel(packet, payload, protocol, config),
    };
    let (source, destination) = (Address::from_v4_wire(ip.source), Address::from_v4_wire(ip.destination));
    Quoted { source, destination, class, vni }
}

#[inline(always)]
fn quoted6<P: Packet>(packet: &P, at: u32, config: &Config) -> Quoted {
    let Some(ip) = packet.read::<Ipv6>(at) else { return Quoted::UNREADABLE };
    if u32::from_be(ip.version_class_flow) >> 28 != 6 {
        return Quoted::UNREADABLE;
    }
    let (class, vni) = match ip.next_header {
        ipproto::IPV4 => (Class::Ip4In6, VNI_NONE),
        ipproto::IPV6 => (Class::Ip6In6, VNI_NONE),
        protocol => quoted_tunnel(packet, at + size_of::<Ipv6>() as u32, protocol, config),
    };
    Quoted { source: Address(ip.source), destination: Address(ip.destination), class, vni }
}

/// RFC 792 guarantees only eight bytes of the quoted payload: a UDP header, but no VNI.
#[inline(always)]
fn quoted_tunnel<P: Packet>(packet: &P, at: u32, protocol: u8, config: &Config) -> (Class, u32) {
    const NOT: (Class, u32) = (Class::None, VNI_NONE);
    if protocol == ipproto::GRE {
        return (Class::Gre, VNI_NONE);
    }
    if protocol != ipproto::UDP {
        return NOT;
    }
    let Some(header) = packet.read::<Udp>(at) else { return NOT };
    let class = udp::class_of_port(header.destination, config);
    let vni = match class {
        Class::Vxlan | Class::Geneve => match packet.read::<u32>(at + size_of::<Udp>() as u32 + 4) {
            Some(word) => u32::from_be(word) >> 8,
            None => VNI_NONE,
        },
        _ => VNI_NONE,
    };
    (class, vni)
}
