//! Tunnel packets arrive or leave in fragments, and no MTU of this node explains it.

use observer_common::counters::PathCounter;

use super::super::{Finding, Severity, View};
use super::{is_about, path_mtu, pod_mtu_high, some_of, tunnel_mtu_high, tunnel_mtu_low};
use crate::model::PathRow;

pub(super) const ID: &str = "tunnel-fragments";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let explained = [tunnel_mtu_high::ID, tunnel_mtu_low::ID, pod_mtu_high::ID, path_mtu::ID];
    if explained.iter().any(|id| super::has(found, id)) {
        return Vec::new();
    }
    let Some(report) = &view.facts.observed else { return Vec::new() };
    let outer = |path: &PathRow| {
        [PathCounter::OuterFirst, PathCounter::OuterMiddle, PathCounter::OuterLast]
            .iter()
            .map(|counter| path.figures.get(*counter))
            .sum::<u64>()
    };
    let paths: Vec<&PathRow> = report
        .paths
        .iter()
        .filter(|path| path.id.class.is_tunnel() && outer(path) != 0 && !is_about(found, &path.id.peer))
        .collect();
    if paths.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = paths.iter().map(|path| view.facts.peer_name(path.id.peer)).collect();
    let lines = paths.iter().map(|path| {
        format!(
            "{} {} {}: {} fragments of {} packets",
            path.id.device,
            path.id.direction.label(),
            view.facts.peer_name(path.id.peer),
            outer(path),
            path.figures.packets()
        )
    });
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("tunnel packets in fragments: {}", some_of(&names)),
            "Each such packet costs two, is joined by one CPU, and is lost if either half is. The MTUs of this node \
             do not explain it: the sender's are wrong, or a router on the way takes less.",
        )
        .about(paths.iter().map(|path| path.id.peer))
        .seen(lines)
        .remedy("look at the other node too", format!("ssh {} sudo observer doctor", paths[0].id.peer))
        .remedy("find the hop that takes less", format!("tracepath -n {}", paths[0].id.peer)),
    ]
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Class;
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::super::testing::{facts, ids, node, observed};
    use super::*;

    #[test]
    fn fragments_that_no_mtu_of_ours_explains() {
        let mut facts = facts(node("vxlan-always"));
        let b = "10.10.1.12";
        let mut report = observed(&facts, &[(Ingress, Class::Vxlan, b, 50), (Egress, Class::Vxlan, b, 50)]);
        report.paths[0].figures.0[PathCounter::OuterFirst as usize] = 7;
        facts.observed = Some(report);
        assert_eq!(ids(&facts), [ID]);
    }
}
