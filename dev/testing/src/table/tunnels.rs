//! Every encapsulation, from known and unknown peers.

use observer_common::address::Address;
use observer_common::counters::Total;
use observer_common::kind::Class;
use observer_common::packet::Malformed;
use observer_common::path::VNI_UNKNOWN;

use super::{PEER_V4, PEER_V6, from, from_peer4, from_peer6, pods4, pods6, to};
use crate::case::Case;
use crate::node::{FAR_POD, NODE, NODE6, Node, PEER, PEER6, POD, UNKNOWN_PEER, UNKNOWN_PEER6, VNI};
use crate::packets::{
    ETH_ARP, ETH_BRIDGING, ETH_DOT1Q, ETH_IPV4, ETH_IPV6, Ip4, Ip6, ethernet, ethernet_ip, geneve,
    geneve_header, gre, payload, tagged, tcp, udp, vxlan, vxlan_header, wireguard,
};

pub(super) fn cases() -> Vec<Case> {
    [
        ip_in_ip(),
        vxlan_cases(),
        vxlan_odd(),
        geneve_cases(),
        gre_cases(),
        wireguard_cases(),
        nested(),
        unknown_peers(),
    ]
    .concat()
}

fn ip_in_ip() -> Vec<Case> {
    let node = || Node::underlay(Class::Ipip);
    let options4 = Ip4::new(PEER, NODE, 4).options(12).around(&pods4(60));
    let inner_options = Ip4::new(FAR_POD, POD, 6).options(8).around(&tcp(0, &payload(60)));
    let sent = ethernet_ip(&Ip4::new(NODE, PEER, 4).around(&pods4(60)));
    vec![
        Case::new("IPIP", node(), from_peer4(4, &pods4(60)), Class::Ipip, 120, 100).path(from(
            Class::Ipip,
            0,
            PEER_V4,
        )),
        Case::new("IPIP, egress", node(), sent, Class::Ipip, 120, 100).egress().path(to(
            Class::Ipip,
            0,
            PEER_V4,
        )),
        Case::new(
            "IPIP after a VLAN tag",
            node(),
            tagged(&[ETH_DOT1Q], ETH_IPV4, &from_peer4(4, &pods4(60))[14..]),
            Class::Ipip,
            120,
            100,
        )
        .path(from(Class::Ipip, 0, PEER_V4)),
        Case::new("6in4", node(), from_peer4(41, &pods6(60)), Class::Ip6In4, 140, 120).path(from(
            Class::Ip6In4,
            0,
            PEER_V4,
        )),
        Case::new("4in6", node(), from_peer6(4, &pods4(60)), Class::Ip4In6, 140, 100).path(from(
            Class::Ip4In6,
            0,
            PEER_V6,
        )),
        Case::new("6in6", node(), from_peer6(41, &pods6(60)), Class::Ip6In6, 160, 120).path(from(
            Class::Ip6In6,
            0,
            PEER_V6,
        )),
        Case::new("IPIP, outer options", node(), ethernet_ip(&options4), Class::Ipip, 132, 100).path(from(
            Class::Ipip,
            0,
            PEER_V4,
        )),
        Case::new("IPIP, inner options", node(), from_peer4(4, &inner_options), Class::Ipip, 128, 108)
            .path(from(Class::Ipip, 0, PEER_V4)),
    ]
}

fn vxlan_cases() -> Vec<Case> {
    let node = || Node::underlay(Class::Vxlan);
    let path = from(Class::Vxlan, VNI, PEER_V4);
    let arp = ethernet(ETH_ARP, &payload(28));
    let two_tags = tagged(&[ETH_DOT1Q, ETH_DOT1Q], ETH_IPV4, &pods4(60));
    let three_tags = tagged(&[ETH_DOT1Q, ETH_DOT1Q, ETH_DOT1Q], ETH_IPV4, &pods4(60));
    let mut cases = vec![
        Case::new(
            "VXLAN",
            node(),
            from_peer4(17, &vxlan(VNI, &ethernet_ip(&pods4(60)))),
            Class::Vxlan,
            150,
            100,
        )
        .path(path),
        Case::new(
            "VXLAN over IPv6",
            node(),
            from_peer6(17, &vxlan(VNI, &ethernet_ip(&pods4(60)))),
            Class::Vxlan,
            170,
            100,
        )
        .path(from(Class::Vxlan, VNI, PEER_V6)),
        Case::new(
            "VXLAN, IPv6 inside",
            node(),
            from_peer4(17, &vxlan(VNI, &ethernet_ip(&pods6(60)))),
            Class::Vxlan,
            170,
            120,
        )
        .path(path),
        Case::new(
            "VXLAN, inner tag",
            node(),
            from_peer4(17, &vxlan(VNI, &tagged(&[ETH_DOT1Q], ETH_IPV4, &pods4(60)))),
            Class::Vxlan,
            154,
            100,
        )
        .path(path),
        Case::new(
            "VXLAN, two inner tags",
            node(),
            from_peer4(17, &vxlan(VNI, &two_tags)),
            Class::Vxlan,
            158,
            100,
        )
        .path(path),
        Case::new(
            "VXLAN, three inner tags",
            node(),
            from_peer4(17, &vxlan(VNI, &three_tags)),
            Class::Vxlan,
            162,
            126,
        )
        .path(path)
        .flagged(Malformed::TooManyVlans),
        Case::new("VXLAN, ARP inside", node(), from_peer4(17, &vxlan(VNI, &arp)), Class::Vxlan, 78, 28)
            .path(path)
            .expect(|e| e.flags = vec![Total::InnerNonIp]),
        Case::new(
            "VXLAN of Calico's eBPF NodePort forwarding",
            node(),
            from_peer4(17, &vxlan(0xca11c0, &ethernet_ip(&pods4(60)))),
            Class::Vxlan,
            150,
            100,
        )
        .path(from(Class::Vxlan, 0xca11c0, PEER_V4)),
    ];
    let on_port =
        |port: u16| from_peer4(17, &udp(4789, port, &vxlan_header(8, 0, VNI, &ethernet_ip(&pods4(60)))));
    let mut second =
        Case::new("VXLAN on the node's second port", node(), on_port(8472), Class::Vxlan, 150, 100)
            .path(path);
    second.input.node.config.vxlan_ports[1] = 8472_u16.to_be();
    cases.push(second);
    cases.push(Case::new("source port 4789 is not VXLAN", node(), on_port(8472), Class::External, 150, 150));
    cases
}

/// Headers that deviate from RFC 7348.
fn vxlan_odd() -> Vec<Case> {
    let node = || Node::underlay(Class::Vxlan);
    let path = from(Class::Vxlan, VNI, PEER_V4);
    let frame = |flags: u8, next: u8, inside: &[u8]| {
        from_peer4(17, &udp(49_152, 4789, &vxlan_header(flags, next, VNI, inside)))
    };
    let gpe = |name: &str, next: u8, inside: &[u8], inner: u64| {
        let l3 = 36 + inside.len() as u32;
        Case::new(name, node(), frame(0x0c, next, inside), Class::Vxlan, l3, inner)
            .path(path)
            .expect(|e| e.flags = vec![Total::VxlanGpe])
    };
    vec![
        Case::new(
            "VXLAN with group policy",
            node(),
            frame(0x88, 0, &ethernet_ip(&pods4(60))),
            Class::Vxlan,
            150,
            100,
        )
        .path(path),
        Case::new(
            "VXLAN without the I flag",
            node(),
            frame(0, 0, &ethernet_ip(&pods4(60))),
            Class::Vxlan,
            150,
            114,
        )
        .path(from(Class::Vxlan, 0, PEER_V4))
        .flagged(Malformed::TunnelHeader),
        gpe("VXLAN-GPE, IPv4", 1, &pods4(60), 100),
        gpe("VXLAN-GPE, IPv6", 2, &pods6(60), 120),
        gpe("VXLAN-GPE, Ethernet", 3, &ethernet_ip(&pods4(60)), 100),
        gpe("VXLAN-GPE, NSH", 4, &payload(60), 60)
            .expect(|e| e.flags = vec![Total::VxlanGpe, Total::InnerNonIp]),
    ]
}

fn geneve_cases() -> Vec<Case> {
    let node = || Node::underlay(Class::Geneve);
    let path = from(Class::Geneve, VNI, PEER_V4);
    let case = |name: &str, datagram: &[u8], l3: u32, inner: u64| {
        Case::new(name, node(), from_peer4(17, datagram), Class::Geneve, l3, inner).path(path)
    };
    let in_ethernet = ethernet_ip(&pods4(60));
    vec![
        case("Geneve", &geneve(VNI, ETH_BRIDGING, 0, &in_ethernet), 150, 100),
        case("Geneve with 8 bytes of options", &geneve(VNI, ETH_BRIDGING, 8, &in_ethernet), 158, 100),
        case("Geneve with 252 bytes of options", &geneve(VNI, ETH_BRIDGING, 252, &in_ethernet), 402, 100),
        case("Geneve, IPv4 inside", &geneve(VNI, ETH_IPV4, 4, &pods4(60)), 140, 100),
        case("Geneve, IPv6 inside", &geneve(VNI, ETH_IPV6, 0, &pods6(60)), 156, 120),
        case("Geneve, MPLS inside", &geneve(VNI, 0x8847, 0, &payload(60)), 96, 60)
            .expect(|e| e.flags = vec![Total::InnerNonIp]),
        Case::new(
            "Geneve over IPv6",
            node(),
            from_peer6(17, &geneve(VNI, ETH_BRIDGING, 8, &in_ethernet)),
            Class::Geneve,
            178,
            100,
        )
        .path(from(Class::Geneve, VNI, PEER_V6)),
        Case::new(
            "Geneve of version 1",
            node(),
            from_peer4(17, &udp(49_152, 6081, &geneve_header(0x40, VNI, ETH_BRIDGING, 0, &in_ethernet))),
            Class::Geneve,
            150,
            114,
        )
        .path(from(Class::Geneve, 0, PEER_V4))
        .flagged(Malformed::TunnelHeader),
        Case::new(
            "Geneve, options beyond the end",
            node(),
            from_peer4(17, &udp(49_152, 6081, &geneve_header(63, VNI, ETH_BRIDGING, 0, &in_ethernet))),
            Class::Geneve,
            150,
            114,
        )
        .path(path)
        .flagged(Malformed::TruncatedTunnel),
    ]
}

fn gre_cases() -> Vec<Case> {
    let node = || Node::underlay(Class::Gre);
    let case = |name: &str, packet: &[u8], l3: u32, inner: u64| {
        Case::new(name, node(), from_peer4(47, packet), Class::Gre, l3, inner).path(from(
            Class::Gre,
            0,
            PEER_V4,
        ))
    };
    let non_ip = |e: &mut crate::case::Expect| e.flags = vec![Total::InnerNonIp];
    vec![
        case("GRE", &gre(0, 0, ETH_IPV4, &pods4(60)), 124, 100),
        case("GRE, key", &gre(0x20, 0, ETH_IPV4, &pods4(60)), 128, 100),
        case("GRE, sequence number", &gre(0x10, 0, ETH_IPV4, &pods4(60)), 128, 100),
        case("GRE, checksum", &gre(0x80, 0, ETH_IPV4, &pods4(60)), 128, 100),
        case("GRE, key, sequence number, checksum", &gre(0xb0, 0, ETH_IPV4, &pods4(60)), 136, 100),
        case("GRE, IPv6 inside", &gre(0, 0, ETH_IPV6, &pods6(60)), 144, 120),
        case("GRE, Ethernet inside", &gre(0x20, 0, ETH_BRIDGING, &ethernet_ip(&pods4(60))), 142, 100),
        case(
            "GRE, tagged Ethernet inside",
            &gre(0, 0, ETH_BRIDGING, &tagged(&[ETH_DOT1Q], ETH_IPV4, &pods4(60))),
            142,
            100,
        ),
        case("GRE, PPTP", &gre(0x20, 1, 0x880b, &payload(60)), 88, 64).expect(non_ip),
        case("GRE, ERSPAN", &gre(0x10, 0, 0x88be, &payload(60)), 88, 60).expect(non_ip),
        case("GRE, source routing", &gre(0x40, 0, ETH_IPV4, &pods4(60)), 124, 104)
            .flagged(Malformed::TunnelHeader),
        case("GRE, key beyond the end", &gre(0x20, 0, ETH_IPV4, &[])[..4], 24, 4)
            .flagged(Malformed::TruncatedTunnel),
        case("GRE, two bytes", &[0, 0], 22, 2).flagged(Malformed::TruncatedTunnel),
        Case::new(
            "GRE over IPv6",
            node(),
            from_peer6(47, &gre(0, 0, ETH_IPV4, &pods4(60))),
            Class::Gre,
            144,
            100,
        )
        .path(from(Class::Gre, 0, PEER_V6)),
    ]
}

fn wireguard_cases() -> Vec<Case> {
    let node = || Node::underlay(Class::Wireguard);
    let case = |name: &str, datagram: &[u8], l3: u32, inner: u64| {
        Case::new(name, node(), from_peer4(17, datagram), Class::Wireguard, l3, inner).path(from(
            Class::Wireguard,
            0,
            PEER_V4,
        ))
    };
    let mut longer = payload(204);
    longer[..4].copy_from_slice(&[1, 0, 0, 0]);
    let mut reserved = wireguard(51_820, 51_820, 4, 64);
    reserved[8 + 1] = 1;
    vec![
        case("WireGuard, data", &wireguard(51_820, 51_820, 4, 1408), 1468, 1408),
        case("WireGuard, data to an ephemeral port", &wireguard(51_820, 40_000, 4, 64), 124, 64),
        case("WireGuard, keepalive", &wireguard(51_820, 51_820, 4, 0), 60, 0),
        case("WireGuard, handshake initiation", &wireguard(51_820, 51_820, 1, 0), 176, 0),
        case("WireGuard, handshake response", &wireguard(51_820, 51_820, 2, 0), 120, 0),
        case("WireGuard, cookie reply", &wireguard(51_820, 51_820, 3, 0), 92, 0),
        Case::new(
            "WireGuard over IPv6",
            node(),
            from_peer6(17, &wireguard(51_821, 51_821, 4, 64)),
            Class::Wireguard,
            144,
            64,
        )
        .path(from(Class::Wireguard, 0, PEER_V6)),
        case(
            "WireGuard, data message shorter than its headers",
            &udp(51_820, 51_820, &[4, 0, 0, 0, 1, 2, 3, 4]),
            36,
            0,
        )
        .flagged(Malformed::TruncatedTunnel),
        Case::new(
            "WireGuard port, reserved bytes not 0",
            node(),
            from_peer4(17, &reserved),
            Class::External,
            124,
            124,
        ),
        Case::new(
            "WireGuard port, handshake of another length",
            node(),
            from_peer4(17, &udp(57_636, 51_820, &longer)),
            Class::External,
            28 + 204,
            28 + 204,
        ),
        Case::new(
            "WireGuard port, empty datagram",
            node(),
            from_peer4(17, &udp(51_820, 51_820, &[])),
            Class::External,
            28,
            28,
        ),
    ]
}

/// Only one level of inner headers is read.
fn nested() -> Vec<Case> {
    let nested = |e: &mut crate::case::Expect| e.flags = vec![Total::Nested];
    let ipip = Ip4::new(FAR_POD, POD, 4).around(&pods4(60));
    let in_vxlan = |inside: &[u8]| from_peer4(17, &vxlan(VNI, &ethernet_ip(inside)));
    let vxlan_in = Ip4::new(FAR_POD, POD, 17).around(&vxlan(VNI, &ethernet_ip(&pods4(60))));
    let geneve_in = Ip4::new(FAR_POD, POD, 17).around(&geneve(VNI, ETH_IPV4, 0, &pods4(60)));
    let gre_in = Ip4::new(FAR_POD, POD, 47).around(&gre(0, 0, ETH_IPV4, &pods4(60)));
    let dns = Ip4::new(FAR_POD, POD, 17).around(&udp(5000, 53, &payload(30)));
    let node = || Node::underlay(Class::Vxlan);
    vec![
        Case::new("IPIP in VXLAN", node(), in_vxlan(&ipip), Class::Vxlan, 170, 120)
            .path(from(Class::Vxlan, VNI, PEER_V4))
            .expect(nested),
        Case::new("GRE in VXLAN", node(), in_vxlan(&gre_in), Class::Vxlan, 174, 124)
            .path(from(Class::Vxlan, VNI, PEER_V4))
            .expect(nested),
        Case::new("VXLAN in VXLAN", node(), in_vxlan(&vxlan_in), Class::Vxlan, 200, 150)
            .path(from(Class::Vxlan, VNI, PEER_V4))
            .expect(nested),
        Case::new("VXLAN in IPIP", node(), from_peer4(4, &vxlan_in), Class::Ipip, 170, 150)
            .path(from(Class::Ipip, 0, PEER_V4))
            .expect(nested),
        Case::new("Geneve in IPIP", node(), from_peer4(4, &geneve_in), Class::Ipip, 156, 136)
            .path(from(Class::Ipip, 0, PEER_V4))
            .expect(nested),
        Case::new("IPIP in IPIP", node(), from_peer4(4, &ipip), Class::Ipip, 140, 120)
            .path(from(Class::Ipip, 0, PEER_V4))
            .expect(nested),
        Case::new("DNS in IPIP is not nested", node(), from_peer4(4, &dns), Class::Ipip, 78, 58).path(from(
            Class::Ipip,
            0,
            PEER_V4,
        )),
    ]
}

fn unknown_peers() -> Vec<Case> {
    let node = || Node::underlay(Class::Vxlan);
    let unknown_peer = Address::from_v4(UNKNOWN_PEER);
    let ipip = ethernet_ip(&Ip4::new(UNKNOWN_PEER, NODE, 4).around(&pods4(60)));
    let ipip_out = ethernet_ip(&Ip4::new(NODE, UNKNOWN_PEER, 4).around(&pods4(60)));
    let six = ethernet_ip(&Ip6::new(UNKNOWN_PEER6, NODE6, 41).around(&pods6(60)));
    let in_vxlan = |source: [u8; 4], vni: u32| {
        ethernet_ip(&Ip4::new(source, NODE, 17).around(&vxlan(vni, &ethernet_ip(&pods4(60)))))
    };
    let in_geneve = ethernet_ip(&Ip6::new(PEER6, NODE6, 17).around(&geneve(77, ETH_IPV4, 0, &pods4(60))));
    vec![
        Case::new("IPIP from unknown peer", node(), ipip, Class::Ipip, 120, 100).expect(|e| {
            (e.flags, e.unknown_peer) = (vec![Total::UnknownPeer], Some(from(Class::Ipip, 0, unknown_peer)));
        }),
        Case::new("IPIP to unknown peer", node(), ipip_out, Class::Ipip, 120, 100).egress().expect(|e| {
            (e.flags, e.unknown_peer) = (vec![Total::UnknownPeer], Some(to(Class::Ipip, 0, unknown_peer)));
        }),
        Case::new("6in6 from unknown peer", node(), six, Class::Ip6In6, 160, 120).expect(|e| {
            let key = from(Class::Ip6In6, 0, Address::from_v6(UNKNOWN_PEER6));
            (e.flags, e.unknown_peer) = (vec![Total::UnknownPeer], Some(key));
        }),
        Case::new("VXLAN from unknown peer", node(), in_vxlan(UNKNOWN_PEER, VNI), Class::Vxlan, 150, 100)
            .expect(|e| {
                (e.flags, e.unknown_peer) =
                    (vec![Total::UnknownPeer], Some(from(Class::Vxlan, VNI, unknown_peer)));
            }),
        Case::new(
            "VXLAN from known peer, unknown VNI",
            node(),
            in_vxlan(PEER, 0x123456),
            Class::Vxlan,
            150,
            100,
        )
        .path(from(Class::Vxlan, VNI_UNKNOWN, PEER_V4))
        .expect(|e| {
            e.flags = vec![Total::UnknownVni];
            e.unknown_peer = Some(from(Class::Vxlan, 0x123456, PEER_V4));
        }),
        Case::new("VXLAN from known peer, VNI 0", node(), in_vxlan(PEER, 0), Class::Vxlan, 150, 100)
            .path(from(Class::Vxlan, VNI_UNKNOWN, PEER_V4))
            .expect(|e| {
                e.flags = vec![Total::UnknownVni];
                e.unknown_peer = Some(from(Class::Vxlan, 0, PEER_V4));
            }),
        Case::new(
            "VXLAN from unknown peer, unknown VNI",
            node(),
            in_vxlan(UNKNOWN_PEER, 1),
            Class::Vxlan,
            150,
            100,
        )
        .expect(|e| {
            e.flags = vec![Total::UnknownPeer, Total::UnknownVni];
            e.unknown_peer = Some(from(Class::Vxlan, 1, unknown_peer));
        }),
        Case::new("Geneve over IPv6, unknown VNI", node(), in_geneve, Class::Geneve, 156, 100)
            .path(from(Class::Geneve, VNI_UNKNOWN, PEER_V6))
            .expect(|e| {
                e.flags = vec![Total::UnknownVni];
                e.unknown_peer = Some(from(Class::Geneve, 77, PEER_V6));
            }),
    ]
}
