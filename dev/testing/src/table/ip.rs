//! IPv4 options, IPv6 extension headers.

use observer_common::counters::Total;
use observer_common::kind::Class;
use observer_common::packet::Malformed;

use super::{PEER_V4, PEER_V6, from, pods4};
use crate::case::Case;
use crate::node::{FAR_POD, FAR_POD6, NODE6, Node, PEER6, POD, POD6, UNKNOWN_PEER6};
use crate::packets::{Ip4, Ip6, ethernet_ip, payload, tcp, udp};

fn native() -> Node {
    Node::underlay(Class::None)
}

fn far6() -> Ip6 {
    Ip6::new(FAR_POD6, POD6, 6)
}

fn native6(name: &str, packet: &[u8]) -> Case {
    let length = packet.len();
    Case::new(name, native(), ethernet_ip(packet), Class::None, length as u32, length as u64).path(from(
        Class::None,
        0,
        PEER_V6,
    ))
}

pub(super) fn cases() -> Vec<Case> {
    let options = Ip4::new(FAR_POD, POD, 6).options(40).around(&tcp(0, &payload(10)));
    let mut cases = vec![
        Case::new("IPv4, 40 bytes of options", native(), ethernet_ip(&options), Class::None, 90, 90)
            .path(from(Class::None, 0, PEER_V4)),
        native6("IPv6", &far6().around(&tcp(12, &payload(100)))),
        native6("IPv6, hop-by-hop options", &far6().extension(0, 8).around(&tcp(0, &[]))),
        native6("IPv6, destination options of 264 bytes", &far6().extension(60, 264).around(&tcp(0, &[]))),
        native6("IPv6, routing header", &far6().extension(43, 24).around(&tcp(0, &[]))),
        native6("IPv6, authentication header", &far6().extension(51, 24).around(&tcp(0, &[]))),
        native6("IPv6, authentication header of 20 bytes", &far6().extension(51, 20).around(&tcp(0, &[]))),
        native6("IPv6, mobility header", &far6().extension(135, 8).around(&tcp(0, &[]))),
        native6("IPv6, HIP", &far6().extension(139, 40).around(&tcp(0, &[]))),
        native6("IPv6, shim6", &far6().extension(140, 16).around(&tcp(0, &[]))),
        native6("IPv6, no next header", &Ip6::new(FAR_POD6, POD6, 59).around(&[])),
        native6("IPv6, no next header, with payload", &Ip6::new(FAR_POD6, POD6, 59).around(&payload(40))),
        native6("IPv6, ESP", &Ip6::new(FAR_POD6, POD6, 50).around(&payload(60))),
        native6(
            "IPv6, seven extension headers including an atomic fragment",
            &far6()
                .extension(0, 8)
                .extension(60, 16)
                .extension(43, 8)
                .fragment(0, false)
                .extension(51, 16)
                .extension(60, 8)
                .extension(135, 8)
                .around(&tcp(0, &payload(7))),
        )
        .fragment(Total::OuterV6Atomic, 0),
    ];
    let eight = (0..8).fold(far6(), |packet, _| packet.extension(60, 8)).around(&tcp(0, &[]));
    cases.push(Case::unusable(
        "IPv6, eight extension headers",
        native(),
        ethernet_ip(&eight),
        Malformed::ExtensionChain,
    ));
    let after_fragment = (0..7).fold(far6().fragment(0, true), |packet, _| packet.extension(60, 8));
    cases.push(Case::unusable(
        "IPv6, first fragment, then too many extension headers",
        native(),
        ethernet_ip(&after_fragment.around(&tcp(0, &[]))),
        Malformed::ExtensionChain,
    ));
    cases.extend(after_extensions());
    cases
}

/// Tunnels and ports after extension headers.
fn after_extensions() -> Vec<Case> {
    let node = || Node::underlay(Class::Vxlan);
    let tunnel = Ip6::new(PEER6, NODE6, 4).extension(60, 8).around(&pods4(50));
    let vxlan = crate::packets::vxlan(crate::node::VNI, &ethernet_ip(&pods4(50)));
    let over_options = Ip6::new(PEER6, NODE6, 17).extension(0, 16).around(&vxlan);
    let external = Ip6::new(UNKNOWN_PEER6, NODE6, 17).extension(0, 16).around(&udp(53, 53, &payload(9)));
    vec![
        Case::new("4in6 after destination options", node(), ethernet_ip(&tunnel), Class::Ip4In6, 138, 90)
            .path(from(Class::Ip4In6, 0, PEER_V6)),
        Case::new(
            "VXLAN after hop-by-hop options",
            node(),
            ethernet_ip(&over_options),
            Class::Vxlan,
            176,
            90,
        )
        .path(from(Class::Vxlan, crate::node::VNI, PEER_V6)),
        Case::new("external UDP after options", node(), ethernet_ip(&external), Class::External, 73, 73),
    ]
}
