//! Fragments: outer and inner, IPv4 and IPv6, valid and suspicious.

use observer_common::counters::Total;
use observer_common::kind::Class;
use observer_common::packet::Malformed;

use super::{PEER_V4, PEER_V6, from, from_peer4, pods4, pods6};
use crate::case::Case;
use crate::node::{FAR_POD, FAR_POD6, NODE, NODE6, Node, PEER, PEER6, POD, POD6, UNKNOWN_PEER, VNI};
use crate::packets::{ETH_IPV4, Ip4, Ip6, ethernet_ip, gre, padded, payload, tcp, udp, vxlan, wireguard};

pub(super) fn cases() -> Vec<Case> {
    [native4(), native6(), tunnels4(), tunnels6(), inner(), suspicious()].concat()
}

/// A fragment with payload `bytes`.
fn v4(source: [u8; 4], to: [u8; 4], protocol: u8, offset: u16, more: bool, bytes: &[u8]) -> Vec<u8> {
    ethernet_ip(&Ip4::new(source, to, protocol).fragment(offset, more).around(bytes))
}

fn v6(source: [u8; 16], to: [u8; 16], protocol: u8, offset: u16, more: bool, bytes: &[u8]) -> Vec<u8> {
    ethernet_ip(&Ip6::new(source, to, protocol).fragment(offset, more).around(bytes))
}

fn native4() -> Vec<Case> {
    let datagram = udp(5000, 6000, &payload(3000));
    let part =
        |offset: usize, end: usize| v4(FAR_POD, POD, 17, offset as u16, end < 3008, &datagram[offset..end]);
    let case = |name: &str, frame: Vec<u8>, l3: u32| {
        Case::new(name, Node::underlay(Class::None), frame, Class::None, l3, l3.into()).path(from(
            Class::None,
            0,
            PEER_V4,
        ))
    };
    let mut looks_like = payload(80);
    looks_like[..4].copy_from_slice(&[0x12, 0x34, 0x12, 0xb5]);
    vec![
        case("native IPv4 fragment, first", part(0, 1480), 1500).fragment(Total::OuterV4First, 0),
        case("native IPv4 fragment, middle", part(1480, 2960), 1500).fragment(Total::OuterV4Middle, 20),
        case("native IPv4 fragment, last", part(2960, 3008), 68).fragment(Total::OuterV4Last, 20),
        case("later fragment that looks like VXLAN", v4(FAR_POD, POD, 17, 80, true, &looks_like), 100)
            .fragment(Total::OuterV4Middle, 20),
        case(
            "later fragment with options",
            ethernet_ip(&Ip4::new(FAR_POD, POD, 17).options(4).fragment(1480, false).around(&payload(8))),
            32,
        )
        .fragment(Total::OuterV4Last, 24),
    ]
}

fn native6() -> Vec<Case> {
    let datagram = udp(5000, 6000, &payload(3000));
    let part =
        |offset: usize, end: usize| v6(FAR_POD6, POD6, 17, offset as u16, end < 3008, &datagram[offset..end]);
    let case = |name: &str, frame: Vec<u8>, l3: u32| {
        Case::new(name, Node::underlay(Class::None), frame, Class::None, l3, l3.into()).path(from(
            Class::None,
            0,
            PEER_V6,
        ))
    };
    let after_options = Ip6::new(FAR_POD6, POD6, 17).extension(0, 8).fragment(80, false).around(&payload(20));
    vec![
        case("native IPv6 fragment, first", part(0, 1448), 1496).fragment(Total::OuterV6First, 8),
        case("native IPv6 fragment, middle", part(1448, 2896), 1496).fragment(Total::OuterV6Middle, 48),
        case("native IPv6 fragment, last", part(2896, 3008), 160).fragment(Total::OuterV6Last, 48),
        case("native IPv6, atomic fragment", v6(FAR_POD6, POD6, 17, 0, false, &udp(1, 2, &payload(8))), 64)
            .fragment(Total::OuterV6Atomic, 0),
        case("later IPv6 fragment after hop-by-hop options", ethernet_ip(&after_options), 76)
            .fragment(Total::OuterV6Last, 56),
        case(
            "later IPv6 fragment whose next header is an extension",
            v6(FAR_POD6, POD6, 60, 80, false, &[0xff; 20]),
            68,
        )
        .fragment(Total::OuterV6Last, 48),
    ]
}

fn tunnels4() -> Vec<Case> {
    let datagram = vxlan(VNI, &ethernet_ip(&pods4(1440)));
    let node = || Node::underlay(Class::Vxlan);
    let path = from(Class::Vxlan, VNI, PEER_V4);
    let ipip = from(Class::Ipip, 0, PEER_V4);
    let packet = pods4(3000);
    let in_gre = gre(0, 0, ETH_IPV4, &packet);
    let datagram_wg = wireguard(51_820, 51_820, 4, 1600);
    let peers = |offset: usize, more: bool, protocol: u8, bytes: &[u8]| {
        v4(PEER, NODE, protocol, offset as u16, more, bytes)
    };
    vec![
        Case::new(
            "VXLAN fragment, first",
            node(),
            peers(0, true, 17, &datagram[..1480]),
            Class::Vxlan,
            1500,
            1450,
        )
        .path(path)
        .fragment(Total::OuterV4First, 0),
        Case::new(
            "VXLAN fragment, last, attributed by peer",
            node(),
            peers(1480, false, 17, &datagram[1480..]),
            Class::Vxlan,
            50,
            30,
        )
        .path(path)
        .fragment(Total::OuterV4Last, 20),
        Case::new(
            "VXLAN fragment, middle",
            node(),
            peers(80, true, 17, &datagram[80..160]),
            Class::Vxlan,
            100,
            80,
        )
        .path(path)
        .fragment(Total::OuterV4Middle, 20),
        Case::new(
            "later UDP fragment from unknown peer: external",
            node(),
            v4(UNKNOWN_PEER, NODE, 17, 1480, false, &datagram[1480..]),
            Class::External,
            50,
            50,
        )
        .fragment(Total::OuterV4Last, 20),
        Case::new(
            "later UDP fragment from peer without UDP tunnel: external",
            Node::underlay(Class::Ipip),
            peers(1480, false, 17, &datagram[1480..]),
            Class::External,
            50,
            50,
        )
        .fragment(Total::OuterV4Last, 20),
        Case::new(
            "IPIP fragment, first",
            node(),
            peers(0, true, 4, &packet[..1480]),
            Class::Ipip,
            1500,
            1480,
        )
        .path(ipip)
        .fragment(Total::OuterV4First, 0),
        Case::new(
            "IPIP fragment, middle",
            node(),
            peers(1480, true, 4, &packet[1480..2960]),
            Class::Ipip,
            1500,
            1480,
        )
        .path(ipip)
        .fragment(Total::OuterV4Middle, 20),
        Case::new(
            "IPIP fragment, last",
            node(),
            peers(2960, false, 4, &packet[2960..]),
            Class::Ipip,
            100,
            80,
        )
        .path(ipip)
        .fragment(Total::OuterV4Last, 20),
        Case::new("6in4 fragment, last", node(), peers(1480, false, 41, &payload(40)), Class::Ip6In4, 60, 40)
            .path(from(Class::Ip6In4, 0, PEER_V4))
            .fragment(Total::OuterV4Last, 20),
        Case::new("GRE fragment, first", node(), peers(0, true, 47, &in_gre[..1480]), Class::Gre, 1500, 1476)
            .path(from(Class::Gre, 0, PEER_V4))
            .fragment(Total::OuterV4First, 0),
        Case::new(
            "GRE fragment, last",
            node(),
            peers(1480, false, 47, &in_gre[1480..1560]),
            Class::Gre,
            100,
            80,
        )
        .path(from(Class::Gre, 0, PEER_V4))
        .fragment(Total::OuterV4Last, 20),
        Case::new(
            "WireGuard fragment, first, without the tag",
            Node::underlay(Class::Wireguard),
            peers(0, true, 17, &datagram_wg[..1480]),
            Class::Wireguard,
            1500,
            1456,
        )
        .path(from(Class::Wireguard, 0, PEER_V4))
        .fragment(Total::OuterV4First, 0),
    ]
}

fn tunnels6() -> Vec<Case> {
    let node = || Node::underlay(Class::Vxlan);
    let datagram = vxlan(VNI, &ethernet_ip(&pods4(1440)));
    let packet = pods6(3000);
    let peers = |offset: usize, more: bool, protocol: u8, bytes: &[u8]| {
        v6(PEER6, NODE6, protocol, offset as u16, more, bytes)
    };
    vec![
        Case::new(
            "VXLAN over IPv6, first",
            node(),
            peers(0, true, 17, &datagram[..1448]),
            Class::Vxlan,
            1496,
            1418,
        )
        .path(from(Class::Vxlan, VNI, PEER_V6))
        .fragment(Total::OuterV6First, 8),
        Case::new(
            "VXLAN over IPv6, last",
            node(),
            peers(1448, false, 17, &datagram[1448..]),
            Class::Vxlan,
            110,
            62,
        )
        .path(from(Class::Vxlan, VNI, PEER_V6))
        .fragment(Total::OuterV6Last, 48),
        Case::new(
            "6in6 fragment, first",
            node(),
            peers(0, true, 41, &packet[..1448]),
            Class::Ip6In6,
            1496,
            1448,
        )
        .path(from(Class::Ip6In6, 0, PEER_V6))
        .fragment(Total::OuterV6First, 8),
        Case::new(
            "6in6 fragment, middle",
            node(),
            peers(1448, true, 41, &packet[1448..2896]),
            Class::Ip6In6,
            1496,
            1448,
        )
        .path(from(Class::Ip6In6, 0, PEER_V6))
        .fragment(Total::OuterV6Middle, 48),
        Case::new("4in6 fragment, last", node(), peers(1448, false, 4, &payload(52)), Class::Ip4In6, 100, 52)
            .path(from(Class::Ip4In6, 0, PEER_V6))
            .fragment(Total::OuterV6Last, 48),
        Case::new("6in6, atomic", node(), peers(0, false, 41, &pods6(12)), Class::Ip6In6, 120, 72)
            .path(from(Class::Ip6In6, 0, PEER_V6))
            .fragment(Total::OuterV6Atomic, 0),
    ]
}

fn inner() -> Vec<Case> {
    let node = || Node::underlay(Class::Vxlan);
    let datagram = udp(5000, 4789, &payload(200));
    let part4 = |offset: u16, more: bool, bytes: &[u8]| {
        Ip4::new(FAR_POD, POD, 17).fragment(offset, more).around(bytes)
    };
    let part6 = |offset: u16, more: bool, bytes: &[u8]| {
        Ip6::new(FAR_POD6, POD6, 6).fragment(offset, more).around(bytes)
    };
    let in_vxlan = |inside: &[u8]| from_peer4(17, &vxlan(VNI, &ethernet_ip(inside)));
    let path = from(Class::Vxlan, VNI, PEER_V4);
    let ipip = from(Class::Ipip, 0, PEER_V4);
    vec![
        Case::new(
            "inner first fragment in VXLAN, to a tunnel port: nested",
            node(),
            in_vxlan(&part4(0, true, &datagram[..80])),
            Class::Vxlan,
            150,
            100,
        )
        .path(path)
        .fragment(Total::InnerV4First, 0)
        .expect(|e| e.flags = vec![Total::Nested]),
        Case::new(
            "inner middle fragment in VXLAN",
            node(),
            in_vxlan(&part4(80, true, &datagram[80..160])),
            Class::Vxlan,
            150,
            100,
        )
        .path(path)
        .fragment(Total::InnerV4Middle, 20),
        Case::new(
            "inner last fragment in IPIP",
            node(),
            from_peer4(4, &part4(160, false, &datagram[160..])),
            Class::Ipip,
            88,
            68,
        )
        .path(ipip)
        .fragment(Total::InnerV4Last, 20),
        Case::new(
            "inner IPv6 first fragment in VXLAN",
            node(),
            in_vxlan(&part6(0, true, &tcp(0, &payload(60)))),
            Class::Vxlan,
            178,
            128,
        )
        .path(path)
        .fragment(Total::InnerV6First, 8),
        Case::new(
            "inner IPv6 middle fragment in VXLAN",
            node(),
            in_vxlan(&part6(80, true, &payload(80))),
            Class::Vxlan,
            178,
            128,
        )
        .path(path)
        .fragment(Total::InnerV6Middle, 48),
        Case::new(
            "inner IPv6 last fragment in VXLAN",
            node(),
            in_vxlan(&part6(160, false, &payload(80))),
            Class::Vxlan,
            178,
            128,
        )
        .path(path)
        .fragment(Total::InnerV6Last, 48),
        Case::new(
            "inner IPv6 atomic fragment in VXLAN",
            node(),
            in_vxlan(&part6(0, false, &tcp(0, &payload(60)))),
            Class::Vxlan,
            178,
            128,
        )
        .path(path)
        .fragment(Total::InnerV6Atomic, 0),
        Case::new(
            "outer first fragment, inner last fragment",
            node(),
            v4(PEER, NODE, 4, 0, true, &part4(160, false, &payload(200))[..160]),
            Class::Ipip,
            180,
            160,
        )
        .path(ipip)
        .fragment(Total::OuterV4First, 0)
        .fragment(Total::InnerV4Last, 20),
    ]
}

fn suspicious() -> Vec<Case> {
    let native = || Node::underlay(Class::None);
    let case = |name: &str, frame: Vec<u8>, l3: u32, counter: Total, overhead: u64, reason: Malformed| {
        let version6 = matches!(counter, Total::OuterV6First | Total::OuterV6Middle | Total::OuterV6Last);
        let peer = if version6 { PEER_V6 } else { PEER_V4 };
        Case::new(name, native(), frame, Class::None, l3, l3.into())
            .path(from(Class::None, 0, peer))
            .fragment(counter, overhead)
            .flagged(reason)
    };
    let pod = |protocol: u8, offset: u16, more: bool, length: usize| {
        v4(FAR_POD, POD, protocol, offset, more, &payload(length))
    };
    let pod6 = |protocol: u8, offset: u16, more: bool, length: usize| {
        v6(FAR_POD6, POD6, protocol, offset, more, &payload(length))
    };
    let (first, middle, last) = (Total::OuterV4First, Total::OuterV4Middle, Total::OuterV4Last);
    let (first6, middle6, last6) = (Total::OuterV6First, Total::OuterV6Middle, Total::OuterV6Last);
    let none = Malformed::None;
    vec![
        case(
            "middle fragment of 81 bytes",
            pod(17, 80, true, 81),
            101,
            middle,
            20,
            Malformed::FragmentLength,
        ),
        case("last fragment of 81 bytes", pod(17, 80, false, 81), 101, last, 20, none),
        case("fragment ends at 65,535 bytes", pod(17, 65_504, false, 11), 31, last, 20, none),
        case(
            "fragment ends at 65,536 bytes",
            pod(17, 65_504, false, 12),
            32,
            last,
            20,
            Malformed::FragmentBeyond,
        ),
        case("ping of death", pod(1, 65_528, false, 100), 120, last, 20, Malformed::FragmentBeyond),
        case("tiny TCP fragment", padded(pod(6, 0, true, 8), 60, 0), 28, first, 0, Malformed::FragmentTiny),
        case("smallest valid TCP fragment", pod(6, 0, true, 16), 36, first, 0, none),
        case(
            "small UDP fragment is not tiny",
            v4(FAR_POD, POD, 17, 0, true, &udp(1, 2, &[])),
            28,
            first,
            0,
            none,
        ),
        case("TCP fragment at offset 8", pod(6, 8, false, 40), 60, last, 20, Malformed::FragmentOverlap),
        case(
            "IPv6 fragment of 81 bytes",
            pod6(17, 80, true, 81),
            129,
            middle6,
            48,
            Malformed::FragmentLength,
        ),
        case("IPv6 fragment ends at 65,535 bytes", pod6(17, 65_528, false, 7), 55, last6, 48, none),
        case(
            "IPv6 fragment ends at 65,536 bytes",
            pod6(17, 65_528, false, 8),
            56,
            last6,
            48,
            Malformed::FragmentBeyond,
        ),
        case("IPv6 tiny TCP fragment", pod6(6, 0, true, 8), 56, first6, 8, Malformed::FragmentTiny),
        case(
            "IPv6 TCP fragment at offset 8",
            pod6(6, 8, false, 40),
            88,
            last6,
            48,
            Malformed::FragmentOverlap,
        ),
        Case::new(
            "IPIP, first fragment of 85 bytes",
            native(),
            v4(PEER, NODE, 4, 0, true, &pods4(100)[..85]),
            Class::Ipip,
            105,
            85,
        )
        .path(from(Class::Ipip, 0, PEER_V4))
        .fragment(first, 0)
        .flagged(Malformed::FragmentLength),
        Case::new(
            "inner tiny TCP fragment",
            native(),
            from_peer4(4, &Ip4::new(FAR_POD, POD, 6).fragment(0, true).around(&payload(8))),
            Class::Ipip,
            48,
            28,
        )
        .path(from(Class::Ipip, 0, PEER_V4))
        .fragment(Total::InnerV4First, 0)
        .flagged(Malformed::FragmentTiny),
    ]
}
