//! Packets go to a node and none comes back.

use super::super::{Finding, PeerView, Severity, View};
use super::{is_about, some_of};

pub(super) const ID: &str = "no-answer";

/// A few packets without an answer are nothing.
const MANY: u64 = 100;

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let silent = |peer: &&PeerView| {
        let sent = peer.egress.as_ref().map_or(0, super::super::Observed::packets);
        let came = peer.ingress.as_ref().map_or(0, super::super::Observed::packets);
        sent >= MANY && came == 0 && !is_about(found, &peer.address)
    };
    // Where ingress was not watched all the time, nothing can be said of it.
    let watched =
        view.facts.observed.as_ref().and_then(crate::model::Report::underlay).is_some_and(|u| u.complete);
    let peers: Vec<&PeerView> = view.peers.iter().filter(silent).filter(|_| watched).collect();
    if peers.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = peers.iter().map(|peer| view.facts.peer_name(peer.address)).collect();
    let labels = |peer: &PeerView| {
        let (sent, way) = peer.egress.as_ref().map_or((0, String::new()), |o| (o.packets(), o.describe()));
        format!("{}: {sent} packets sent ({way}), 0 received", view.facts.peer_name(peer.address))
    };
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("nothing comes back from {}", some_of(&names)),
            "The node or the network throws these packets away: a firewall that does not let the tunnel's protocol \
             through (IP protocol 4, UDP 4789), a fabric without routes to pods, a block that is a blackhole at the \
             other node because the pod has moved, or a node that is gone. Traffic that needs no answer looks the \
             same.",
        )
        .about(peers.iter().map(|peer| peer.address))
        .seen(peers.iter().map(|peer| labels(peer)))
        .remedy("look at the other node too", format!("ssh {} sudo observer doctor", peers[0].address))
        .remedy("see whether it answers at all", format!("ping -c 3 {}", peers[0].address)),
    ]
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Class;
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::super::testing::{facts, ids, node, observed};
    use crate::model::DeviceRow;

    #[test]
    fn many_packets_and_no_answer() {
        let mut facts = facts(node("vxlan-always"));
        let measured = |facts: &super::super::super::Facts, paths: &[_]| {
            let mut report = observed(facts, paths);
            let device = crate::view::fixture::snapshot(10).devices.remove(0);
            report.devices.push(DeviceRow { device, events: [[0; _]; 2], gaps: [false; 2] });
            Some(report)
        };
        let c = "10.10.2.13";
        facts.observed = measured(&facts, &[(Egress, Class::Vxlan, c, 500)]);
        assert_eq!(ids(&facts), [super::ID]);
        facts.observed = measured(&facts, &[(Egress, Class::Vxlan, c, 500), (Ingress, Class::Vxlan, c, 1)]);
        assert!(ids(&facts).is_empty());
        facts.observed = measured(&facts, &[(Egress, Class::Vxlan, c, 50)]);
        assert!(ids(&facts).is_empty());
    }
}
