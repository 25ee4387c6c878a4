//! A route leads to a node that no longer exists.

use std::net::IpAddr;

use observer_common::kind::Class;

use super::super::{Finding, Severity, View};
use super::{CALICO_NODES, some_of};
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
    let prefixes: Vec<String> = stale.iter().map(|(route, _)| route.prefix()).collect();
    let finding = Finding::new(
        ID,
        Severity::Error,
        format!("Routes to missing nodes: {}", some_of(&prefixes)),
        "Packets to these blocks reach no node. Such a route remains if a node was removed without being deleted \
         from Calico, or if Felix or BIRD was not running at the time.",
    )
    .about(prefixes)
    .about(stale.iter().filter_map(|(route, _)| route.gateway))
    .seen(stale.iter().map(|(route, why)| format!("{}: {why}", route.prefix())));
    let delete = |finding: Finding, (route, _): &(Route, String)| {
        finding.remedy("delete the route", format!("ip route del {}", route.prefix()))
    };
    vec![
        stale
            .iter()
            .fold(finding, delete)
            .remedy(CALICO_NODES, "calicoctl get nodes -o wide")
            .remedy("find addresses and blocks without a node", "calicoctl ipam check --show-problem-ips"),
    ]
}

/// Routes through a VXLAN device to an endpoint without a neighbour or forwarding entry.
fn unresolved(view: &View<'_>) -> Vec<(Route, String)> {
    let facts = view.facts;
    let mut found = Vec::new();
    let endpoints = facts.endpoints();
    for route in facts.unicast() {
        let Some(device) = facts.device_of(route) else { continue };
        let is_vxlan = device.encapsulation().is_some_and(|(class, _)| class == Class::Vxlan);
        // A flow-based device, or one with a fixed remote endpoint, needs no entries.
        let by_entries = device.vxlan.is_some_and(|vxlan| vxlan.vni.is_some()) && device.remote.is_none();
        let Some(gateway) = route.gateway.filter(|_| is_vxlan && by_entries && device.up) else { continue };
        if !endpoints.iter().any(|(of, endpoint, _)| of.ifindex == device.ifindex && *endpoint == gateway) {
            found.push((
                *route,
                format!("{} has no neighbour or forwarding entry for the endpoint {gateway}", device.name),
            ));
        }
    }
    found
}

/// Why a next hop is considered missing; `None` if nothing indicates that.
fn gone(view: &View<'_>, peer: IpAddr, class: Class) -> Option<String> {
    let facts = view.facts;
    if facts.node.unreachable.iter().any(|(_, address)| *address == peer) {
        return Some(format!("its next hop {peer} does not answer (neighbour FAILED)"));
    }
    let calico = facts.calico.as_ref()?;
    // The list of nodes is taken as complete only if it has this node and at least one other. A native next
    // hop may be a router.
    let router = class == Class::None && facts.topology.scope_of(peer) != Scope::SameSubnet;
    let others = facts.topology.blocks.iter().any(|block| calico.node_at(block.peer).is_some());
    let listed = others && calico.node_with(facts.own_addresses()).is_some();
    let family =
        calico.nodes.iter().flat_map(|node| &node.addresses).any(|(a, _)| a.is_ipv6() == peer.is_ipv6());
    (listed
        && family
        && !router
        && calico.node_at(peer).is_none()
        && !facts.topology.routers.iter().any(|(_, r)| *r == peer))
    .then(|| format!("its next hop {peer} is not a node in Calico"))
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
    fn an_endpoint_without_entries_is_found() {
        assert_eq!(ids(&facts(with_route("vxlan-always", "10.244.99.0"))), [ID]);
    }

    #[test]
    fn a_next_hop_that_does_not_answer_is_found() {
        let mut gone = with_route("bgp", "10.10.1.99");
        assert!(ids(&facts(gone.clone())).is_empty(), "nothing indicates that it is gone");
        gone.unreachable.push((2, ip("10.10.1.99")));
        assert_eq!(ids(&facts(gone)), [ID]);
    }

    #[test]
    fn a_next_hop_that_is_not_in_calico_is_found() {
        let mut facts = facts(with_route("ipip-always", "10.10.2.99"));
        let nodes =
            [("node-a", "10.10.1.11"), ("node-b", "10.10.1.12"), ("node-c", "10.10.2.13")].map(|(n, a)| {
                format!("kind: Node\nmetadata: {{name: {n}}}\nspec: {{bgp: {{ipv4Address: {a}/24}}}}\n")
            });
        facts.calico = Some(crate::calico::parse(&nodes.join("---\n")).expect("yaml"));
        assert_eq!(ids(&facts), [ID]);
        // A list with only this node is incomplete.
        facts.calico = Some(crate::calico::parse(&nodes[0]).expect("yaml"));
        assert!(ids(&facts).is_empty());
    }
}
