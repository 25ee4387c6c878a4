//! A blackhole route stands for a block that another node has.

use super::super::{Finding, Severity, View};
use crate::topology::convert::contains;
use crate::topology::{Route, RouteKind};

pub(super) const ID: &str = "blackhole-remote";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let facts = view.facts;
    let mut findings = Vec::new();
    for route in facts.routes().filter(|route| route.kind == RouteKind::Blackhole) {
        let Some(why) = belongs_elsewhere(view, route) else { continue };
        let prefix = format!("{}/{}", route.destination, route.prefix_len);
        findings.push((prefix, why, route.protocol));
    }
    if findings.is_empty() {
        return Vec::new();
    }
    let prefixes: Vec<String> = findings.iter().map(|(prefix, ..)| prefix.clone()).collect();
    let finding = Finding::new(
        ID,
        Severity::Error,
        format!("packets to {} are thrown away here, and other nodes have these pods", prefixes.join(", ")),
        "Calico writes a blackhole route for the blocks of the node itself, so that packets to addresses without \
         a pod do not go round in circles. For a block of another node it throws away all that is sent there. It \
         stays where a block has moved to another node and the old one was not cleaned up.",
    )
    .about(prefixes)
    .seen(findings.iter().map(|(prefix, why, protocol)| format!("blackhole {prefix} proto {protocol}: {why}")));
    vec![findings.iter().fold(finding, |finding, (prefix, ..)| {
        finding
            .remedy("see who has the block", format!("calicoctl ipam show --ip={}", first_host(prefix)))
            .remedy("remove the blackhole", format!("ip route del blackhole {prefix}"))
    })]
}

fn first_host(prefix: &str) -> &str {
    prefix.split('/').next().unwrap_or(prefix)
}

/// Why a block is another node's, if something says so.
fn belongs_elsewhere(view: &View<'_>, route: &Route) -> Option<String> {
    let facts = view.facts;
    let holds = |address| contains(route.destination, route.prefix_len, address);
    // Its own tunnel address, or a pod of its own, is in it: it is the node's.
    let local = facts.unicast().any(|other| {
        holds(other.destination)
            && other.ifindex.and_then(|index| facts.device(index)).is_some_and(|d| d.is_workload())
    });
    if local || facts.own_addresses().any(holds) {
        return None;
    }
    if let Some((device, endpoint, node)) = facts.endpoints().into_iter().find(|(_, e, _)| holds(*e)) {
        let node = facts.peer_name(node);
        return Some(format!("{} knows the tunnel endpoint {endpoint} of {node} in it", device.name));
    }
    let owner = facts.calico.as_ref()?.owner((route.destination, route.prefix_len))?;
    (owner != facts.name()).then(|| format!("it belongs to {owner}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, ids, ip, node};
    use super::*;

    #[test]
    fn a_block_of_another_node() {
        let mut hole = node("vxlan-always");
        let route =
            hole.routes.iter_mut().find(|route| route.destination == ip("10.244.30.128")).expect("it");
        (route.kind, route.gateway, route.ifindex) = (RouteKind::Blackhole, None, None);
        assert_eq!(ids(&facts(hole)), [ID]);
    }

    #[test]
    fn an_empty_block_of_one_s_own_is_none() {
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
