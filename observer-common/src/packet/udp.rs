//! Tunnels over UDP: VXLAN, Geneve, WireGuard.

use super::carrier::{self, Carried};
use super::ethernet;
use super::headers::{Geneve, Plain, Udp, Vxlan};
use super::ip::Position;
use super::malformed::Malformed;
use super::parsed::Parsed;
use super::reader::Packet;
use crate::abi::{Config, PORTS};
use crate::kind::Class;

pub(super) const UDP: u32 = size_of::<Udp>() as u32;

/// RFC 7348 §5: the I flag must be set; without it there is no valid VNI.
pub(super) const VXLAN_VNI: u8 = 0x08;
/// draft-ietf-nvo3-vxlan-gpe §3.1: the next protocol field is valid.
pub(super) const VXLAN_GPE: u8 = 0x04;
const GPE_IPV4: u8 = 1;
const GPE_IPV6: u8 = 2;
const GPE_ETHERNET: u8 = 3;
/// WireGuard protocol §5.4.6: type 4, three reserved bytes, receiver, counter; after the packet, the
/// Poly1305 tag.
const WIREGUARD_DATA: u32 = 4;
const WIREGUARD_HEADER: u32 = 16;
const WIREGUARD_TAG: u32 = 16;
/// Bytes of a data message in addition to its packet.
pub const WIREGUARD_AROUND: u32 = WIREGUARD_HEADER + WIREGUARD_TAG;

/// Lowest and highest bits of the four ports in a word.
const ONES: u64 = 0x0001_0001_0001_0001;
const HIGHS: u64 = ONES << 15;

/// Not 0 if `port` is in the list. Compares all four at once.
///
/// In a lane of the difference that is 0, the subtraction sets the highest bit, which was clear before. Another lane
/// can be marked only by a borrow from such a lane.
#[inline(always)]
const fn matches(ports: &[u16; PORTS], port: u16) -> u64 {
    // SAFETY: eight bytes of integers; a copy has any alignment.
    let ports: u64 = unsafe { core::mem::transmute(*ports) };
    let difference = ports ^ (port as u64).wrapping_mul(ONES);
    difference.wrapping_sub(ONES) & !difference & HIGHS
}

#[inline(always)]
pub(super) const fn listed(ports: &[u16; PORTS], port: u16) -> bool {
    // Port 0 marks unused entries and is never a tunnel port.
    matches(ports, port) != 0 && port != 0
}

/// Source and destination port, in wire order, from the first word of a header.
#[inline(always)]
pub(super) const fn split(ports: u32) -> (u16, u16) {
    let [a, b, c, d] = ports.to_ne_bytes();
    (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]))
}

/// Reads the UDP datagram after the outer header. If it is a tunnel's, returns what it announces.
#[inline(always)]
pub(super) fn tunnel<P: Packet>(packet: &P, parsed: &mut Parsed, config: &Config) -> Carried {
    let at = u32::from(parsed.outer.payload);
    // Both ports as one word: LLVM would read and combine single bytes.
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
    // One comparison for most datagrams, which do not belong to a tunnel.
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

/// Whether the UDP datagram at `at` of a packet that ends at `end` is sent to a tunnel port; `None` if its
/// header is incomplete.
#[inline(always)]
pub(super) fn is_tunnel<P: Packet>(packet: &P, at: u32, end: u32, config: &Config) -> Option<bool> {
    if at + UDP > end {
        return None;
    }
    let header: Udp = packet.read(at)?;
    Some(listed(&config.vxlan_ports, header.destination) || listed(&config.geneve_ports, header.destination))
}

/// Reads a tunnel's fixed header at `at`; everything after it counts as its payload.
#[inline(always)]
fn fixed<P: Packet, T: Plain>(packet: &P, parsed: &mut Parsed, class: Class, at: u32) -> Option<T> {
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

/// Lengths of WireGuard handshake messages: initiation, response, cookie reply. Others are not WireGuard (Linux
/// drivers/net/wireguard/receive.c, `validate_header_len`).
const fn handshake_length(kind: u32) -> u32 {
    match kind {
        1 => 148,
        2 => 92,
        _ => 64,
    }
}

/// The inner packet is encrypted. Its length follows from the message's, apart from padding to a multiple of
/// 16 bytes.
#[inline(always)]
fn wireguard<P: Packet>(packet: &P, parsed: &mut Parsed, at: u32) {
    if at + size_of::<u32>() as u32 > parsed.outer.end() {
        return;
    }
    let Some(word) = packet.read::<u32>(at) else {
        // The message cannot be read here, and its kind must not be guessed.
        return parsed.stop(Malformed::TruncatedTransport);
    };
    // Non-zero reserved bytes: not WireGuard.
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
        // Handshakes carry no packet; they are all overhead.
        parsed.inner_length = 0;
        return;
    }
    // The tag is in the last fragment.
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
    fn comparing_four_ports_at_once_equals_comparing_one_by_one() {
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
