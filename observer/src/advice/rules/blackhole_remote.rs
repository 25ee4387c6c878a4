//! A blackhole route drops packets to another node's pod block.

use super::super::{Finding, Severity, View};
use crate::topology::{Route, RouteKind};

pub(super) const ID: &str = "blackhole-remote";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let blackholes = view.facts.routes().filter(|route| route.kind == RouteKind::Blackhole);
    let wrong: Vec<(&Route, String)> =
        blackholes.filter_map(|route| Some((route, belongs_elsewhere(view, route)?))).collect();
    if wrong.is_empty() {
        return Vec::new();
    }
    let prefixes: Vec<String> = wrong.iter().map(|(route, _)| route.prefix()).collect();
    let finding = Finding::new(
        ID,
        Severity::Error,
        format!("Packets to {} are dropped here, but the pods are on other nodes", prefixes.join(", ")),
        "Calico creates blackhole routes for the node's own blocks, so that packets to unused addresses do not \
         loop. A blackhole route for another node's block drops everything sent to it. It remains if a block moved \
         to another node and the old one was not cleaned up.",
    )
    .about(prefixes)
    .seen(
        wrong
            .iter()
            .map(|(route, why)| format!("blackhole {} proto {}: {why}", route.prefix(), route.protocol)),
    );
    vec![wrong.iter().fold(finding, |finding, (route, _)| {
        finding
            .remedy(
                "check which node owns the block",
                format!("calicoctl ipam show --ip={}", route.destination),
            )
            .remedy("delete the blackhole route", format!("ip route del blackhole {}", route.prefix()))
    })]
}

/// Why a block is another node's; `None` if nothing indicates that.
fn belongs_elsewhere(view: &View<'_>, route: &Route) -> Option<String> {
    let facts = view.facts;
    // The block is this node's if the node's tunnel address or one of its pods is in it.
    let pod = facts.unicast().any(|other| {
        route.covers(other.destination) && facts.device_of(other).is_some_and(|device| device.is_workload())
    });
    if pod || facts.own_addresses().any(|own| route.covers(own)) {
        return None;
    }
    if let Some((device, endpoint, node)) = facts.endpoints().into_iter().find(|(_, e, _)| route.covers(*e)) {
        let node = facts.peer_name(node);
        return Some(format!("{} has the tunnel endpoint {endpoint} of {node}, in this block", device.name));
    }
    let owner = facts.calico.as_ref()?.owner((route.destination, route.prefix_len))?;
    (owner != facts.name()).then(|| format!("it belongs to {owner}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, ids, ip, node};
    use super::*;

    #[test]
    fn a_blackhole_for_another_nodes_block_is_found() {
        let mut hole = node("vxlan-always");
        let route =
            hole.routes.iter_mut().find(|route| route.destination == ip("10.244.30.128")).expect("it");
        (route.kind, route.gateway, route.ifindex) = (RouteKind::Blackhole, None, None);
        assert_eq!(ids(&facts(hole)), [ID]);
    }

    #[test]
    fn an_own_block_without_pods_is_not_found_unless_another_node_owns_it() {
        let mut own = node("vxlan-always");
        let hole =
            own.routes.iter().find(|route| route.kind == RouteKind::Blackhole && route.destination.is_ipv4());
        let mut second = *hole.expect("the node's own block");
        second.destination = ip("10.244.50.0");
        own.routes.push(second);
        let mut facts = facts(own);
        assert!(ids(&facts).is_empty());
        let owner = "kind: BlockAffinity\nmetadata: {name: b}\nspec: {cidr: 10.244.50.0/26, node: node-z}";
        facts.calico = Some(crate::calico::parse(owner).expect("yaml"));
        assert_eq!(ids(&facts), [ID]);
    }
}
