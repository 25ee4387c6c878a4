//! PTB messages and the paths they are attributed to.

use observer_common::kind::Class;
use observer_common::packet::Malformed;
use observer_common::path::{PathKey, VNI_UNKNOWN};

use super::{PEER_V4, PEER_V6, from, from_peer4, to};
use crate::case::{Case, Ptb};
use crate::node::{
    FAR_POD, FAR_POD6, NODE, NODE6, Node, PEER, PEER6, POD, POD6, ROUTER, ROUTER6, UNKNOWN_PEER, VNI,
};
use crate::packets::{
    ETH_IPV4, Ip4, Ip6, ethernet_ip, gre, icmp, padded, payload, ptb4, ptb6, tcp, udp, vxlan, vxlan_header,
};

pub(super) fn cases() -> Vec<Case> {
    [quoted4(), quoted6(), elsewhere(), not_ptb()].concat()
}

fn with_ptb(case: Case, version: u8, mtu: u64, path: Option<PathKey>) -> Case {
    case.expect(|e| e.ptb = Some(Ptb { version, mtu, path }))
}

/// A message from a router, received on the underlay.
fn router4(name: &str, class: Class, mtu: u16, quoted: &[u8], path: Option<PathKey>) -> Case {
    let packet = Ip4::new(ROUTER, NODE, 1).around(&ptb4(mtu, quoted));
    let length = packet.len();
    let case = Case::new(
        name,
        Node::underlay(class),
        ethernet_ip(&packet),
        Class::External,
        length as u32,
        length as u64,
    );
    with_ptb(case, 4, mtu.into(), path)
}

fn router6(name: &str, class: Class, mtu: u32, quoted: &[u8], path: Option<PathKey>) -> Case {
    let packet = Ip6::new(ROUTER6, NODE6, 58).around(&ptb6(mtu, quoted));
    let length = packet.len();
    let case = Case::new(
        name,
        Node::underlay(class),
        ethernet_ip(&packet),
        Class::External,
        length as u32,
        length as u64,
    );
    with_ptb(case, 6, mtu.into(), path)
}

fn sent(protocol: u8, inside: &[u8]) -> Vec<u8> {
    Ip4::new(NODE, PEER, protocol).dont_fragment().around(inside)
}

fn quoted4() -> Vec<Case> {
    let pod = Ip4::new(POD, FAR_POD, 6).dont_fragment().around(&tcp(0, &payload(8)));
    let unknown_pod = Ip4::new(POD, UNKNOWN_PEER, 6).around(&tcp(0, &payload(8)));
    let in_vxlan = |vni: u32| sent(17, &vxlan(vni, &ethernet_ip(&pod)));
    let options = Ip4::new(NODE, PEER, 17).options(8).around(&vxlan(VNI, &ethernet_ip(&pod)));
    let later = Ip4::new(NODE, PEER, 17).fragment(80, false).around(&vxlan(VNI, &ethernet_ip(&pod)));
    let later_ipip = Ip4::new(NODE, PEER, 4).fragment(80, false).around(&payload(8));
    let (vxlan_path, ipip_path) = (to(Class::Vxlan, VNI, PEER_V4), to(Class::Ipip, 0, PEER_V4));
    vec![
        router4("PTBv4: native pod packet", Class::None, 1400, &pod[..28], Some(to(Class::None, 0, PEER_V4))),
        router4("PTBv4: pod packet of an IPIP route", Class::Ipip, 1400, &pod[..28], Some(ipip_path)),
        router4("PTBv4: pod packet of a VXLAN route", Class::Vxlan, 1400, &pod[..28], Some(vxlan_path)),
        router4("PTBv4: without MTU (before RFC 1191)", Class::Ipip, 0, &pod[..28], Some(ipip_path)),
        router4("PTBv4: IPIP", Class::Ipip, 1460, &sent(4, &pod)[..28], Some(ipip_path)),
        router4("PTBv4: 6in4", Class::Ipip, 1460, &sent(41, &pod)[..28], Some(to(Class::Ip6In4, 0, PEER_V4))),
        router4(
            "PTBv4: GRE",
            Class::Gre,
            1460,
            &sent(47, &gre(0, 0, ETH_IPV4, &pod))[..28],
            Some(to(Class::Gre, 0, PEER_V4)),
        ),
        router4("PTBv4: VXLAN, 8 bytes quoted", Class::Vxlan, 1460, &in_vxlan(VNI)[..28], Some(vxlan_path)),
        router4("PTBv4: VXLAN, VNI quoted", Class::Vxlan, 1460, &in_vxlan(VNI), Some(vxlan_path)),
        router4("PTBv4: VXLAN, outer options", Class::Vxlan, 1460, &options, Some(vxlan_path)),
        router4(
            "PTBv4: VXLAN, unknown VNI",
            Class::Vxlan,
            1460,
            &in_vxlan(99),
            Some(to(Class::Vxlan, VNI_UNKNOWN, PEER_V4)),
        ),
        router4(
            "PTBv4: WireGuard",
            Class::Wireguard,
            1460,
            &sent(17, &udp(51_820, 51_820, &[])),
            Some(to(Class::Wireguard, 0, PEER_V4)),
        ),
        router4("PTBv4: later UDP fragment, no ports", Class::Vxlan, 1460, &later, None),
        router4("PTBv4: later fragment of IPIP", Class::Ipip, 1460, &later_ipip, Some(ipip_path)),
        router4("PTBv4: destination is not a pod", Class::Ipip, 1400, &unknown_pod[..28], None),
        router4(
            "PTBv4: tunnel to unknown peer",
            Class::Ipip,
            1400,
            &Ip4::new(NODE, UNKNOWN_PEER, 4).around(&pod)[..28],
            None,
        ),
        router4("PTBv4: quotes nothing", Class::Ipip, 1400, &[], None),
        router4("PTBv4: quotes half a header", Class::Ipip, 1400, &pod[..12], None),
        router4("PTBv4: quotes something else", Class::Ipip, 1400, &payload(28), None),
    ]
}

fn quoted6() -> Vec<Case> {
    let pod = Ip6::new(POD6, FAR_POD6, 6).around(&tcp(0, &payload(8)));
    let pod4 = Ip4::new(POD, FAR_POD, 6).around(&tcp(0, &payload(8)));
    let sent = |protocol: u8, inside: &[u8]| Ip6::new(NODE6, PEER6, protocol).around(inside);
    vec![
        router6("PTBv6: native pod packet", Class::None, 1280, &pod, Some(to(Class::None, 0, PEER_V6))),
        router6(
            "PTBv6: pod packet of a VXLAN route",
            Class::Vxlan,
            1280,
            &pod,
            Some(to(Class::Vxlan, VNI, PEER_V6)),
        ),
        router6("PTBv6: 4in6", Class::Ipip, 1400, &sent(4, &pod4), Some(to(Class::Ip4In6, 0, PEER_V6))),
        router6("PTBv6: 6in6", Class::Ipip, 1400, &sent(41, &pod), Some(to(Class::Ip6In6, 0, PEER_V6))),
        router6(
            "PTBv6: VXLAN",
            Class::Vxlan,
            1400,
            &sent(17, &vxlan(VNI, &ethernet_ip(&pod))),
            Some(to(Class::Vxlan, VNI, PEER_V6)),
        ),
        router6("PTBv6: MTU above 65,535", Class::None, 100_000, &pod, Some(to(Class::None, 0, PEER_V6))),
        router6("PTBv6: quotes half a header", Class::None, 1280, &pod[..39], None),
    ]
}

/// Messages on egress, inside tunnels and on other devices.
fn elsewhere() -> Vec<Case> {
    let node = || Node::underlay(Class::Ipip);
    let from_far = Ip4::new(FAR_POD, POD, 6).dont_fragment().around(&tcp(0, &payload(8)));
    let to_far = Ip4::new(POD, FAR_POD, 6).dont_fragment().around(&tcp(0, &payload(8)));
    let leaves = Ip4::new(NODE, FAR_POD, 1).around(&ptb4(1400, &from_far[..28]));
    let carried = Ip4::new(ROUTER, POD, 1).around(&ptb4(1400, &to_far[..28]));
    let in_vxlan = from_peer4(17, &vxlan(VNI, &ethernet_ip(&carried)));
    let ipip = Some(to(Class::Ipip, 0, PEER_V4));
    vec![
        with_ptb(
            Case::new(
                "PTB sent, quotes a received packet",
                node(),
                ethernet_ip(&leaves),
                Class::None,
                56,
                56,
            )
            .egress()
            .path(to(Class::None, 0, PEER_V4)),
            4,
            1400,
            Some(from(Class::Ipip, 0, PEER_V4)),
        ),
        with_ptb(
            Case::new("PTB inside IPIP", node(), from_peer4(4, &carried), Class::Ipip, 76, 56).path(from(
                Class::Ipip,
                0,
                PEER_V4,
            )),
            4,
            1400,
            ipip,
        ),
        with_ptb(
            Case::new("PTB inside VXLAN", Node::underlay(Class::Vxlan), in_vxlan, Class::Vxlan, 106, 56)
                .path(from(Class::Vxlan, VNI, PEER_V4)),
            4,
            1400,
            Some(to(Class::Vxlan, VNI, PEER_V4)),
        ),
        with_ptb(
            // Already attributed on the underlay.
            Case::new("PTB on tunl0: no path", Node::tunl0(), carried.clone(), Class::None, 56, 56),
            4,
            1400,
            None,
        ),
        with_ptb(
            Case::new(
                "PTB on a pod interface: no path",
                Node::other(observer_common::abi::role::WORKLOAD),
                ethernet_ip(&carried),
                Class::None,
                56,
                56,
            ),
            4,
            1400,
            None,
        ),
    ]
}

fn not_ptb() -> Vec<Case> {
    let node = || Node::underlay(Class::Ipip);
    let to_far = Ip4::new(POD, FAR_POD, 6).around(&tcp(0, &payload(8)));
    let message = |bytes: &[u8]| ethernet_ip(&Ip4::new(ROUTER, NODE, 1).around(bytes));
    let message6 = |bytes: &[u8]| ethernet_ip(&Ip6::new(ROUTER6, NODE6, 58).around(bytes));
    let later = Ip4::new(ROUTER, NODE, 1).fragment(80, false).around(&ptb4(1400, &to_far));
    // The packet ends after its IP header; the padding looks like a message.
    let mut in_padding = message(&[]);
    in_padding.extend([3, 4, 0, 0, 0, 0, 5, 0]);
    let mut inner_padding = from_peer4(4, &Ip4::new(ROUTER, POD, 1).around(&[]));
    inner_padding.extend([3, 4, 0, 0, 0, 0, 5, 0]);
    let mut after_udp = from_peer4(17, &udp(49_152, 4789, &[]));
    after_udp.extend(vxlan_header(8, 0, VNI, &[]));
    vec![
        Case::new("echo request", node(), message(&icmp(8, 0, 1, &payload(56))), Class::External, 84, 84),
        Case::new(
            "port unreachable",
            node(),
            message(&icmp(3, 3, 0, &to_far[..28])),
            Class::External,
            56,
            56,
        ),
        Case::new(
            "time exceeded, code 4",
            node(),
            message(&icmp(11, 4, 0, &to_far[..28])),
            Class::External,
            56,
            56,
        ),
        Case::new("ICMPv6 time exceeded", node(), message6(&icmp(3, 4, 0, &to_far)), Class::External, 96, 96),
        Case::new("later fragment that looks like PTB", node(), ethernet_ip(&later), Class::External, 76, 76)
            .fragment(observer_common::counters::Total::OuterV4Last, 20),
        Case::new("PTB in the padding", node(), padded(in_padding, 60, 0), Class::External, 20, 20)
            .flagged(Malformed::TruncatedTransport),
        Case::new("inner PTB in the padding", node(), padded(inner_padding, 64, 0), Class::Ipip, 40, 20)
            .path(from(Class::Ipip, 0, PEER_V4))
            .flagged(Malformed::TruncatedTransport),
        Case::new(
            "VXLAN header in the padding",
            Node::underlay(Class::Vxlan),
            padded(after_udp, 60, 0),
            Class::Vxlan,
            28,
            0,
        )
        .path(from(Class::Vxlan, 0, PEER_V4))
        .flagged(Malformed::TruncatedTunnel),
    ]
}
