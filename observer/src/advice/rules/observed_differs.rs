//! Observed packets do not match the main table's routes.

use super::super::{Finding, Observed, PeerView, View};
use super::{about_peers, affected};

pub(super) const ID: &str = "observed-differs";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let peers = affected(view, found, |peer| {
        let sent = peer.egress.as_ref().and_then(Observed::class);
        peer.route().zip(sent).is_some_and(|(route, sent)| route != sent)
    });
    let Some(first) = peers.first() else { return Vec::new() };
    let line = |peer: &PeerView| {
        let routed = peer.route().map_or("", |class| class.label());
        format!("routed {routed}, sent {}", peer.egress.as_ref().map(Observed::describe).unwrap_or_default())
    };
    let finding = about_peers(
        view,
        ID,
        &peers,
        |names| format!("Packets to {names} do not match the routes"),
        "Something other than the main table decides: a rule with a separate table, an eBPF program, an XFRM \
         policy, or routes that changed during the measurement.",
        line,
    );
    let target = first.blocks.first().map_or(first.address, |(address, _)| *address);
    vec![
        finding
            .remedy("check the rules", "ip rule")
            .remedy("show the route that the kernel chooses", format!("ip route get {target}")),
    ]
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Class;
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::super::testing::{facts, ids, node, observed};
    use super::*;

    #[test]
    fn packets_that_differ_from_the_routes_are_found() {
        let mut facts = facts(node("vxlan-crosssubnet"));
        let c = "10.10.2.13";
        facts.observed =
            Some(observed(&facts, &[(Egress, Class::None, c, 50), (Ingress, Class::None, c, 50)]));
        assert_eq!(ids(&facts), [ID]);
    }
}
