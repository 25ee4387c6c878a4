//! Tunnel packets are fragmented, and no MTU of this node explains it.

use observer_common::counters::PathCounter;

use super::super::{Finding, Severity, View};
use super::{SMALLEST_HOP, check_other, has, is_about, some_of};
use super::{path_mtu, pod_mtu_high, tunnel_mtu_high, tunnel_mtu_low};
use crate::model::PathRow;

pub(super) const ID: &str = "tunnel-fragments";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let causes = [tunnel_mtu_high::ID, tunnel_mtu_low::ID, pod_mtu_high::ID, path_mtu::ID];
    let Some(report) = view.facts.observed.as_ref().filter(|_| !causes.iter().any(|id| has(found, id)))
    else {
        return Vec::new();
    };
    let fragments = |path: &PathRow| {
        [PathCounter::OuterFirst, PathCounter::OuterMiddle, PathCounter::OuterLast]
            .iter()
            .map(|counter| path.figures.get(*counter))
            .sum::<u64>()
    };
    let paths: Vec<&PathRow> = report
        .paths
        .iter()
        .filter(|path| path.id.class.is_tunnel() && fragments(path) != 0 && !is_about(found, &path.id.peer))
        .collect();
    let Some(first) = paths.first().map(|path| path.id.peer) else { return Vec::new() };
    let names: Vec<String> = paths.iter().map(|path| view.facts.peer_name(path.id.peer)).collect();
    let lines = paths.iter().zip(&names).map(|(path, name)| {
        let (device, direction) = (&path.id.device, path.id.direction.label());
        format!(
            "{device} {direction} {name}: {} fragments among {} packets",
            fragments(path),
            path.figures.packets()
        )
    });
    let finding = Finding::new(
        ID,
        Severity::Warning,
        format!("Tunnel packets are fragmented: {}", some_of(&names)),
        "Each such packet costs as much as two, is reassembled on one CPU, and is lost if either fragment is lost. \
         No MTU of this node explains it: the sender has a wrong MTU, or a router on the path has a smaller one.",
    )
    .about(paths.iter().map(|path| path.id.peer))
    .seen(lines);
    vec![check_other(finding, first).remedy(SMALLEST_HOP, format!("tracepath -n {first}"))]
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Class;
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::super::testing::{facts, ids, node, observed};
    use super::*;

    #[test]
    fn fragments_without_an_explanation_are_found() {
        let mut facts = facts(node("vxlan-always"));
        let b = "10.10.1.12";
        let mut report = observed(&facts, &[(Ingress, Class::Vxlan, b, 50), (Egress, Class::Vxlan, b, 50)]);
        report.paths[0].figures.0[PathCounter::OuterFirst as usize] = 7;
        facts.observed = Some(report);
        assert_eq!(ids(&facts), [ID]);
    }
}
