//! Packets go to a node and none comes back.

use super::super::{Finding, Observed, PeerView, View};
use super::{about_peers, affected, check_other};
use crate::model::Report;

pub(super) const ID: &str = "no-answer";

/// Fewer packets may be unanswered by chance.
const MANY: u64 = 100;

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    // An ingress that was not watched all the time may have missed the answers.
    if !view.facts.observed.as_ref().and_then(Report::underlay).is_some_and(|underlay| underlay.complete) {
        return Vec::new();
    }
    let peers = affected(view, found, |peer| {
        let packets = |side: &Option<Observed>| side.as_ref().map_or(0, Observed::packets);
        packets(&peer.egress) >= MANY && packets(&peer.ingress) == 0
    });
    let Some(first) = peers.first() else { return Vec::new() };
    let line = |peer: &PeerView| {
        let (sent, how) = peer.egress.as_ref().map_or((0, String::new()), |o| (o.packets(), o.describe()));
        format!("{sent} packets sent ({how}), 0 received")
    };
    let finding = about_peers(
        view,
        ID,
        &peers,
        |names| format!("Nothing comes back from {names}"),
        "The other node or the network drops these packets: a firewall that blocks the tunnel's protocol (IP \
         protocol 4, UDP 4789), a fabric without routes to pods, a block that is a blackhole on the other node \
         because the pod has moved, or a node that is gone. Traffic that needs no answer looks the same.",
        line,
    );
    vec![
        check_other(finding, first.address)
            .remedy("check whether it answers at all", format!("ping -c 3 {}", first.address)),
    ]
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Class;
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::super::testing::{facts, ids, node, observed};
    use crate::model::DeviceRow;

    #[test]
    fn many_unanswered_packets_are_found() {
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
