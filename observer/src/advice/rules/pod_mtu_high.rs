//! Pods have a larger MTU than fits the ways to other nodes: pods from before a switch, mostly.

use observer_common::counters::Total;
use observer_common::kind::Direction;

use super::super::{Finding, PodMtu, Severity, View};
use super::some_of;
use crate::topology::Role;

pub(super) const ID: &str = "pod-mtu-high";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let Some((_, most)) = view.mtu.pod_range() else { return Vec::new() };
    let high: Vec<&PodMtu> = view.mtu.pods.iter().filter(|pod| pod.mtu > most).collect();
    if high.is_empty() {
        return Vec::new();
    }
    let list: Vec<String> = high.iter().map(|pod| format!("{} has {}", pod.device, pod.mtu)).collect();
    let finding = Finding::new(
        ID,
        Severity::Error,
        format!("MTU of pods too high, {most} fits: {}", some_of(&list)),
        "What these pods send at full size does not fit the way to pods of other nodes. It is fragmented before \
         the tunnel, or refused with ICMP where DF is set, as TCP does; where that ICMP is lost, connections \
         hang. A pod keeps the MTU that it was made with: it has to be made anew.",
    )
    .about(high.iter().map(|pod| &pod.device))
    .seen(evidence(view, most, &high));
    vec![remedy(finding, &high)]
}

fn evidence(view: &View<'_>, most: u32, pods: &[&PodMtu]) -> Vec<String> {
    let mut lines = vec![way(view, most)];
    for pod in pods {
        let addresses: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
        lines.push(format!("{} ({}): MTU {}", pod.device, addresses.join(", "), pod.mtu));
    }
    lines.extend(observed(view));
    lines
}

/// Which way allows that much.
pub(super) fn way(view: &View<'_>, room: u32) -> String {
    match view.mtu.tunnels.iter().find(|t| t.mtu == room || t.right() == Some(room)) {
        Some(tunnel) => format!("{room} fits through {} ({})", tunnel.device, tunnel.sum()),
        None => format!("{room} fits through {}", view.mtu.underlays.first().map_or("", |(name, _)| name)),
    }
}

/// What was seen at the tunnels that did not fit.
pub(super) fn observed(view: &View<'_>) -> Vec<String> {
    let Some(report) = &view.facts.observed else { return Vec::new() };
    let mut lines = Vec::new();
    for device in report.devices.iter().filter(|row| row.device.role == Role::Tunnel) {
        let rows = report
            .rows
            .iter()
            .filter(|row| row.device == device.device.name && row.direction == Direction::Egress);
        let (mut fragment, mut drop) = (0, 0);
        for row in rows {
            fragment += row.figures.get(Total::WouldFragment);
            drop += row.figures.get(Total::WouldDrop);
        }
        if fragment + drop != 0 {
            lines.push(format!(
                "measured at {}: {fragment} packets that the underlay has to fragment, {drop} that it has to drop",
                device.device.name
            ));
        }
    }
    lines
}

/// How to make pods anew.
pub(super) fn remedy(finding: Finding, pods: &[&PodMtu]) -> Finding {
    let address = pods.iter().flat_map(|pod| &pod.addresses).next();
    let finding = match address {
        Some(address) => finding.remedy(
            "find the pod of an address",
            format!("kubectl get pods -A -o wide --field-selector status.podIP={address}"),
        ),
        None => finding,
    };
    finding.remedy("make it anew by its owner", "kubectl -n NAMESPACE rollout restart deployment/NAME")
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, findings, ids, node};
    use super::*;

    fn with_pod(mode: &str, mtu: u32) -> crate::topology::Node {
        let mut node = node(mode);
        let pod = node.devices.iter_mut().find(|device| device.is_workload()).expect("a pod");
        pod.mtu = mtu;
        node
    }

    #[test]
    fn a_pod_from_before_the_tunnel() {
        for (mode, fits) in [("ipip-always", 1480), ("vxlan-always", 1430), ("vxlan-crosssubnet", 1430)] {
            let facts = facts(with_pod(mode, 1500));
            assert_eq!(ids(&facts), [ID], "{mode}");
            let finding = &findings(&facts)[0];
            assert!(finding.title.contains(&format!("{fits} fits")), "{}", finding.title);
            assert!(
                finding.remedies[0].command.contains("status.podIP=10.244.10."),
                "{:?}",
                finding.remedies
            );
        }
        assert!(ids(&facts(with_pod("bgp", 1500))).is_empty());
    }
}
