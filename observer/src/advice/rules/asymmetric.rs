//! Packets to a node go one way, and come back another: only one of the two was switched.

use super::super::{Finding, PeerView, Severity, View};
use super::{is_about, some_of};

pub(super) const ID: &str = "asymmetric";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let differs = |peer: &&PeerView| {
        let (out, back) = (peer.egress.as_ref(), peer.ingress.as_ref());
        let classes = out.and_then(|o| o.class()).zip(back.and_then(|b| b.class()));
        classes.is_some_and(|(out, back)| out != back) && !is_about(found, &peer.address)
    };
    let peers: Vec<&PeerView> = view.peers.iter().filter(differs).collect();
    if peers.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = peers.iter().map(|peer| view.facts.peer_name(peer.address)).collect();
    let labels = |peer: &PeerView| {
        let observed = |side: &Option<super::super::Observed>| {
            side.as_ref().map_or_else(String::new, |o| format!("{} ({} packets)", o.describe(), o.packets()))
        };
        format!(
            "{}, {}: sent {}, received {}",
            view.facts.peer_name(peer.address),
            peer.scope.label(),
            observed(&peer.egress),
            observed(&peer.ingress)
        )
    };
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("packets to and from {} are carried differently", some_of(&names)),
            "The two nodes have routes of different modes: a switch reached one of them only, or one has a wrong \
             prefix length and takes the other for a far one. It works as long as nothing on the way filters by \
             protocol or source, reverse-path filters included, and each direction has its own room for packets.",
        )
        .about(peers.iter().map(|peer| peer.address))
        .seen(peers.iter().map(|peer| labels(peer)))
        .remedy(
            "look at the other node too",
            format!("ssh {} sudo observer doctor", peers[0].address),
        )
        .remedy(
            "see address and prefix length that Calico has for the nodes",
            "calicoctl get nodes -o custom-columns=NAME,IPV4,IPV6",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Class;
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::super::testing::{facts, ids, node, observed};
    use super::*;

    #[test]
    fn the_way_there_and_the_way_back() {
        let mut facts = facts(node("vxlan-always"));
        let b = "10.10.1.12";
        facts.observed =
            Some(observed(&facts, &[(Egress, Class::Vxlan, b, 50), (Ingress, Class::None, b, 50)]));
        assert_eq!(ids(&facts), [ID]);
        // A few stragglers of a switch are none.
        facts.observed = Some(observed(
            &facts,
            &[(Egress, Class::Vxlan, b, 50), (Ingress, Class::Vxlan, b, 50), (Ingress, Class::None, b, 4)],
        ));
        assert!(ids(&facts).is_empty());
    }
}
