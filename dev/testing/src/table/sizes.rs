//! Super-packets, MTUs, and packets too big for a tunnel.

use observer_common::counters::Total;
use observer_common::kind::Class;
use observer_common::path::PathKey;

use super::{PEER_V4, PEER_V6, from, from_peer4, from_peer6, pods4, pods6, to};
use crate::case::Case;
use crate::node::{FAR_POD, FAR_POD6, Node, POD, POD6, UNKNOWN_PEER, VNI};
use crate::packets::{ETH_IPV4, Ip4, Ip6, ethernet_ip, geneve, gre, payload, tcp, udp, vxlan, wireguard};

pub(super) fn cases() -> Vec<Case> {
    [super_packets(), tunnel_super_packets(), big_tcp(), oversized(), into_ipip(), into_vxlan()].concat()
}

/// Expects `segments` packets with 14 bytes of Ethernet and `headers` bytes before the payload, `inner` of them in
/// the innermost packet.
fn segmented(case: Case, segments: u32, headers: u32, inner: u32, size: u32, data: u32) -> Case {
    case.expect(|e| {
        let n = u64::from(segments);
        e.segments = segments;
        e.wire = n * u64::from(14 + headers) + u64::from(data);
        e.l3 = n * u64::from(headers) + u64::from(data);
        e.inner = n * u64::from(inner) + u64::from(data);
        e.each = headers + size;
        e.last = headers + data - (segments - 1) * size;
    })
}

fn super_packets() -> Vec<Case> {
    let native = || Node::underlay(Class::None);
    let path = from(Class::None, 0, PEER_V4);
    let tcp_case = |name: &str, data: u32, segs: u32| {
        let case = Case::new(name, native(), ethernet_ip(&pods4(data as usize)), Class::None, 0, 0)
            .path(path)
            .gso(segs, 1000);
        segmented(case, data.div_ceil(1000), 40, 40, 1000, data)
    };
    let options = Ip4::new(FAR_POD, POD, 6).around(&tcp(12, &payload(3000)));
    let datagram = Ip4::new(FAR_POD, POD, 17).around(&udp(1, 2, &payload(3000)));
    let mut tagged = tcp_case("TCP super-packet, accelerated VLAN tag", 3000, 3);
    tagged.input.frame.tag_beside = true;
    tagged.expect.wire += 3 * 4;
    vec![
        tcp_case("TCP super-packet", 3000, 3),
        tcp_case("TCP super-packet, gso_segs 0", 3000, 0),
        tcp_case("TCP super-packet, last segment short", 2500, 3),
        tcp_case("TCP super-packet, last segment short, gso_segs 0", 2001, 0),
        tcp_case("gso_size, single segment", 900, 1),
        tcp_case("gso_size, single segment, gso_segs 0", 1000, 0),
        tagged,
        segmented(
            Case::new("TCP super-packet with options", native(), ethernet_ip(&options), Class::None, 0, 0)
                .path(path)
                .gso(3, 1000),
            3,
            52,
            52,
            1000,
            3000,
        ),
        segmented(
            Case::new("UDP super-packet", native(), ethernet_ip(&datagram), Class::None, 0, 0)
                .path(path)
                .gso(3, 1000),
            3,
            28,
            28,
            1000,
            3000,
        ),
        segmented(
            Case::new("IPv6 TCP super-packet", native(), ethernet_ip(&pods6(3000)), Class::None, 0, 0)
                .path(from(Class::None, 0, PEER_V6))
                .gso(3, 1000),
            3,
            60,
            60,
            1000,
            3000,
        ),
        tcp_case("TCP super-packet of 64 KiB", 60_000, 60),
    ]
}

fn tunnel_super_packets() -> Vec<Case> {
    let case = |name: &str, frame: Vec<u8>, key: PathKey, headers: u32, inner: u32, data: u32, segs: u32| {
        let class = Class::from_index(key.class).unwrap_or(Class::None);
        let case = Case::new(name, Node::underlay(class), frame, class, 0, 0).path(key).gso(segs, 1000);
        segmented(case, data.div_ceil(1000), headers, inner, 1000, data).expect(|e| e.flags = Vec::new())
    };
    let in_vxlan = |data: usize| vxlan(VNI, &ethernet_ip(&pods4(data)));
    let vxlan_path = from(Class::Vxlan, VNI, PEER_V4);
    let in_geneve = geneve(VNI, ETH_IPV4, 8, &pods4(3000));
    let three = wireguard(51_820, 51_820, 4, 1000);
    let messages = udp(51_820, 51_820, &three[8..].repeat(3));
    let mut wg = Case::new(
        "WireGuard in a UDP super-packet",
        Node::underlay(Class::Wireguard),
        from_peer4(17, &messages),
        Class::Wireguard,
        0,
        0,
    )
    .path(from(Class::Wireguard, 0, PEER_V4))
    .gso(3, 1032);
    wg = segmented(wg, 3, 28, 28, 1032, 3 * 1032);
    wg.expect.inner = 3000;
    vec![
        case("TCP super-packet in VXLAN", from_peer4(17, &in_vxlan(3000)), vxlan_path, 90, 40, 3000, 3),
        case(
            "TCP super-packet in VXLAN, last segment short",
            from_peer4(17, &in_vxlan(2100)),
            vxlan_path,
            90,
            40,
            2100,
            3,
        ),
        case(
            "TCP super-packet in VXLAN, gso_segs 0",
            from_peer4(17, &in_vxlan(2100)),
            vxlan_path,
            90,
            40,
            2100,
            0,
        ),
        case(
            "TCP super-packet in VXLAN over IPv6",
            from_peer6(17, &in_vxlan(3000)),
            from(Class::Vxlan, VNI, PEER_V6),
            110,
            40,
            3000,
            3,
        ),
        case(
            "TCP super-packet in IPIP",
            from_peer4(4, &pods4(3000)),
            from(Class::Ipip, 0, PEER_V4),
            60,
            40,
            3000,
            3,
        ),
        case(
            "TCP super-packet in 6in6",
            from_peer6(41, &pods6(3000)),
            from(Class::Ip6In6, 0, PEER_V6),
            100,
            60,
            3000,
            3,
        ),
        case(
            "TCP super-packet in Geneve",
            from_peer4(17, &in_geneve),
            from(Class::Geneve, VNI, PEER_V4),
            84,
            40,
            3000,
            3,
        ),
        case(
            "TCP super-packet in GRE",
            from_peer4(47, &gre(0x20, 0, ETH_IPV4, &pods4(3000))),
            from(Class::Gre, 0, PEER_V4),
            68,
            40,
            3000,
            3,
        ),
        wg,
    ]
}

/// Length fields of 0, which stand for more than 65,535 bytes. The parser does not depend on the size, and small
/// packets fit into a test run.
fn big_tcp() -> Vec<Case> {
    let native = || Node::underlay(Class::None);
    let four = |length: usize| Ip4::new(FAR_POD, POD, 6).total_length(0).around(&tcp(0, &payload(length)));
    let six = Ip6::new(FAR_POD6, POD6, 6).payload_length(0).around(&tcp(0, &payload(3000)));
    // RFC 2675: jumbo payload option, in a hop-by-hop header that segmentation removes.
    let jumbo = Ip6::new(FAR_POD6, POD6, 6)
        .raw_extension(0, &[0, 0, 0xc2, 4, 0, 0, 0x0b, 0xd4])
        .payload_length(0)
        .around(&tcp(0, &payload(3000)));
    let big = |name: &str, packet: &[u8], key: PathKey, headers: u32, data: u32| {
        let case = Case::new(name, native(), ethernet_ip(packet), Class::None, 0, 0)
            .path(key)
            .gso(data.div_ceil(1000), 1000);
        segmented(case, data.div_ceil(1000), headers, headers, 1000, data)
    };
    let (path4, path6) = (from(Class::None, 0, PEER_V4), from(Class::None, 0, PEER_V6));
    let inner = vxlan(VNI, &ethernet_ip(&four(3000)));
    let outer = Ip4::new(crate::node::PEER, crate::node::NODE, 17).total_length(0).around(&inner);
    let in_vxlan = Case::new(
        "BIG TCP in VXLAN, both lengths 0",
        Node::underlay(Class::Vxlan),
        ethernet_ip(&outer),
        Class::Vxlan,
        0,
        0,
    )
    .path(from(Class::Vxlan, VNI, PEER_V4))
    .gso(3, 1000);
    // A capture has no gso_size, only the flag that a length of 0 is valid.
    let mut captured =
        Case::new("BIG TCP in a capture", native(), ethernet_ip(&four(70_000)), Class::None, 70_040, 70_040)
            .path(path4)
            .expect(|e| e.oversized = 1);
    captured.input.frame.zero_length_is_big = true;
    vec![
        big("BIG TCP, IPv4", &four(3000), path4, 40, 3000),
        big("BIG TCP, IPv4, 100,000 bytes", &four(100_000), path4, 40, 100_000),
        big("BIG TCP, IPv6", &six, path6, 60, 3000),
        big("BIG TCP, IPv6, jumbo payload option", &jumbo, path6, 60, 3000),
        segmented(in_vxlan, 3, 90, 40, 1000, 3000),
        captured,
    ]
}

fn oversized() -> Vec<Case> {
    let native = || Node::underlay(Class::None);
    let path = from(Class::None, 0, PEER_V4);
    let at = |name: &str, length: usize, oversized: u64| {
        let l3 = length as u32;
        Case::new(name, native(), ethernet_ip(&pods4(length - 40)), Class::None, l3, l3.into())
            .path(path)
            .expect(|e| e.oversized = oversized)
    };
    let gso = |name: &str, size: u32, data: u32, oversized: u64| {
        let case = Case::new(name, native(), ethernet_ip(&pods4(data as usize)), Class::None, 0, 0)
            .path(path)
            .gso(data.div_ceil(size), size);
        segmented(case, data.div_ceil(size), 40, 40, size, data).expect(|e| e.oversized = oversized)
    };
    let mut unknown = at("MTU unknown", 1600, 0);
    unknown.input.node.device.mtu = 0;
    vec![
        at("exactly the MTU", 1500, 0),
        at("MTU + 1", 1501, 1),
        unknown,
        gso("segments of exactly the MTU", 1460, 2920, 0),
        gso("segments of MTU + 1", 1461, 2922, 2),
        gso("segments of MTU + 1, last segment fits", 1461, 2921, 1),
    ]
}

/// A packet sent into a tunnel device, which adds 20 or 50 bytes.
fn leaving(name: &str, node: Node, frame: Vec<u8>, length: u32, count: [u64; 3]) -> Case {
    let [oversized, fragment, drop] = count;
    Case::new(name, node, frame, Class::None, length, length.into()).egress().expect(|e| {
        (e.oversized, e.would_fragment, e.would_drop) = (oversized, fragment, drop);
    })
}

fn into_ipip() -> Vec<Case> {
    let tunl0 = Node::tunl0;
    let packet = |df: bool, length: usize| {
        let mut ip = Ip4::new(POD, FAR_POD, 6);
        ip.dont_fragment = df;
        ip.around(&tcp(0, &payload(length - 40)))
    };
    let path = to(Class::Ipip, 0, PEER_V4);
    let would = |case: Case| case.expect(|e| e.would_path = Some(path));
    let elsewhere = Ip4::new(POD, UNKNOWN_PEER, 6).around(&tcp(0, &payload(1441)));
    let gso = |name: &str, size: u32, data: u32, oversized: u64, would: u64| {
        let frame = packet(true, 40 + data as usize);
        let case = leaving(name, tunl0(), frame, 0, [oversized, 0, would]).gso(data.div_ceil(size), size);
        let n = u64::from(data.div_ceil(size));
        segmented(case, data.div_ceil(size), 40, 40, size, data).expect(|e| {
            e.wire -= n * 14;
            e.would_path = (would != 0).then_some(path);
        })
    };
    vec![
        leaving("into IPIP, exactly fits", tunl0(), packet(true, 1480), 1480, [0, 0, 0]),
        would(leaving("into IPIP, one byte too big, DF", tunl0(), packet(true, 1481), 1481, [1, 0, 1])),
        would(leaving("into IPIP, one byte too big", tunl0(), packet(false, 1481), 1481, [1, 1, 0])),
        would(leaving(
            "into IPIP, device MTU too high",
            tunl0().mtu(1500),
            packet(true, 1500),
            1500,
            [0, 0, 1],
        )),
        leaving("into IPIP, destination is not a pod", tunl0(), elsewhere, 1481, [1, 1, 0]),
        gso("into IPIP, segments fit", 1440, 2880, 0, 0),
        gso("into IPIP, segments one byte too big", 1441, 2882, 2, 2),
        Case::new(
            "out of IPIP: never too big",
            Node::tunl0().mtu(1500),
            packet(true, 1500),
            Class::None,
            1500,
            1500,
        ),
    ]
}

fn into_vxlan() -> Vec<Case> {
    let device = Node::vxlan_calico;
    let packet = |df: bool, length: usize| {
        let mut ip = Ip4::new(POD, FAR_POD, 6);
        ip.dont_fragment = df;
        ethernet_ip(&ip.around(&tcp(0, &payload(length - 40))))
    };
    let six =
        |length: usize| ethernet_ip(&Ip6::new(POD6, FAR_POD6, 6).around(&tcp(0, &payload(length - 60))));
    let would = |case: Case, peer| case.expect(|e| e.would_path = Some(to(Class::Vxlan, VNI, peer)));
    let fragment =
        ethernet_ip(&Ip4::new(POD, FAR_POD, 17).fragment(0, true).around(&udp(1, 2, &payload(1432))));
    vec![
        leaving("into VXLAN, exactly fits", device(), packet(true, 1450), 1450, [0, 0, 0]),
        would(
            leaving("into VXLAN, one byte too big, DF", device(), packet(true, 1451), 1451, [1, 0, 1]),
            PEER_V4,
        ),
        would(
            leaving("into VXLAN, one byte too big", device(), packet(false, 1451), 1451, [1, 1, 0]),
            PEER_V4,
        ),
        leaving("into VXLAN, IPv6 exactly fits", device(), six(1450), 1450, [0, 0, 0]),
        would(leaving("into VXLAN, IPv6 one byte too big", device(), six(1451), 1451, [1, 0, 1]), PEER_V6),
        would(leaving("into VXLAN, fragment", device(), fragment, 1460, [1, 1, 0]), PEER_V4)
            .fragment(Total::OuterV4First, 0),
    ]
}
