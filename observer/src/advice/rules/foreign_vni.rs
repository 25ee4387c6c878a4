//! VXLAN packets with a VNI that none of the node's devices uses.

use observer_common::counters::Total;

use super::super::{Finding, Severity, View};
use super::foreign_sender::count;
use super::some_of;
use crate::snapshot::Vni;

pub(super) const ID: &str = "foreign-vni";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let packets = count(view, Total::ForeignVni);
    let Some(report) = view.facts.wire.as_ref().filter(|_| packets != 0) else { return Vec::new() };
    let own: Vec<u32> = view.facts.topology.vnis.clone();
    // A stranger's VNI is the one on the wire.
    let foreign = |vni: Vni| match vni {
        Vni::Own(number) => !own.contains(&number),
        Vni::Foreign => true,
        Vni::None => false,
    };
    let strangers: Vec<_> = report.strangers.iter().filter(|stranger| foreign(stranger.id.vni)).collect();
    let who: Vec<String> = strangers
        .iter()
        .map(|s| match s.id.vni {
            Vni::Own(vni) => format!("VNI {vni} of {}", view.facts.peer_name(s.id.peer)),
            _ => view.facts.peer_name(s.id.peer),
        })
        .collect();
    let lines = strangers.iter().zip(&who).map(|(stranger, who)| {
        format!(
            "{} packets {} {}: {who}",
            stranger.packets,
            stranger.id.direction.label(),
            stranger.id.device
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
        .about(strangers.iter().map(|stranger| stranger.id.peer))
        .seen([format!("{packets} packets; this node's own VNIs: {}", known.join(", "))])
        .seen(lines)
        .remedy(
            "give Calico a port of its own, on all nodes",
            "kubectl patch felixconfiguration default --type merge -p '{\"spec\":{\"vxlanPort\":4790}}'",
        ),
    ]
}
