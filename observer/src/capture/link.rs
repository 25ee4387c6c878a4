//! Link types of captures (<https://www.tcpdump.org/linktypes.html>): where the parser starts, and what
//! else the link layer contains.

use observer_common::abi::link;
use observer_common::kind::Direction;

const NULL: u32 = 0;
const ETHERNET: u32 = 1;
/// Raw IP on BSDs, in files that were not written by libpcap.
const RAW_BSD: [u32; 2] = [12, 14];
const RAW: u32 = 101;
const LOOP: u32 = 108;
const LINUX_SLL: u32 = 113;
const IPV4: u32 = 228;
const IPV6: u32 = 229;
const LINUX_SLL2: u32 = 276;

/// Cooked v1 is 16 bytes with the Ethertype in the last two, so its last 14 bytes read like an Ethernet
/// header, including VLAN tags after it.
const SLL_BEFORE_ETHERNET: u32 = 2;
const SLL2: u32 = 20;
/// Cooked v2 starts with the Ethertype. If that is a VLAN tag's, the tag follows the header, and the bytes around
/// its own Ethertype read like an Ethernet header that starts here.
const SLL2_BEFORE_TAGGED: u32 = 10;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const SLL_OUTGOING: u8 = 4;
const FAMILY: u32 = 4;
/// AF_INET, the same everywhere.
const AF_INET: u32 = 2;
/// AF_INET6 of Linux, of NetBSD and OpenBSD, of FreeBSD, of Darwin.
const AF_INET6: [u32; 4] = [10, 24, 28, 30];

/// What follows a link-layer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The parser starts at that byte, with that [`observer_common::abi::link`].
    Parser(u32, u8),
    /// A packet that is not IP.
    NonIp,
    /// The link-layer header is cut off.
    Truncated,
    /// The link type cannot be parsed.
    Unsupported,
}

/// The contents of a link-layer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// What follows it.
    pub next: Next,
    /// Direction, if recorded.
    pub direction: Option<Direction>,
    /// The index of the interface that captured it (cooked v2).
    pub ifindex: Option<u32>,
}

impl Link {
    const fn of(next: Next) -> Self {
        Self { next, direction: None, ifindex: None }
    }
}

/// Reads the link-layer header of a frame.
#[inline]
#[must_use]
pub fn read(link_type: u32, bytes: &[u8]) -> Link {
    match link_type {
        ETHERNET => Link::of(Next::Parser(0, link::ETHERNET)),
        RAW | IPV4 | IPV6 => Link::of(Next::Parser(0, link::IP)),
        raw if RAW_BSD.contains(&raw) => Link::of(Next::Parser(0, link::IP)),
        LINUX_SLL => cooked(bytes),
        LINUX_SLL2 => cooked2(bytes),
        NULL | LOOP => loopback(link_type, bytes),
        _ => Link::of(Next::Unsupported),
    }
}

/// The name of a link type in the registry.
#[must_use]
pub const fn name(link_type: u32) -> &'static str {
    match link_type {
        NULL => "NULL",
        ETHERNET => "ETHERNET",
        6 => "IEEE802_5",
        9 => "PPP",
        10 => "FDDI",
        12 | 14 | RAW => "RAW",
        105 => "IEEE802_11",
        LOOP => "LOOP",
        LINUX_SLL => "LINUX_SLL",
        119 => "IEEE802_11_PRISM",
        127 => "IEEE802_11_RADIOTAP",
        147..=162 => "USER",
        189 => "USB_LINUX",
        220 => "USB_LINUX_MMAPPED",
        IPV4 => "IPV4",
        IPV6 => "IPV6",
        239 => "NFLOG",
        253 => "NETLINK",
        LINUX_SLL2 => "LINUX_SLL2",
        _ => "unknown",
    }
}

fn sent(packet_type: u8) -> Option<Direction> {
    Some(if packet_type == SLL_OUTGOING { Direction::Egress } else { Direction::Ingress })
}

fn cooked(bytes: &[u8]) -> Link {
    let Some(&[_, kind]) = bytes.get(..2) else { return Link::of(Next::Truncated) };
    Link { next: Next::Parser(SLL_BEFORE_ETHERNET, link::ETHERNET), direction: sent(kind), ifindex: None }
}

fn cooked2(bytes: &[u8]) -> Link {
    let Some(header) = bytes.get(..SLL2 as usize) else { return Link::of(Next::Truncated) };
    let next = match u16::from_be_bytes([header[0], header[1]]) {
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => Next::Parser(SLL2, link::IP),
        tag if ETHERTYPE_TAGS.contains(&tag) => Next::Parser(SLL2_BEFORE_TAGGED, link::ETHERNET),
        _ => Next::NonIp,
    };
    let ifindex = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    Link { next, direction: sent(header[10]), ifindex: Some(ifindex) }
}

/// The family is in the byte order of the machine that captured, for LOOP in network order.
fn loopback(link_type: u32, bytes: &[u8]) -> Link {
    let Some(family) = bytes.get(..FAMILY as usize) else { return Link::of(Next::Truncated) };
    let family = u32::from_be_bytes([family[0], family[1], family[2], family[3]]);
    let family = if link_type == NULL && family > 0xffff { family.swap_bytes() } else { family };
    Link::of(if family == AF_INET || AF_INET6.contains(&family) {
        Next::Parser(FAMILY, link::IP)
    } else {
        Next::NonIp
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_in_both_byte_orders() {
        for bytes in [[2, 0, 0, 0], [0, 0, 0, 2], [30, 0, 0, 0], [0, 0, 0, 24]] {
            assert_eq!(read(NULL, &bytes).next, Next::Parser(4, link::IP));
        }
        assert_eq!(read(LOOP, &[2, 0, 0, 0]).next, Next::NonIp);
        assert_eq!(read(NULL, &[7, 0, 0, 0]).next, Next::NonIp);
        assert_eq!(read(NULL, &[2, 0, 0]).next, Next::Truncated);
    }

    #[test]
    fn cooked_headers_have_direction_and_interface() {
        let mut header = [0_u8; 20];
        header[..2].copy_from_slice(&[0x81, 0]);
        (header[7], header[10]) = (5, 4);
        let link = read(LINUX_SLL2, &header);
        assert_eq!(link.next, Next::Parser(10, observer_common::abi::link::ETHERNET));
        assert_eq!((link.direction, link.ifindex), (Some(Direction::Egress), Some(5)));
        assert_eq!(read(LINUX_SLL, &[0, 0, 0, 1]).direction, Some(Direction::Ingress));
        assert_eq!(read(105, &[]).next, Next::Unsupported);
    }
}
