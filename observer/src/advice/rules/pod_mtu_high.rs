//! Pods have a larger MTU than fits the path to other nodes: usually pods created before a switch.

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
    let finding = Finding::new(
        ID,
        Severity::Error,
        format!("Pod MTU too high, {most} fits: {}", devices(&high)),
        "Full-size packets of these pods do not fit the path to pods on other nodes. They are fragmented ahead of \
         the tunnel, or refused with ICMP if DF is set, as TCP does; if that ICMP message is lost, connections hang. \
         A pod keeps the MTU it was created with, so it has to be recreated.",
    )
    .about(high.iter().map(|pod| &pod.device))
    .seen([fits(view, most)])
    .seen(high.iter().map(|pod| describe(pod)))
    .seen(observed(view));
    vec![recreate(finding, &high)]
}

/// Pods and their MTUs, for a title.
pub(super) fn devices(pods: &[&PodMtu]) -> String {
    some_of(&pods.iter().map(|pod| format!("{} has {}", pod.device, pod.mtu)).collect::<Vec<_>>())
}

/// A pod and its MTU, for evidence.
pub(super) fn describe(pod: &PodMtu) -> String {
    let addresses: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
    format!("{} ({}): MTU {}", pod.device, addresses.join(", "), pod.mtu)
}

/// The device that limits packets to this size.
pub(super) fn fits(view: &View<'_>, room: u32) -> String {
    match view.mtu.tunnels.iter().find(|t| t.mtu == room || t.right() == Some(room)) {
        Some(tunnel) => format!("{room} fits through {} ({})", tunnel.device, tunnel.sum()),
        None => format!("{room} fits through {}", view.mtu.underlays.first().map_or("", |(name, _)| name)),
    }
}

/// Measured packets that did not fit a tunnel.
pub(super) fn observed(view: &View<'_>) -> Vec<String> {
    let Some(report) = &view.facts.observed else { return Vec::new() };
    let mut lines = Vec::new();
    for device in report.devices.iter().filter(|row| row.device.role == Role::Tunnel) {
        let name = &device.device.name;
        let (mut fragment, mut drop) = (0, 0);
        for row in report.rows.iter().filter(|row| row.device == *name && row.direction == Direction::Egress)
        {
            fragment += row.figures.get(Total::WouldFragment);
            drop += row.figures.get(Total::WouldDrop);
        }
        if fragment + drop != 0 {
            lines.push(format!(
                "measured on {name}: {fragment} packets that the underlay has to fragment, {drop} that it has to drop"
            ));
        }
    }
    lines
}

/// Adds how to recreate pods.
pub(super) fn recreate(finding: Finding, pods: &[&PodMtu]) -> Finding {
    let finding = match pods.iter().flat_map(|pod| &pod.addresses).next() {
        Some(address) => finding.remedy(
            "find a pod by its address",
            format!("kubectl get pods -A -o wide --field-selector status.podIP={address}"),
        ),
        None => finding,
    };
    finding.remedy("recreate it through its owner", "kubectl -n NAMESPACE rollout restart deployment/NAME")
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
    fn a_pod_older_than_the_tunnel_is_found() {
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
