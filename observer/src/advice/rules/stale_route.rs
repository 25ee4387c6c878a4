//! A route leads to a node that is not there any more.

use std::net::IpAddr;

use observer_common::kind::Class;

use super::super::{Finding, Severity, View};
use super::some_of;
use crate::topology::{Route, Scope};

pub(super) const ID: &str = "stale-route";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let mut stale: Vec<(Route, String)> = unresolved(view);
    let facts = view.facts;
    for block in &facts.topology.blocks {
        let route =
            facts.unicast().find(|r| r.destination == block.address && r.prefix_len == block.prefix_len);
        if let (Some(route), Some(why)) = (route, gone(view, block.peer, block.class)) {
            stale.push((*route, why));
        }
    }
    if stale.is_empty() {
        return Vec::new();
    }
    let prefix = |route: &Route| format!("{}/{}", route.destination, route.prefix_len);
    let prefixes: Vec<String> = stale.iter().map(|(route, _)| prefix(route)).collect();
    let next_hops = stale.iter().filter_map(|(route, _)| route.gateway).map(|hop| hop.to_string());
    let finding = Finding::new(
        ID,
        Severity::Error,
        format!("routed to a node that is not there: {}", some_of(&prefixes)),
        "Packets to these blocks are sent to nobody. Such a route stays where a node went without being removed \
         from Calico, or where Felix or BIRD did not run when it was.",
    )
    .about(prefixes.iter().cloned().chain(next_hops))
    .seen(stale.iter().map(|(route, why)| format!("{}: {why}", prefix(route))));
    vec![
        stale
            .iter()
            .fold(finding, |finding, (route, _)| {
                finding.remedy("remove the route", format!("ip route del {}", prefix(route)))
            })
            .remedy("see which nodes Calico knows", "calicoctl get nodes -o wide")
            .remedy("see which blocks belong to no node", "calicoctl ipam check --show-problem-ips"),
    ]
}

/// Routes through a VXLAN device whose endpoint no neighbour or forwarding entry knows.
fn unresolved(view: &View<'_>) -> Vec<(Route, String)> {
    let facts = view.facts;
    let mut found = Vec::new();
    let endpoints = facts.endpoints();
    for route in facts.unicast() {
        let Some(device) = route.ifindex.and_then(|index| facts.device(index)) else { continue };
        let is_vxlan = device.encapsulation().is_some_and(|(class, _)| class == Class::Vxlan);
        // A flow-based device needs no entries, and one with a fixed far end none either.
        let by_entries = device.vxlan.is_some_and(|vxlan| vxlan.vni.is_some()) && device.remote.is_none();
        let Some(gateway) = route.gateway.filter(|_| is_vxlan && by_entries && device.up) else { continue };
        if !endpoints.iter().any(|(of, endpoint, _)| of.ifindex == device.ifindex && *endpoint == gateway) {
            found.push((
                *route,
                format!("{} has no neighbour or forwarding entry for its endpoint {gateway}", device.name),
            ));
        }
    }
    found
}

/// Why a peer is not there, if something says so.
fn gone(view: &View<'_>, peer: IpAddr, class: Class) -> Option<String> {
    let facts = view.facts;
    if facts.node.unreachable.iter().any(|(_, address)| *address == peer) {
        return Some(format!("its next hop {peer} does not answer (neighbour FAILED)"));
    }
    let calico = facts.calico.as_ref()?;
    // A list of nodes is one of all only where this node is in it and others are; a native next hop may be
    // a router.
    let router = class == Class::None && facts.scope_of(peer) != Scope::SameSubnet;
    let others = facts.topology.blocks.iter().any(|block| calico.node_at(block.peer).is_some());
    let listed = others && calico.node_with(facts.own_addresses()).is_some();
    let family =
        calico.nodes.iter().flat_map(|node| &node.addresses).any(|(a, _)| a.is_ipv6() == peer.is_ipv6());
    (listed
        && family
        && !router
        && calico.node_at(peer).is_none()
        && !facts.topology.routers.iter().any(|(_, r)| *r == peer))
    .then(|| format!("its next hop {peer} is no node of Calico's"))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, ids, ip, node};
    use super::*;

    fn with_route(mode: &str, gateway: &str) -> crate::topology::Node {
        let mut node = node(mode);
        let mut route =
            *node.routes.iter().find(|route| route.destination == ip("10.244.30.128")).expect("it");
        (route.destination, route.gateway) = (ip("10.244.99.0"), Some(ip(gateway)));
        node.routes.push(route);
        node
    }

    #[test]
    fn an_endpoint_that_nothing_knows() {
        assert_eq!(ids(&facts(with_route("vxlan-always", "10.244.99.0"))), [ID]);
    }

    #[test]
    fn a_next_hop_that_does_not_answer() {
        let mut gone = with_route("bgp", "10.10.1.99");
        assert!(ids(&facts(gone.clone())).is_empty(), "nothing says that it is gone");
        gone.unreachable.push((2, ip("10.10.1.99")));
        assert_eq!(ids(&facts(gone)), [ID]);
    }

    #[test]
    fn a_node_that_calico_does_not_know() {
        let mut facts = facts(with_route("ipip-always", "10.10.2.99"));
        let nodes =
            [("node-a", "10.10.1.11"), ("node-b", "10.10.1.12"), ("node-c", "10.10.2.13")].map(|(n, a)| {
                format!("kind: Node\nmetadata: {{name: {n}}}\nspec: {{bgp: {{ipv4Address: {a}/24}}}}\n")
            });
        facts.calico = Some(crate::calico::parse(&nodes.join("---\n")).expect("yaml"));
        assert_eq!(ids(&facts), [ID]);
        // This node alone is no list of all nodes.
        facts.calico = Some(crate::calico::parse(&nodes[0]).expect("yaml"));
        assert!(ids(&facts).is_empty());
    }
}
