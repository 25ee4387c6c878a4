//! The link layer: VLAN tags, padding, non-IP frames, devices without a link layer.

use observer_common::abi::role;
use observer_common::address::Address;
use observer_common::kind::Class;
use observer_common::packet::Malformed;

use super::{from, to};
use crate::case::Case;
use crate::node::{FAR_POD, NODE, Node, PEER, POD, TUNNEL_SLOT, UNKNOWN_PEER};
use crate::packets::{
    ETH_ARP, ETH_DOT1AD, ETH_DOT1Q, ETH_IPV4, ETH_IPV6, ETH_LLDP, ETH_QINQ, Ip4, ethernet, ethernet_ip,
    padded, payload, tagged, tcp,
};

fn native() -> Node {
    Node::underlay(Class::None)
}

/// A packet of 20 + 20 + 100 bytes between two pods.
fn pods() -> Vec<u8> {
    Ip4::new(FAR_POD, POD, 6).dont_fragment().around(&tcp(0, &payload(100)))
}

pub(super) fn cases() -> Vec<Case> {
    let path = from(Class::None, 0, Address::from_v4(PEER));
    let mut cases = vec![
        Case::new("Ethernet, native pod packet", native(), ethernet_ip(&pods()), Class::None, 140, 140)
            .path(path),
        Case::new("802.1Q", native(), tagged(&[ETH_DOT1Q], ETH_IPV4, &pods()), Class::None, 140, 140)
            .path(path),
        Case::new(
            "802.1ad and 802.1Q",
            native(),
            tagged(&[ETH_DOT1AD, ETH_DOT1Q], ETH_IPV4, &pods()),
            Class::None,
            140,
            140,
        )
        .path(path),
        Case::new(
            "QinQ, 0x9100",
            native(),
            tagged(&[ETH_QINQ, ETH_DOT1Q], ETH_IPV4, &pods()),
            Class::None,
            140,
            140,
        )
        .path(path),
        Case::unusable(
            "three VLAN tags",
            native(),
            tagged(&[ETH_DOT1AD, ETH_DOT1Q, ETH_DOT1Q], ETH_IPV4, &pods()),
            Malformed::TooManyVlans,
        ),
    ];
    let mut accelerated =
        Case::new("accelerated VLAN tag", native(), ethernet_ip(&pods()), Class::None, 140, 140).path(path);
    accelerated.input.frame.tag_beside = true;
    accelerated.expect.wire = 14 + 4 + 140;
    cases.push(accelerated);
    cases.extend(not_ip());
    cases.extend(padding());
    cases.extend(devices());
    cases
}

fn not_ip() -> Vec<Case> {
    let arp = padded(ethernet(ETH_ARP, &[0, 1, 8, 0, 6, 4, 0, 1]), 60, 0);
    vec![
        Case::new("ARP", native(), arp, Class::NonIp, 0, 0),
        Case::new("LLDP", native(), ethernet(ETH_LLDP, &payload(50)), Class::NonIp, 0, 0),
        Case::new("802.3 length field", native(), ethernet(50, &payload(50)), Class::NonIp, 0, 0),
        Case::new(
            "ARP after a VLAN tag",
            native(),
            tagged(&[ETH_DOT1Q], ETH_ARP, &payload(46)),
            Class::NonIp,
            0,
            0,
        ),
        Case::unusable(
            "IPv4 packet with the Ethertype of IPv6",
            native(),
            ethernet(ETH_IPV6, &pods()),
            Malformed::IpVersion,
        ),
        Case::unusable("empty frame", native(), Vec::new(), Malformed::TruncatedLink),
        Case::unusable("13-byte frame", native(), payload(13), Malformed::TruncatedLink),
        Case::unusable(
            "ends inside the VLAN tag",
            native(),
            ethernet(ETH_DOT1Q, &[0, 100, 8]),
            Malformed::TruncatedLink,
        ),
        Case::unusable("Ethernet header only", native(), ethernet(ETH_IPV4, &[]), Malformed::TruncatedIp),
    ]
}

fn padding() -> Vec<Case> {
    let short = Ip4::new(FAR_POD, POD, 6).around(&tcp(0, &[]));
    let path = from(Class::None, 0, Address::from_v4(PEER));
    vec![
        Case::new(
            "40-byte packet padded to the minimum frame",
            native(),
            padded(ethernet_ip(&short), 60, 0),
            Class::None,
            40,
            40,
        )
        .path(path),
    ]
}

fn devices() -> Vec<Case> {
    let to_far = Ip4::new(POD, FAR_POD, 6).around(&tcp(0, &payload(100)));
    let external = Ip4::new(UNKNOWN_PEER, NODE, 6).around(&tcp(0, &payload(100)));
    let mut tunl0 = Case::new("no link layer", Node::tunl0(), pods(), Class::None, 140, 140);
    tunl0.input.node.device.slot = TUNNEL_SLOT;
    vec![
        tunl0,
        Case::unusable("no link layer, no bytes", Node::tunl0(), Vec::new(), Malformed::TruncatedIp),
        Case::unusable("no link layer, version 5", Node::tunl0(), vec![0x55; 40], Malformed::IpVersion),
        Case::unusable("no link layer, version 0", Node::tunl0(), vec![0x05; 40], Malformed::IpVersion),
        Case::new("native, egress", native(), ethernet_ip(&to_far), Class::None, 140, 140).egress().path(to(
            Class::None,
            0,
            Address::from_v4(PEER),
        )),
        Case::new("external", native(), ethernet_ip(&external), Class::External, 140, 140),
        Case::new(
            "no external traffic on a pod interface",
            Node::other(role::WORKLOAD),
            ethernet_ip(&external),
            Class::None,
            140,
            140,
        ),
    ]
}
