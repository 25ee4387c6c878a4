//! No route leads to another node's pod block.

use std::net::IpAddr;

use super::super::{Finding, Severity, View};
use super::{has, is_about, restart, some_of, tunnel_down};

pub(super) const ID: &str = "block-without-route";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    // A device that is down has lost its routes and has its own finding.
    if has(found, tunnel_down::ID) {
        return Vec::new();
    }
    let mut missing: Vec<(String, IpAddr, String)> = Vec::new();
    let facts = view.facts;
    let mut add = |subject: String, address: IpAddr, why: String| {
        let covered = facts.routes().any(|route| route.prefix_len != 0 && route.covers(address));
        let known = missing.iter().any(|(_, other, _)| *other == address);
        if !covered && !known && !is_about(found, &subject) {
            missing.push((subject, address, why));
        }
    };
    for (device, endpoint, node) in facts.endpoints().into_iter().filter(|(device, ..)| device.up) {
        let node = facts.peer_name(node);
        let why = format!("{} has the tunnel endpoint {endpoint} of {node}", device.name);
        add(endpoint.to_string(), endpoint, why);
    }
    if let Some(calico) = &facts.calico {
        let own = facts.name();
        for ((address, len), node) in calico.blocks.iter().filter(|(_, node)| node != own) {
            add(format!("{address}/{len}"), *address, format!("Calico assigned {address}/{len} to {node}"));
        }
        for node in calico.nodes.iter().filter(|node| node.name != own) {
            for tunnel in &node.tunnels {
                add(tunnel.to_string(), *tunnel, format!("{} has the tunnel address {tunnel}", node.name));
            }
        }
    }
    if missing.is_empty() {
        return Vec::new();
    }
    let subjects: Vec<String> = missing.iter().map(|(subject, ..)| subject.clone()).collect();
    vec![
        Finding::new(
            ID,
            Severity::Error,
            format!("No route to the pod block of {}", some_of(&subjects)),
            "Packets to pods in this block take the default route and are lost or leave the cluster, while packets \
             from these pods may still arrive. Felix (VXLAN) or BIRD (IPIP, native) creates the routes to blocks.",
        )
        .about(subjects)
        .seen(missing.iter().map(|(_, address, why)| format!("{why}; no route covers {address}")))
        .remedy(
            "check that BIRD has its neighbours (if BIRD is used)",
            "kubectl -n calico-system exec ds/calico-node -c calico-node -- birdcl show protocols",
        )
        .remedy("restart Felix and BIRD on this node", restart(view)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, findings, ids, ip, node};
    use super::*;

    #[test]
    fn an_endpoint_without_a_route_is_found() {
        for mode in ["vxlan-always", "vxlan-crosssubnet"] {
            let mut without = node(mode);
            without.routes.retain(|route| route.destination != ip("10.244.20.64"));
            let facts = facts(without);
            assert_eq!(ids(&facts), [ID], "{mode}");
            assert_eq!(findings(&facts)[0].subjects, ["10.244.20.64"], "{mode}");
        }
    }

    #[test]
    fn a_block_or_tunnel_address_in_the_resources_without_a_route_is_found() {
        let mut facts = facts(node("bgp"));
        let block = "kind: BlockAffinity\nmetadata: {name: b}\nspec: {cidr: 10.244.77.0/26, node: node-z}";
        facts.calico = Some(crate::calico::parse(block).expect("yaml"));
        assert_eq!(ids(&facts), [ID]);
        // A node that is known only by its tunnel address.
        let node = "kind: Node\nmetadata: {name: node-z, annotations: {projectcalico.org/IPv4IPIPTunnelAddr: 10.244.77.1}}";
        facts.calico = Some(crate::calico::parse(node).expect("yaml"));
        assert_eq!(ids(&facts), [ID]);
    }
}
