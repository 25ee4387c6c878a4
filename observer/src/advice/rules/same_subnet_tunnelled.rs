//! Nodes of the same subnet are tunnelled although the mode is CrossSubnet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use observer_common::kind::Class;

use super::super::{Finding, Severity, View, family};
use super::{REWRITE, restart, some_of};
use crate::topology::{Block, Scope};

pub(super) const ID: &str = "same-subnet-tunnelled";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let topology = &view.facts.topology;
    let tunnelled: Vec<(&Block, String)> = topology
        .blocks
        .iter()
        .filter(|b| b.class.is_tunnel() && b.class != Class::Wireguard)
        .filter(|b| topology.scope_of(b.peer) == Scope::SameSubnet)
        .filter_map(|block| Some((block, should_be_native(view, block)?)))
        .collect();
    if tunnelled.is_empty() {
        return Vec::new();
    }
    let peers: BTreeMap<IpAddr, String> =
        tunnelled.iter().map(|(block, _)| (block.peer, view.facts.peer_name(block.peer))).collect();
    let names: Vec<String> = peers.values().cloned().collect();
    let families: BTreeSet<bool> = tunnelled.iter().map(|(block, _)| block.address.is_ipv6()).collect();
    let lines: BTreeSet<String> = tunnelled
        .iter()
        .map(|(b, why)| format!("{} goes to {} through {}: {why}", b.prefix(), b.peer, b.class.label()))
        .collect();
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("In the same subnet, but tunnelled: {}", some_of(&names)),
            "In CrossSubnet mode, packets between nodes of one subnet need no tunnel; here they have its overhead and \
             CPU cost for nothing. Calico compares the node's own address and prefix length with the peer's address: \
             with a /32, or if autodetection chose another device, every peer is in another subnet.",
        )
        .about(peers.keys())
        .about(families.iter().map(|ipv6| family(*ipv6)))
        .seen(lines)
        .remedy(
            "check the nodes' addresses and prefix lengths in Calico",
            "calicoctl get nodes -o custom-columns=NAME,IPV4,IPV6",
        )
        .remedy(REWRITE, restart(view)),
    ]
}

/// Why a block inside the subnet should be native; `None` if nothing indicates that.
fn should_be_native(view: &View<'_>, block: &Block) -> Option<String> {
    let ipv6 = block.address.is_ipv6();
    if view.facts.calico.as_ref().is_some_and(|calico| calico.pools_of(ipv6).next().is_some()) {
        let (class, pool) = view.facts.declared_class(block)?;
        return (class == Class::None && pool.contains("CrossSubnet")).then_some(pool);
    }
    // Without pools: another node of the subnet is native, and one of another subnet is tunnelled.
    let topology = &view.facts.topology;
    let routed = |class: Class, scope: Scope| {
        let family = topology.blocks.iter().filter(|b| b.address.is_ipv6() == ipv6);
        family.filter(|b| b.class == class).find(|b| topology.scope_of(b.peer) == scope)
    };
    let native = routed(Class::None, Scope::SameSubnet)?;
    routed(block.class, Scope::CrossSubnet)?;
    Some(format!("{} in the same subnet is native", native.peer))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, findings, ids, ip, node};
    use super::*;

    fn with_tunnelled_neighbour() -> crate::topology::Node {
        let mut node = node("vxlan-crosssubnet");
        let far = *node.routes.iter().find(|route| route.destination == ip("10.244.30.128")).expect("to c");
        let near =
            node.routes.iter_mut().find(|route| route.destination == ip("10.244.20.64")).expect("to b");
        (near.ifindex, near.gateway) = (far.ifindex, Some(ip("10.244.20.64")));
        node
    }

    #[test]
    fn a_tunnelled_neighbour_is_found_by_the_pool() {
        let mut facts = facts(with_tunnelled_neighbour());
        assert!(ids(&facts).is_empty(), "it looks like VXLAN Always");
        let pool = "kind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.244.0.0/16, vxlanMode: CrossSubnet}";
        facts.calico = Some(crate::calico::parse(pool).expect("yaml"));
        assert_eq!(ids(&facts), [ID]);
        assert_eq!(findings(&facts)[0].subjects, ["10.10.1.12", "IPv4"]);
    }

    #[test]
    fn a_tunnelled_neighbour_is_found_by_other_routes() {
        let mut node = with_tunnelled_neighbour();
        let mut native =
            *node.routes.iter().find(|route| route.destination == ip("10.244.20.64")).expect("to b");
        let eth0 = node.devices.iter().find(|device| device.name == "eth0").expect("eth0").ifindex;
        (native.destination, native.gateway) = (ip("10.244.40.0"), Some(ip("10.10.1.14")));
        (native.ifindex, native.protocol) = (Some(eth0), 80);
        node.routes.push(native);
        assert_eq!(ids(&facts(node)), [ID]);
    }
}
