//! PTB messages report a smaller MTU in the network than that of the underlay device.

use observer_common::counters::PathCounter;
use observer_common::kind::Direction;

use super::super::{Finding, Severity, View};
use super::{SMALLEST_HOP, has, is_about, some_of, tunnel_mtu_high};
use crate::model::PathRow;

pub(super) const ID: &str = "path-mtu";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let Some(report) = &view.facts.observed else { return Vec::new() };
    // If a tunnel does not fit its underlay, this node sends such messages itself.
    if has(found, tunnel_mtu_high::ID) {
        return Vec::new();
    }
    let mtu_of = |name: &str| view.mtu.underlays.iter().find(|(own, _)| own == name).map(|(_, mtu)| *mtu);
    let reported: Vec<(&PathRow, u64, u32)> = report
        .paths
        .iter()
        .filter(|path| path.id.direction == Direction::Egress && !is_about(found, &path.id.peer))
        .filter_map(|path| {
            let mtu = path.figures.get(PathCounter::PtbMtu);
            let own = mtu_of(&path.id.device)?;
            (path.figures.get(PathCounter::Ptb) != 0 && mtu < u64::from(own)).then_some((path, mtu, own))
        })
        .collect();
    let Some((first, mtu, own)) = reported.first() else { return Vec::new() };
    let peers: Vec<String> = reported.iter().map(|(path, ..)| view.facts.peer_name(path.id.peer)).collect();
    let lines = reported.iter().map(|(path, mtu, own)| {
        format!(
            "{} PTB messages about packets to {} ({}): MTU {mtu}, {} has {own}; largest packet {}",
            path.figures.get(PathCounter::Ptb),
            view.facts.peer_name(path.id.peer),
            path.id.class.label(),
            path.id.device,
            path.figures.get(PathCounter::Largest),
        )
    });
    vec![
        Finding::new(
            ID,
            Severity::Error,
            format!("The MTU of the path to {} is {mtu}, {} has {own}", some_of(&peers), first.id.device),
            "A router on the path, or the remote node, has a smaller MTU than this node's underlay device. Every \
             larger packet is dropped and answered with a PTB message; if a firewall blocks these, connections hang. \
             All nodes and the network between them need the same MTU.",
        )
        .about(reported.iter().map(|(path, ..)| path.id.peer))
        .seen(lines)
        .remedy(SMALLEST_HOP, format!("tracepath -n {}", first.id.peer))
        .remedy(
            "until the network is fixed, set the smaller MTU on this node",
            format!("ip link set dev {} mtu {mtu}", first.id.device),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Class;

    use super::super::super::testing::{facts, ids, node, observed};
    use super::*;

    #[test]
    fn a_router_with_a_smaller_mtu_is_found() {
        let mut facts = facts(node("bgp"));
        let both = [Direction::Egress, Direction::Ingress].map(|d| (d, Class::None, "10.10.1.1", 200));
        let mut report = observed(&facts, &both);
        facts.observed = Some(report.clone());
        assert!(ids(&facts).is_empty());
        report.paths[0].figures.0[PathCounter::Ptb as usize] = 3;
        report.paths[0].figures.0[PathCounter::PtbMtu as usize] = 1400;
        facts.observed = Some(report);
        assert_eq!(ids(&facts), [ID]);
    }
}
