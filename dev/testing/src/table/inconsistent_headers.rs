//! Wrong lengths, headers in the padding, contradicting versions.

use observer_common::kind::Class;
use observer_common::packet::Malformed;

use super::{PEER_V4, PEER_V6, from, from_peer4, from_peer6, pods4, pods6};
use crate::case::Case;
use crate::node::{FAR_POD, FAR_POD6, NODE, NODE6, Node, PEER, PEER6, POD, POD6, VNI};
use crate::packets::{
    ETH_BRIDGING, ETH_IPV4, ETH_IPV6, Ip4, Ip6, ethernet, ethernet_ip, gre, padded, payload, tcp, udp,
    udp_with_length, vxlan, vxlan_header,
};

pub(super) fn cases() -> Vec<Case> {
    [outer(), outer6(), inner(), inner6(), in_padding()].concat()
}

fn native() -> Node {
    Node::underlay(Class::None)
}

fn outer() -> Vec<Case> {
    let far = || Ip4::new(FAR_POD, POD, 6);
    let segment = tcp(0, &payload(60));
    let bad = |name: &str, ip: &Ip4, reason| {
        Case::unusable(name, native(), ethernet(ETH_IPV4, &ip.around(&segment)), reason)
    };
    vec![
        bad("total length beyond the frame", &far().total_length(101), Malformed::IpLengthBeyondFrame),
        bad("total length 65,535", &far().total_length(65_535), Malformed::IpLengthBeyondFrame),
        bad("total length below the header length", &far().total_length(19), Malformed::IpTotalLength),
        bad("total length 0 without segments", &far().total_length(0), Malformed::IpTotalLength),
        bad("header length 4 words", &far().version_ihl(0x44), Malformed::IpHeaderLength),
        bad("header length 0", &far().version_ihl(0x40), Malformed::IpHeaderLength),
        bad(
            "header length beyond the total length",
            &far().version_ihl(0x4f).total_length(40),
            Malformed::IpTotalLength,
        ),
        bad("version 6 in IPv4", &far().version_ihl(0x65), Malformed::IpVersion),
        bad("version 15", &far().version_ihl(0xf5), Malformed::IpVersion),
        Case::new(
            "total length shorter than the frame",
            native(),
            ethernet_ip(&far().total_length(50).around(&segment)),
            Class::None,
            50,
            50,
        )
        .path(from(Class::None, 0, PEER_V4)),
        Case::unusable(
            "ends inside the IPv4 header",
            native(),
            ethernet(ETH_IPV4, &pods4(0)[..19]),
            Malformed::TruncatedIp,
        ),
    ]
}

fn outer6() -> Vec<Case> {
    let far = || Ip6::new(FAR_POD6, POD6, 6);
    let segment = tcp(0, &payload(60));
    let bad = |name: &str, ip: &Ip6, reason| {
        Case::unusable(name, native(), ethernet(ETH_IPV6, &ip.around(&segment)), reason)
    };
    let truncated = Malformed::TruncatedExtension;
    vec![
        bad("payload length beyond the frame", &far().payload_length(81), Malformed::IpLengthBeyondFrame),
        bad("version 4 in IPv6", &far().first(0x40), Malformed::IpVersion),
        bad(
            "destination options beyond the end",
            &far().raw_extension(60, &[0, 200, 0, 0, 0, 0, 0, 0]),
            truncated,
        ),
        bad(
            "authentication header beyond the end",
            &far().raw_extension(51, &[0, 255, 0, 0, 0, 0, 0, 0]),
            truncated,
        ),
        bad(
            "payload length ends inside the routing header",
            &far().extension(43, 8).payload_length(7),
            truncated,
        ),
        bad(
            "payload length 0, but extension header announced",
            &far().extension(43, 8).payload_length(0),
            truncated,
        ),
        Case::new(
            "payload length 0",
            native(),
            ethernet_ip(&far().payload_length(0).around(&segment)),
            Class::None,
            40,
            40,
        )
        .path(from(Class::None, 0, PEER_V6)),
        Case::new(
            "authentication header of length 0 is 8 bytes",
            native(),
            ethernet_ip(&far().raw_extension(51, &[0; 8]).around(&segment)),
            Class::None,
            128,
            128,
        )
        .path(from(Class::None, 0, PEER_V6)),
        Case::unusable(
            "ends inside the IPv6 header",
            native(),
            ethernet(ETH_IPV6, &pods6(0)[..39]),
            Malformed::TruncatedIp,
        ),
    ]
}

fn inner() -> Vec<Case> {
    let node = || Node::underlay(Class::Ipip);
    let far = || Ip4::new(FAR_POD, POD, 6);
    let segment = tcp(0, &payload(60));
    let path = from(Class::Ipip, 0, PEER_V4);
    let bad = |name: &str, ip: &Ip4, reason| {
        Case::new(name, node(), from_peer4(4, &ip.around(&segment)), Class::Ipip, 120, 100)
            .path(path)
            .flagged(reason)
    };
    let vxlan_path = from(Class::Vxlan, VNI, PEER_V4);
    let too_short = udp_with_length(49_152, 4789, 8, &vxlan_header(8, 0, VNI, &ethernet_ip(&pods4(60))));
    let too_long = udp_with_length(49_152, 4789, 65_535, &vxlan_header(8, 0, VNI, &ethernet_ip(&pods4(60))));
    let in_vxlan = vxlan(VNI, &ethernet_ip(&far().total_length(200).around(&segment)));
    vec![
        bad("inner longer than the outer", &far().total_length(101), Malformed::InnerLength),
        bad(
            "inner total length below the header length",
            &far().total_length(19),
            Malformed::InnerHeaderLength,
        ),
        bad("inner total length 0", &far().total_length(0), Malformed::InnerHeaderLength),
        bad("inner header length 4 words", &far().version_ihl(0x44), Malformed::InnerHeaderLength),
        bad("inner version 6 in IPIP", &far().version_ihl(0x65), Malformed::InnerVersion),
        Case::new(
            "inner shorter than the outer",
            node(),
            from_peer4(4, &far().total_length(90).around(&segment)),
            Class::Ipip,
            120,
            90,
        )
        .path(path),
        Case::new(
            "IPIP, inner header truncated",
            node(),
            from_peer4(4, &pods4(0)[..19]),
            Class::Ipip,
            39,
            19,
        )
        .path(path)
        .flagged(Malformed::InnerTruncated),
        Case::new("IPIP, nothing inside", node(), from_peer4(4, &[]), Class::Ipip, 20, 0)
            .path(path)
            .flagged(Malformed::InnerTruncated),
        Case::new(
            "UDP length 8 before VXLAN",
            Node::underlay(Class::Vxlan),
            from_peer4(17, &too_short),
            Class::Vxlan,
            150,
            100,
        )
        .path(vxlan_path),
        Case::new(
            "UDP length 65,535 before VXLAN",
            Node::underlay(Class::Vxlan),
            from_peer4(17, &too_long),
            Class::Vxlan,
            150,
            100,
        )
        .path(vxlan_path),
        Case::new(
            "VXLAN, inner longer than the outer",
            Node::underlay(Class::Vxlan),
            from_peer4(17, &in_vxlan),
            Class::Vxlan,
            150,
            100,
        )
        .path(vxlan_path)
        .flagged(Malformed::InnerLength),
        Case::new(
            "VXLAN, inner Ethernet truncated",
            Node::underlay(Class::Vxlan),
            from_peer4(17, &vxlan(VNI, &payload(13))),
            Class::Vxlan,
            49,
            13,
        )
        .path(vxlan_path)
        .flagged(Malformed::InnerTruncated),
    ]
}

fn inner6() -> Vec<Case> {
    let node = || Node::underlay(Class::Ipip);
    let far = || Ip6::new(FAR_POD6, POD6, 6);
    let segment = tcp(0, &payload(40));
    let bad = |name: &str, ip: &Ip6, reason| {
        let inside = ip.around(&segment);
        let length = inside.len();
        Case::new(name, node(), from_peer6(41, &inside), Class::Ip6In6, 40 + length as u32, length as u64)
            .path(from(Class::Ip6In6, 0, PEER_V6))
            .flagged(reason)
    };
    let many = (0..8).fold(far(), |packet, _| packet.extension(60, 8));
    let fragment_then_many =
        (0..7).fold(far().fragment(80, true).fragment(0, true), |p, _| p.extension(60, 8));
    let first_then_many = (0..7).fold(far().fragment(0, true), |p, _| p.extension(60, 8));
    vec![
        bad("inner IPv6 longer than the outer", &far().payload_length(61), Malformed::InnerLength),
        bad("inner version 4 in 6in6", &far().first(0x40), Malformed::InnerVersion),
        bad(
            "inner options beyond the end",
            &far().raw_extension(60, &[0, 99, 0, 0, 0, 0, 0, 0]),
            Malformed::InnerTruncated,
        ),
        bad("inner, eight extension headers", &many, Malformed::ExtensionChain),
        bad(
            "inner first fragment, then too many extension headers",
            &first_then_many,
            Malformed::ExtensionChain,
        ),
        bad("inner later fragment stops the chain", &fragment_then_many, Malformed::None)
            .fragment(observer_common::counters::Total::InnerV6Middle, 48)
            // 124 bytes of payload after the first Fragment header, not a multiple of 8.
            .expect(|e| e.malformed = Malformed::FragmentLength),
    ]
}

/// Padding after the IP packet that looks like the next header.
fn in_padding() -> Vec<Case> {
    let frame =
        |packet: &[u8], padding: &[u8]| padded([ethernet_ip(packet), padding.to_vec()].concat(), 60, 0);
    let outer = |protocol: u8, inside: &[u8]| Ip4::new(PEER, NODE, protocol).around(inside);
    let arp = ethernet(0x0806, &payload(28));
    let vxlan_only = outer(17, &udp(49_152, 4789, &vxlan_header(8, 0, VNI, &[])));
    let ports = udp(49_152, 4789, &vxlan_header(8, 0, VNI, &ethernet_ip(&pods4(0))));
    let bridged = outer(47, &gre(0, 0, ETH_BRIDGING, &[]));
    let data = [4, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0];
    let tiny = Ip4::new(FAR_POD, POD, 17).around(&[]);
    let outer_first = Ip6::new(PEER6, NODE6, 41).fragment(0, true);
    let chain = Ip6::new(FAR_POD6, POD6, 44).payload_length(400).around(&[]);
    vec![
        Case::new(
            "IPIP, inner header in the padding",
            Node::underlay(Class::Ipip),
            frame(&outer(4, &[]), &pods4(0)),
            Class::Ipip,
            20,
            0,
        )
        .path(from(Class::Ipip, 0, PEER_V4))
        .flagged(Malformed::InnerTruncated),
        Case::new(
            "UDP header in the padding",
            native(),
            frame(&outer(17, &[]), &ports),
            Class::External,
            20,
            20,
        )
        .flagged(Malformed::TruncatedTransport),
        Case::new(
            "VXLAN, inner IP in the padding",
            Node::underlay(Class::Vxlan),
            frame(&vxlan_only, &ethernet_ip(&pods4(0))),
            Class::Vxlan,
            36,
            0,
        )
        .path(from(Class::Vxlan, VNI, PEER_V4))
        .flagged(Malformed::InnerTruncated),
        Case::new(
            "VXLAN, inner ARP in the padding",
            Node::underlay(Class::Vxlan),
            frame(&vxlan_only, &arp),
            Class::Vxlan,
            36,
            0,
        )
        .path(from(Class::Vxlan, VNI, PEER_V4))
        .flagged(Malformed::InnerTruncated),
        Case::new(
            "GRE, inner Ethernet in the padding",
            Node::underlay(Class::Gre),
            frame(&bridged, &arp),
            Class::Gre,
            24,
            0,
        )
        .path(from(Class::Gre, 0, PEER_V4))
        .flagged(Malformed::InnerTruncated),
        Case::new(
            "WireGuard message in the padding",
            Node::underlay(Class::Wireguard),
            frame(&outer(17, &udp(51_820, 51_820, &[])), &data),
            Class::External,
            28,
            28,
        ),
        Case::new(
            "inner tunnel port in the padding",
            Node::underlay(Class::Ipip),
            frame(&outer(4, &tiny), &ports),
            Class::Ipip,
            40,
            20,
        )
        .path(from(Class::Ipip, 0, PEER_V4))
        .flagged(Malformed::TruncatedTransport),
        Case::new(
            "first fragment, inner Fragment header in the padding",
            Node::underlay(Class::Ipip),
            frame(&outer_first.around(&chain), &[6, 0, 0, 1, 0, 0, 0, 1]),
            Class::Ip6In6,
            88,
            40,
        )
        .path(from(Class::Ip6In6, 0, PEER_V6))
        .fragment(observer_common::counters::Total::OuterV6First, 8)
        .flagged(Malformed::InnerTruncated),
    ]
}
