//! The tunnels over UDP: VXLAN, Geneve, WireGuard.

use super::carrier::{self, Carried};
use super::headers::{Geneve, Udp, Vxlan};
use super::{Malformed, Packet, Parsed, Position, ethernet};
use crate::abi::{Config, PORTS};
use crate::kind::Class;

pub(super) const UDP: u32 = size_of::<Udp>() as u32;

/// RFC 7348 §5: the I flag must be set; without it there is no valid VNI.
pub(super) const VXLAN_VNI: u8 = 0x08;
/// draft-ietf-nvo3-vxlan-gpe §3.1: a next protocol is given.
pub(super) const VXLAN_GPE: u8 = 0x04;
const GPE_IPV4: u8 = 1;
const GPE_IPV6: u8 = 2;
const GPE_ETHERNET: u8 = 3;
/// WireGuard protocol, §5.4.6: type 4, three reserved bytes, receiver, counter; behind the packet the
/// Poly1305 tag.
const WIREGUARD_DATA: u32 = 4;
const WIREGUARD_HEADER: u32 = 16;
const WIREGUARD_TAG: u32 = 16;
/// What a message has around its packet.
pub const WIREGUARD_AROUND: u32 = WIREGUARD_HEADER + WIREGUARD_TAG;

/// Lowest and highest bits of the four ports of a word.
const ONES: u64 = 0x0001_0001_0001_0001;
const HIGHS: u64 = ONES << 15;

/// Not 0 where one of the list is `port`.
///
/// All four at once. A part of the difference that is 0 has its highest bit set by the subtraction and not
/// before; another part can be marked wrongly only by the borrow of such a one.
#[inline(always)]
const fn matches(ports: &[u16; PORTS], port: u16) -> u64 {
    // SAFETY: eight bytes of integers; a copy has any alignment.
    let ports: u64 = unsafe { core::mem::transmute(*ports) };
    let difference = ports ^ (port as u64).wrapping_mul(ONES);
    difference.wrapping_sub(ONES) & !difference & HIGHS
}

#[inline(always)]
pub(super) const fn listed(ports: &[u16; PORTS], port: u16) -> bool {
    // Port 0 is never a tunnel's, and it fills unused places.
    matches(ports, port) != 0 && port != 0
}

/// Source and destination, in wire order, of the word that a header starts with.
#[inline(always)]
pub(super) const fn split(ports: u32) -> (u16, u16) {
    let [a, b, c, d] = ports.to_ne_bytes();
    (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]))
}

/// Looks whether the UDP datagram behind the outer header is a tunnel's, and what it announces.
#[inline(always)]
pub(super) fn tunnel<P: Packet>(packet: &P, parsed: &mut Parsed, config: &Config) -> Carried {
    let at = u32::from(parsed.outer.payload);
    // Both ports as one word: LLVM would read and join them piece by piece.
    let header = if at + UDP > parsed.outer.end() { None } else { packet.read::<[u32; 2]>(at) };
    let Some([ports, _]) = header else {
        parsed.stop(Malformed::TruncatedTransport);
        return Carried::NOTHING;
    };
    let at = at + UDP;
    let (source, destination) = split(ports);
    if listed(&config.vxlan_ports, destination) {
        return vxlan(packet, parsed, at);
    }
    // Most datagrams are nobody's tunnel: one comparison for them.
    let others = matches(&config.geneve_ports, destination)
        | matches(&config.wireguard_ports, destination)
        | matches(&config.wireguard_ports, source);
    if others == 0 {
        return Carried::NOTHING;
    }
    if listed(&config.geneve_ports, destination) {
        return geneve(packet, parsed, at);
    }
    if listed(&config.wireguard_ports, destination) || listed(&config.wireguard_ports, source) {
        wireguard(packet, parsed, at);
    }
    Carried::NOTHING
}

/// The tunnel that listens on a UDP port, in wire order.
#[inline(always)]
pub(super) fn class_of_port(port: u16, config: &Config) -> Class {
    if listed(&config.vxlan_ports, port) {
        Class::Vxlan
    } else if listed(&config.geneve_ports, port) {
        Class::Geneve
    } else if listed(&config.wireguard_ports, port) {
        Class::Wireguard
    } else {
        Class::None
    }
}

/// Whether the UDP datagram at `at` of a packet that ends at `end` goes to a tunnel's port; `None`
/// where its header is not wholly there.
#[inline(always)]
pub(super) fn is_tunnel<P: Packet>(packet: &P, at: u32, end: u32, config: &Config) -> Option<bool> {
    if at + UDP > end {
        return None;
    }
    let header: Udp = packet.read(at)?;
    Some(listed(&config.vxlan_ports, header.destination) || listed(&config.geneve_ports, header.destination))
}

/// Reads a tunnel's fixed header at `at`; everything behind it is what it carries for now.
#[inline(always)]
fn fixed<P: Packet, T: super::Plain>(packet: &P, parsed: &mut Parsed, class: Class, at: u32) -> Option<T> {
    let inside = at + size_of::<T>() as u32;
    parsed.carries(class, inside);
    let header = if inside > parsed.outer.end() { None } else { packet.read(at) };
    if header.is_none() {
        parsed.stop(Malformed::TruncatedTunnel);
    }
    header
}

#[inline(always)]
fn vxlan<P: Packet>(packet: &P, parsed: &mut Parsed, at: u32) -> Carried {
    let Some(header) = fixed::<P, Vxlan>(packet, parsed, Class::Vxlan, at) else {
        return Carried::NOTHING;
    };
    if header.flags & VXLAN_VNI != 0 {
        parsed.vni = u32::from_be(header.vni) >> 8;
    }
    let mut carried = Carried { what: carrier::ETHERNET, at: at + size_of::<Vxlan>() as u32 };
    if header.flags & VXLAN_GPE != 0 {
        parsed.gpe = true;
        carried.what = match header.next_protocol {
            GPE_IPV4 => carrier::IPV4,
            GPE_IPV6 => carrier::IPV6,
            GPE_ETHERNET => carrier::ETHERNET,
            _ => carrier::NOT_IP,
        };
    } else if header.flags & VXLAN_VNI == 0 {
        parsed.stop(Malformed::TunnelHeader);
        return Carried::NOTHING;
    }
    carried
}

#[inline(always)]
fn geneve<P: Packet>(packet: &P, parsed: &mut Parsed, at: u32) -> Carried {
    let Some(header) = fixed::<P, Geneve>(packet, parsed, Class::Geneve, at) else {
        return Carried::NOTHING;
    };
    if header.version_options >> 6 != 0 {
        parsed.stop(Malformed::TunnelHeader);
        return Carried::NOTHING;
    }
    parsed.vni = u32::from_be(header.vni) >> 8;
    let inside = at + size_of::<Geneve>() as u32 + u32::from(header.version_options & 0x3f) * 4;
    if inside > parsed.outer.end() {
        parsed.stop(Malformed::TruncatedTunnel);
        return Carried::NOTHING;
    }
    parsed.carries(Class::Geneve, inside);
    Carried { what: ethernet::announced(header.protocol), at: inside }
}

/// Handshakes of any other length are no WireGuard (Linux drivers/net/wireguard/receive.c,
/// `validate_header_len`): initiation, response, cookie reply.
const fn handshake_length(kind: u32) -> u32 {
    match kind {
        1 => 148,
        2 => 92,
        _ => 64,
    }
}

/// WireGuard encrypts: the inner packet's length is known from the message's, up to its padding to
/// a multiple of 16 bytes.
#[inline(always)]
fn wireguard<P: Packet>(packet: &P, parsed: &mut Parsed, at: u32) {
    if at + size_of::<u32>() as u32 > parsed.outer.end() {
        return;
    }
    let Some(word) = packet.read::<u32>(at) else {
        // There is a message, only not where it can be read: which tunnel it is must not be guessed.
        return parsed.stop(Malformed::TruncatedTransport);
    };
    // Reserved bytes that are not 0 belong to something else on that port.
    let kind = u32::from_le(word);
    if kind == 0 || kind > WIREGUARD_DATA {
        return;
    }
    let cut = parsed.outer.position == Position::First;
    if kind != WIREGUARD_DATA && !cut && parsed.outer.end() - at != handshake_length(kind) {
        return;
    }
    parsed.carries(Class::Wireguard, at);
    if kind != WIREGUARD_DATA {
        // Handshakes carry no packet: all of it is overhead.
        parsed.inner_length = 0;
        return;
    }
    // The tag stands in the last fragment.
    let around = WIREGUARD_HEADER + if cut { 0 } else { WIREGUARD_TAG };
    if parsed.inner_length < around {
        parsed.stop(Malformed::TruncatedTunnel);
    }
    parsed.inner_length = parsed.inner_length.saturating_sub(around);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_ports_at_once_are_four_ports_one_by_one() {
        let interesting = [0, 1, 2, 0x7fff, 0x8000, 0x8001, 0xfffe, u16::MAX, 4_789, 4_789_u16.to_be()];
        for a in interesting {
            for b in interesting {
                for c in interesting {
                    for port in interesting {
                        for list in [[a, b, c, 0], [0, a, b, c], [c, c, a, b]] {
                            let one_by_one = list.contains(&port);
                            assert_eq!(matches(&list, port) != 0, one_by_one, "{port} in {list:?}");
                            assert_eq!(listed(&list, port), one_by_one && port != 0, "{port} in {list:?}");
                        }
                    }
                }
            }
        }
    }
}
