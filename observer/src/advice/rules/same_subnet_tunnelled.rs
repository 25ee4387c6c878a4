//! CrossSubnet means native inside the subnet; here it is not.

use std::net::IpAddr;

use observer_common::kind::Class;

use super::super::{Finding, Severity, View};
use super::some_of;
use crate::topology::{Block, Scope};

pub(super) const ID: &str = "same-subnet-tunnelled";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let tunnelled: Vec<(&Block, String)> = view
        .facts
        .topology
        .blocks
        .iter()
        .filter(|b| b.class.is_tunnel() && b.class != Class::Wireguard)
        .filter(|b| view.facts.scope_of(b.peer) == Scope::SameSubnet)
        .filter_map(|block| Some((block, why(view, block)?)))
        .collect();
    if tunnelled.is_empty() {
        return Vec::new();
    }
    let mut peers: Vec<IpAddr> = tunnelled.iter().map(|(block, _)| block.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    let names: Vec<String> = peers.iter().map(|peer| view.facts.peer_name(*peer)).collect();
    let families: Vec<&str> = view
        .modes
        .iter()
        .filter(|mode| tunnelled.iter().any(|(block, _)| block.address.is_ipv6() == mode.ipv6))
        .map(super::super::ModeView::family)
        .collect();
    let mut lines: Vec<String> = tunnelled
        .iter()
        .map(|(block, why)| {
            format!(
                "{}/{} goes to {} through {}: {why}",
                block.address,
                block.prefix_len,
                block.peer,
                block.class.label()
            )
        })
        .collect();
    lines.sort();
    lines.dedup();
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("in the same subnet and tunnelled all the same: {}", some_of(&names)),
            "In CrossSubnet mode packets between nodes of one subnet need no tunnel. These have its overhead and its \
             CPU for nothing. Calico compares the node's own address and prefix length with the peer's address: an \
             address with /32, or an autodetection that chose another device, makes every peer a far one.",
        )
        .about(peers.iter().map(ToString::to_string).chain(families.iter().map(|family| (*family).to_owned())))
        .seen(lines)
        .remedy(
            "see address and prefix length that Calico has for the nodes",
            "calicoctl get nodes -o custom-columns=NAME,IPV4,IPV6",
        )
        .remedy(
            "let Felix and BIRD of this node write the routes anew",
            format!(
                "kubectl -n calico-system delete pod -l k8s-app=calico-node --field-selector spec.nodeName={}",
                view.facts.name()
            ),
        ),
    ]
}

/// Why a block inside the subnet should be native.
fn why(view: &View<'_>, block: &Block) -> Option<String> {
    if view
        .facts
        .calico
        .as_ref()
        .is_some_and(|calico| calico.pools_of(block.address.is_ipv6()).next().is_some())
    {
        let (class, pool) = view.facts.declared_class(block)?;
        return (class == Class::None && pool.contains("CrossSubnet")).then_some(pool);
    }
    // Without pools: other nodes of the subnet are native, and far ones tunnelled.
    let family =
        || view.facts.topology.blocks.iter().filter(|b| b.address.is_ipv6() == block.address.is_ipv6());
    let native =
        family().find(|b| b.class == Class::None && view.facts.scope_of(b.peer) == Scope::SameSubnet)?;
    family().find(|b| b.class == block.class && view.facts.scope_of(b.peer) == Scope::CrossSubnet)?;
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
    fn by_the_pool() {
        let mut facts = facts(with_tunnelled_neighbour());
        assert!(ids(&facts).is_empty(), "it looks like VXLAN Always");
        let pool = "kind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.244.0.0/16, vxlanMode: CrossSubnet}";
        facts.calico = Some(crate::calico::parse(pool).expect("yaml"));
        assert_eq!(ids(&facts), [ID]);
        assert_eq!(findings(&facts)[0].subjects, ["10.10.1.12", "IPv4"]);
    }

    #[test]
    fn by_the_neighbours() {
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
