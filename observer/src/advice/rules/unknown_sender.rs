//! Tunnel packets to or from an address that is not a known node.

use observer_common::counters::Total;

use super::super::{Finding, Severity, View};
use super::{CALICO_NODES, has, is_about, some_of, tunnel_down};
use crate::snapshot::{UnknownPeer, Vni};
use crate::topology::Role;

pub(super) const ID: &str = "unknown-sender";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let Some(report) = &view.facts.observed else { return Vec::new() };
    let packets = count(view, Total::UnknownPeer);
    // Without its tunnel device, the node cannot know its peers.
    if packets == 0 || has(found, tunnel_down::ID) {
        return Vec::new();
    }
    let mut unknown: Vec<&UnknownPeer> = report
        .unknown_peers
        .iter()
        .filter(|peer| peer.id.vni != Vni::Unknown && !is_about(found, &peer.id.peer))
        .collect();
    if unknown.is_empty() && !report.unknown_peers.is_empty() {
        return Vec::new();
    }
    // Nodes in Calico first.
    let calico = view.facts.calico.as_ref();
    unknown.sort_by_key(|peer| calico.is_none_or(|calico| calico.node_at(peer.id.peer).is_none()));
    let mut names: Vec<String> = unknown.iter().map(|peer| view.facts.peer_name(peer.id.peer)).collect();
    let lines = unknown.iter().zip(&names).map(|(peer, name)| {
        let (class, direction) = (peer.id.class.label(), peer.id.direction.label());
        format!("{} {class} packets {direction} {}: {name}", peer.packets, peer.id.device)
    });
    let lines: Vec<String> = lines.collect();
    names.dedup();
    let (device, host) = unknown
        .first()
        .map_or_else(|| ("any", "ADDRESS".to_owned()), |peer| (&*peer.id.device, peer.id.peer.to_string()));
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("Tunnel packets to or from unknown addresses: {}", some_of(&names)),
            "No route, neighbour or forwarding entry of this node has these addresses. They may belong to a new node \
             whose routes have not arrived, to a removed node that still sends, or to someone who injects tunnel \
             packets to reach pods: the kernel's tunnel devices do not check the sender, only Felix's rules do.",
        )
        .about(unknown.iter().map(|peer| peer.id.peer))
        .seen([format!("{packets} tunnel packets of unknown peers")])
        .seen(lines)
        .remedy(CALICO_NODES, "calicoctl get nodes -o wide")
        .remedy(
            "inspect the packets",
            format!("tcpdump -c 20 -vni {device} '(ip proto 4 or udp port 4789) and host {host}'"),
        ),
    ]
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
    fn an_unknown_sender_is_found() {
        let mut facts = facts(node("vxlan-always"));
        facts.observed = Some(counted(&facts, Total::UnknownPeer, Vni::Own(4096)));
        assert_eq!(ids(&facts), [ID]);
    }

    #[test]
    fn an_unknown_vni_is_not_reported_as_an_unknown_sender() {
        let mut facts = facts(node("vxlan-always"));
        facts.observed = Some(counted(&facts, Total::UnknownVni, Vni::Own(99)));
        assert_eq!(ids(&facts), [super::super::unknown_vni::ID]);
    }
}
