//! One packet of each class that has a budget.

use observer_common::kind::{Class, Direction};
use observer_testing::node::{
    FAR_POD, FAR_POD6, NODE, NODE6, Node, PEER, PEER6, POD, POD6, ROUTER, TUNNEL_SLOT, UNDERLAY_SLOT,
    UNKNOWN_PEER, VNI,
};
use observer_testing::packets::{Ip4, Ip6, ethernet_ip, payload, tcp, udp, vxlan};

use crate::bench::{Hook, Packet};

const TCP: u8 = 6;
const UDP: u8 = 17;
const IPIP: u8 = 4;
/// TCP options that most connections send (timestamps).
const OPTIONS: usize = 12;
/// Headers ahead of the inner frame: Ethernet, IPv4, UDP, VXLAN.
const OUTER: usize = 14 + 20 + 8 + 8;
/// Ethernet, IPv4, TCP with options.
const HEADERS: usize = 14 + 20 + 20 + OPTIONS;

/// Highest allowed R.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// All other classes.
    Every,
    /// External traffic.
    External,
}

impl Budget {
    /// R at a hook.
    pub const fn at(self, hook: Hook) -> f64 {
        match (hook, self) {
            (Hook::Tc, Self::External) => 0.8,
            (Hook::Tc, Self::Every) => 2.5,
            (Hook::Xdp, _) => 1.8,
        }
    }
}

/// One class of packets.
pub struct PacketClass {
    /// Letter of the budget.
    pub letter: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The packet.
    pub packet: Packet,
    /// Its direction.
    pub direction: Direction,
    /// The node that observes it.
    pub node: Node,
    /// Slot and class it must be counted in, so that a program that returns early is not measured.
    pub counted: (u16, Class),
    /// Packets counted per run.
    pub segments: u32,
    /// Hooks that can process it.
    pub hooks: &'static [Hook],
    /// Its budget.
    pub budget: Budget,
}

impl PacketClass {
    fn new(letter: &'static str, name: &'static str, node: Node, bytes: Vec<u8>, class: Class) -> Self {
        Self {
            letter,
            name,
            packet: Packet::new(bytes),
            direction: Direction::Ingress,
            node,
            counted: (UNDERLAY_SLOT, class),
            segments: 1,
            hooks: &Hook::ALL,
            budget: Budget::Every,
        }
    }

    fn external(mut self) -> Self {
        self.budget = Budget::External;
        self
    }

    /// Into a tunnel device.
    fn into_tunnel(mut self) -> Self {
        self.direction = Direction::Egress;
        self.counted.0 = TUNNEL_SLOT;
        self.hooks = &[Hook::Tc];
        self
    }

    fn segments(mut self, segments: u32, size: u32) -> Self {
        self.packet = self.packet.segments(segments, size);
        self.segments = segments;
        self.hooks = &[Hook::Tc];
        self
    }
}

/// An IPv4 TCP packet between pods of `length` bytes, including its IP header.
fn of_pods(source: [u8; 4], destination: [u8; 4], length: usize) -> Vec<u8> {
    let inside = tcp(OPTIONS, &payload(length - (HEADERS - 14)));
    Ip4::new(source, destination, TCP).dont_fragment().around(&inside)
}

fn of_pods6(length: usize) -> Vec<u8> {
    Ip6::new(FAR_POD6, POD6, TCP).around(&tcp(OPTIONS, &payload(length - (HEADERS + 6))))
}

/// A native TCP packet from a pod: class a.
pub fn native(from: [u8; 4]) -> Vec<u8> {
    ethernet_ip(&of_pods(from, POD, HEADERS - 14))
}

/// An IPIP packet of 1,514 bytes from a node: class b.
pub fn ipip(from: [u8; 4]) -> Vec<u8> {
    ethernet_ip(&Ip4::new(from, NODE, IPIP).around(&of_pods(FAR_POD, POD, 1480)))
}

/// A VXLAN packet of `length` bytes from a node: class c.
pub fn vxlan4(from: [u8; 4], length: usize) -> Vec<u8> {
    let inner = of_pods(FAR_POD, POD, length - OUTER - 14);
    ethernet_ip(&Ip4::new(from, NODE, UDP).around(&vxlan(VNI, &ethernet_ip(&inner))))
}

/// An external TCP packet of 66 bytes: class f.
pub fn external(from: [u8; 4]) -> Vec<u8> {
    ethernet_ip(&of_pods(from, NODE, HEADERS - 14))
}

/// A TCP packet of 64 bytes, including the Ethernet header.
pub fn small(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    ethernet_ip(&Ip4::new(source, destination, TCP).dont_fragment().around(&tcp(8, &payload(2))))
}

/// All classes.
pub fn all() -> Vec<PacketClass> {
    let mut classes = encapsulated();
    classes.extend(others());
    classes
}

/// A node with VXLAN as its default UDP tunnel, as with routes through `vxlan.calico`. The other nodes have no
/// default, so a later fragment needs one more lookup.
fn with_default_tunnel() -> Node {
    let mut node = Node::underlay(Class::Vxlan);
    (node.config.fast_udp_class, node.config.fast_udp_vni) = (Class::Vxlan as u32, VNI);
    node
}

fn encapsulated() -> Vec<PacketClass> {
    let fragment = ethernet_ip(&Ip4::new(PEER, NODE, UDP).fragment(1480, true).around(&payload(1480)));
    let over6 = vxlan(VNI, &ethernet_ip(&of_pods(FAR_POD, POD, 1430)));
    let over6 = ethernet_ip(&Ip6::new(PEER6, NODE6, UDP).around(&over6));
    let underlay = Node::underlay;
    vec![
        PacketClass::new("a", "native TCP 66 B", underlay(Class::None), native(FAR_POD), Class::None),
        PacketClass::new("b", "IPIP TCP 1514 B", underlay(Class::Ipip), ipip(PEER), Class::Ipip),
        PacketClass::new("c", "VXLAN TCP 1514 B", underlay(Class::Vxlan), vxlan4(PEER, 1514), Class::Vxlan),
        PacketClass::new("d", "later fragment 1514 B", with_default_tunnel(), fragment.clone(), Class::Vxlan),
        PacketClass::new(
            "d",
            "later fragment, unusual tunnel 1514 B",
            underlay(Class::Vxlan),
            fragment,
            Class::Vxlan,
        ),
        PacketClass::new(
            "e",
            "IPv6 native TCP 86 B",
            underlay(Class::None),
            ethernet_ip(&of_pods6(72)),
            Class::None,
        ),
        PacketClass::new("e", "VXLAN over IPv6 1514 B", underlay(Class::Vxlan), over6, Class::Vxlan),
    ]
}

fn others() -> Vec<PacketClass> {
    let dns = ethernet_ip(&Ip4::new(ROUTER, NODE, UDP).around(&udp(53, 40_000, &payload(24))));
    let underlay = Node::underlay;
    let into_vxlan = ethernet_ip(&of_pods(POD, FAR_POD, 1450));
    let into_tunl0 = of_pods(POD, FAR_POD, 1480);
    vec![
        PacketClass::new("f", "external TCP 66 B", underlay(Class::Vxlan), external(ROUTER), Class::External)
            .external(),
        PacketClass::new("f", "external UDP 66 B", underlay(Class::Vxlan), dns, Class::External).external(),
        PacketClass::new(
            "g",
            "IPIP, unknown sender 1514 B",
            underlay(Class::Ipip),
            ipip(UNKNOWN_PEER),
            Class::Ipip,
        ),
        PacketClass::new(
            "g",
            "VXLAN, unknown sender 1514 B",
            underlay(Class::Vxlan),
            vxlan4(UNKNOWN_PEER, 1514),
            Class::Vxlan,
        ),
        PacketClass::new("h", "into vxlan.calico 1464 B", Node::vxlan_calico(), into_vxlan, Class::None)
            .into_tunnel(),
        PacketClass::new("h", "into tunl0 1480 B", Node::tunl0(), into_tunl0, Class::None).into_tunnel(),
        PacketClass::new(
            "i",
            "super-packet in VXLAN, 2 segments",
            underlay(Class::Vxlan),
            vxlan4(PEER, 2912),
            Class::Vxlan,
        )
        .segments(2, 1398),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use observer_common::account::Observation;
    use observer_common::packet::{Frame, Malformed};
    use observer_testing::Input;

    #[test]
    fn packets_are_classified_as_named() {
        for class in all() {
            let mut input = Input::new(class.node.clone(), class.packet.bytes.clone());
            input.direction = class.direction;
            if class.segments > 1 {
                input.frame = Frame { gso_segs: class.segments, gso_size: 1398, ..input.frame };
            }
            let (seen, _): (Observation, _) = input.run();
            assert_eq!(seen.verdict.class, class.counted.1, "{}", class.name);
            assert_eq!(seen.verdict.malformed, Malformed::None as u8, "{}", class.name);
            assert_eq!(seen.verdict.unknown_peer, class.letter == "g", "{}", class.name);
            assert_eq!(seen.verdict.oversized, 0, "{}", class.name);
        }
    }

    #[test]
    fn packets_have_the_size_in_their_name() {
        for class in all() {
            let size = class.name.split(' ').rev().nth(1).and_then(|word| word.parse::<usize>().ok());
            if class.name.ends_with(" B") {
                assert_eq!(size, Some(class.packet.bytes.len()), "{}", class.name);
            }
        }
    }
}
