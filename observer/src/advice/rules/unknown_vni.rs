//! VXLAN packets with a VNI that none of the node's devices uses.

use observer_common::counters::Total;

use super::super::{Finding, Severity, View};
use super::some_of;
use super::unknown_sender::count;
use crate::snapshot::Vni;

pub(super) const ID: &str = "unknown-vni";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let packets = count(view, Total::UnknownVni);
    let Some(report) = view.facts.observed.as_ref().filter(|_| packets != 0) else { return Vec::new() };
    let own: Vec<u32> = view.facts.topology.vnis.clone();
    // A unknown peer's VNI is the one on the wire.
    let unknown = |vni: Vni| match vni {
        Vni::Own(number) => !own.contains(&number),
        Vni::Unknown => true,
        Vni::None => false,
    };
    let unknown_peers: Vec<_> =
        report.unknown_peers.iter().filter(|unknown_peer| unknown(unknown_peer.id.vni)).collect();
    let who: Vec<String> = unknown_peers
        .iter()
        .map(|s| match s.id.vni {
            Vni::Own(vni) => format!("VNI {vni} of {}", view.facts.peer_name(s.id.peer)),
            _ => view.facts.peer_name(s.id.peer),
        })
        .collect();
    let lines = unknown_peers.iter().zip(&who).map(|(unknown_peer, who)| {
        format!(
            "{} packets {} {}: {who}",
            unknown_peer.packets,
            unknown_peer.id.direction.label(),
            unknown_peer.id.device
        )
    });
    let known: Vec<String> = own.iter().map(ToString::to_string).collect();
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("VXLAN packets of another network: {}", some_of(&who)),
            "Another overlay (another CNI, OpenStack, a second Calico) uses the same UDP port between these \
             machines. The kernel drops packets of a VNI that it has no device for; if that overlay ran on this node \
             too, the second device on the port could not be made.",
        )
        .about(unknown_peers.iter().map(|unknown_peer| unknown_peer.id.peer))
        .seen([format!("{packets} packets; this node's own VNIs: {}", known.join(", "))])
        .seen(lines)
        .remedy(
            "give Calico a port of its own, on all nodes",
            "kubectl patch felixconfiguration default --type merge -p '{\"spec\":{\"vxlanPort\":4790}}'",
        ),
    ]
}
