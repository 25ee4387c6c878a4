//! Packets go another way than the main table's routes say.

use super::super::{Finding, PeerView, Severity, View};
use super::{is_about, some_of};

pub(super) const ID: &str = "observed-differs";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let differs = |peer: &&PeerView| {
        let sent = peer.egress.as_ref().and_then(super::super::Observed::class);
        peer.route().zip(sent).is_some_and(|(route, sent)| route != sent) && !is_about(found, &peer.address)
    };
    let peers: Vec<&PeerView> = view.peers.iter().filter(differs).collect();
    if peers.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = peers.iter().map(|peer| view.facts.peer_name(peer.address)).collect();
    let labels = |peer: &PeerView| {
        format!(
            "{}: routed {}, sent {}",
            view.facts.peer_name(peer.address),
            peer.route().map_or("", |class| class.label()),
            peer.egress.as_ref().map(super::super::Observed::describe).unwrap_or_default()
        )
    };
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("packets to {} are not carried as the routes say", some_of(&names)),
            "Something else than the main table decides: a rule with a table of its own, an eBPF program, an XFRM \
             policy, or routes that changed while this was measured.",
        )
        .about(peers.iter().map(|peer| peer.address))
        .seen(peers.iter().map(|peer| labels(peer)))
        .remedy("look at the rules", "ip rule")
        .remedy("ask the kernel which way it takes", format!("ip route get {}", first_pod(peers[0]))),
    ]
}

/// An address in a block of the peer.
fn first_pod(peer: &PeerView) -> String {
    peer.blocks.first().map_or_else(|| peer.address.to_string(), |(address, _)| address.to_string())
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Class;
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::super::testing::{facts, ids, node, observed};
    use super::*;

    #[test]
    fn both_directions_agree_but_not_with_the_routes() {
        let mut facts = facts(node("vxlan-crosssubnet"));
        let c = "10.10.2.13";
        facts.observed =
            Some(observed(&facts, &[(Egress, Class::None, c, 50), (Ingress, Class::None, c, 50)]));
        assert_eq!(ids(&facts), [ID]);
    }
}
