//! VXLAN packets with a VNI that none of the node's devices uses.

use observer_common::counters::Total;

use super::super::{Finding, Severity, View};
use super::unknown_sender::count;
use super::{felix_patch, some_of};
use crate::snapshot::{UnknownPeer, Vni};

pub(super) const ID: &str = "unknown-vni";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let packets = count(view, Total::UnknownVni);
    let Some(report) = view.facts.observed.as_ref().filter(|_| packets != 0) else { return Vec::new() };
    let own = &view.facts.topology.vnis;
    let unknown = |peer: &&UnknownPeer| match peer.id.vni {
        Vni::Own(number) => !own.contains(&number),
        Vni::Unknown => true,
        Vni::None => false,
    };
    let peers: Vec<&UnknownPeer> = report.unknown_peers.iter().filter(unknown).collect();
    let name = |peer: &&UnknownPeer| match peer.id.vni {
        Vni::Own(vni) => format!("VNI {vni} of {}", view.facts.peer_name(peer.id.peer)),
        _ => view.facts.peer_name(peer.id.peer),
    };
    let names: Vec<String> = peers.iter().map(name).collect();
    let lines = peers.iter().zip(&names).map(|(peer, name)| {
        format!("{} packets {} {}: {name}", peer.packets, peer.id.direction.label(), peer.id.device)
    });
    let known: Vec<String> = own.iter().map(ToString::to_string).collect();
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("VXLAN packets of another network: {}", some_of(&names)),
            "Another overlay (another CNI, OpenStack, a second Calico) uses the same UDP port between these machines. \
             The kernel drops packets with a VNI for which it has no device. If that overlay also ran on this node, \
             the second device on the port could not be created.",
        )
        .about(peers.iter().map(|peer| peer.id.peer))
        .seen([format!("{packets} packets; this node's own VNIs: {}", known.join(", "))])
        .seen(lines)
        .remedy("give Calico a separate port on all nodes", felix_patch("vxlanPort", 4790)),
    ]
}
