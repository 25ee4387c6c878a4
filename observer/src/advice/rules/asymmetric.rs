//! Packets to a node and from it use different encapsulation: only one of the two nodes was switched.

use super::super::{Finding, Observed, PeerView, View};
use super::{about_peers, affected, check_other};

pub(super) const ID: &str = "asymmetric";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let peers = affected(view, found, |peer| {
        let class = |side: &Option<Observed>| side.as_ref().and_then(Observed::class);
        class(&peer.egress).zip(class(&peer.ingress)).is_some_and(|(sent, received)| sent != received)
    });
    let Some(first) = peers.first() else { return Vec::new() };
    let line = |peer: &PeerView| {
        let observed = |side: &Option<Observed>| {
            side.as_ref().map_or_else(String::new, |o| format!("{} ({} packets)", o.describe(), o.packets()))
        };
        let (sent, received) = (observed(&peer.egress), observed(&peer.ingress));
        format!("{}, sent {sent}, received {received}", peer.scope.label())
    };
    let finding = about_peers(
        view,
        ID,
        &peers,
        |names| format!("Packets to and from {names} use different encapsulation"),
        "The routes of the two nodes have different modes: a switch reached only one of them, or one has a wrong \
         prefix length and treats the other as being in another subnet. This works as long as nothing on the path \
         filters by protocol or source, reverse-path filters included. The usable MTU differs by direction.",
        line,
    );
    vec![check_other(finding, first.address).remedy(
        "check the nodes' addresses and prefix lengths in Calico",
        "calicoctl get nodes -o custom-columns=NAME,IPV4,IPV6",
    )]
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Class;
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::super::testing::{facts, ids, node, observed};
    use super::*;

    #[test]
    fn asymmetric_encapsulation_is_found() {
        let mut facts = facts(node("vxlan-always"));
        let b = "10.10.1.12";
        facts.observed =
            Some(observed(&facts, &[(Egress, Class::Vxlan, b, 50), (Ingress, Class::None, b, 50)]));
        assert_eq!(ids(&facts), [ID]);
        // A few late packets after a switch do not count.
        facts.observed = Some(observed(
            &facts,
            &[(Egress, Class::Vxlan, b, 50), (Ingress, Class::Vxlan, b, 50), (Ingress, Class::None, b, 4)],
        ));
        assert!(ids(&facts).is_empty());
    }
}
