//! Tunnel packets from or to an address that is no node.

use observer_common::counters::Total;

use super::super::{Finding, Severity, View};
use super::{has, is_about, some_of, tunnel_down};
use crate::snapshot::{UnknownPeer, Vni};
use crate::topology::Role;

pub(super) const ID: &str = "unknown-sender";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let Some(report) = &view.facts.observed else { return Vec::new() };
    let packets = count(view, Total::UnknownPeer);
    // Without its tunnel device the node does not know who its peers are.
    if packets == 0 || has(found, tunnel_down::ID) {
        return Vec::new();
    }
    let unknown_peers: Vec<&UnknownPeer> = report
        .unknown_peers
        .iter()
        .filter(|s| s.id.vni != Vni::Unknown && !is_about(found, &s.id.peer))
        .collect();
    if unknown_peers.is_empty() && !report.unknown_peers.is_empty() {
        return Vec::new();
    }
    let (nodes, others): (Vec<&UnknownPeer>, Vec<&UnknownPeer>) =
        unknown_peers.iter().partition(|unknown_peer| {
            view.facts.calico.as_ref().is_some_and(|calico| calico.node_at(unknown_peer.id.peer).is_some())
        });
    let mut names: Vec<String> =
        nodes.iter().chain(&others).map(|unknown_peer| view.facts.peer_name(unknown_peer.id.peer)).collect();
    names.dedup();
    let lines = unknown_peers.iter().map(|s| {
        format!(
            "{} {} packets {} {}: {}",
            s.packets,
            s.id.class.label(),
            s.id.direction.label(),
            s.id.device,
            view.facts.peer_name(s.id.peer)
        )
    });
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("tunnel packets of somebody whom no route knows: {}", some_of(&names)),
            "These addresses are in no route, neighbour or forwarding entry of this node. A new node whose routes \
             have not come, a node that is gone from here but still sends, or somebody who sends tunnel packets to \
             get at pods: the kernel's tunnel devices do not ask who sends, only Felix's rules do.",
        )
        .about(unknown_peers.iter().map(|unknown_peer| unknown_peer.id.peer))
        .seen([format!("{packets} tunnel packets of no known node")])
        .seen(lines)
        .remedy("see which nodes Calico knows", "calicoctl get nodes -o wide")
        .remedy(
            "look at the packets",
            format!("tcpdump -c 20 -vni {} '(ip proto 4 or udp port 4789) and host {}'", first_device(&unknown_peers), first(&unknown_peers)),
        ),
    ]
}

fn first(unknown_peers: &[&UnknownPeer]) -> String {
    unknown_peers
        .first()
        .map_or_else(|| "ADDRESS".to_owned(), |unknown_peer| unknown_peer.id.peer.to_string())
}

fn first_device<'a>(unknown_peers: &[&'a UnknownPeer]) -> &'a str {
    unknown_peers.first().map_or("any", |unknown_peer| &*unknown_peer.id.device)
}

/// A counter over the underlay devices.
pub(super) fn count(view: &View<'_>, counter: Total) -> u64 {
    let Some(report) = &view.facts.observed else { return 0 };
    let underlay = |name: &str| {
        report.devices.iter().any(|row| row.device.name == name && row.device.role == Role::Underlay)
    };
    report.rows.iter().filter(|row| underlay(&row.device)).map(|row| row.figures.get(counter)).sum()
}

#[cfg(test)]
mod tests {
    use observer_common::counters::TOTALS;
    use observer_common::kind::{Class, Direction};

    use super::super::super::testing::{facts, ids, ip, node, observed};
    use super::*;
    use crate::model::{DeviceRow, Figures, Row};
    use crate::snapshot::PathId;

    /// A measurement that counted something at eth0.
    fn counted(facts: &super::super::super::Facts, counter: Total, vni: Vni) -> crate::model::Report {
        let mut report = observed(facts, &[]);
        let device = crate::view::fixture::snapshot(10).devices.remove(0);
        report.devices.push(DeviceRow { device, events: [[0; _]; 2], gaps: [false; 2] });
        let mut figures = Figures([0; TOTALS]);
        figures.0[counter as usize] = 9;
        let (direction, class) = (Direction::Ingress, Class::Vxlan);
        report.rows.push(Row { device: "eth0".into(), direction, class, figures, sizes: [0; _] });
        let id = PathId { device: "eth0".into(), direction, class, vni, peer: ip("192.0.2.7"), local: None };
        report.unknown_peers.push(UnknownPeer { id, packets: 9, wire_bytes: 900 });
        report
    }

    #[test]
    fn somebody_whom_no_route_knows() {
        let mut facts = facts(node("vxlan-always"));
        facts.observed = Some(counted(&facts, Total::UnknownPeer, Vni::Own(4096)));
        assert_eq!(ids(&facts), [ID]);
    }

    #[test]
    fn another_network_has_a_rule_of_its_own() {
        let mut facts = facts(node("vxlan-always"));
        facts.observed = Some(counted(&facts, Total::UnknownVni, Vni::Own(99)));
        assert_eq!(ids(&facts), [super::super::unknown_vni::ID]);
    }
}
