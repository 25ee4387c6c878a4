//! Pods have a smaller MTU than fits: pods from before a tunnel went, mostly.

use super::super::{Finding, PodMtu, Severity, View};
use super::{felix_detection, has, pod_mtu_high, some_of, tunnel_down, tunnel_mtu_low};

pub(super) const ID: &str = "pod-mtu-low";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let Some((least, _)) = view.mtu.pod_range() else { return Vec::new() };
    // Without its tunnel device the room is that of the underlay, which it will not stay.
    let causes = [tunnel_down::ID, felix_detection::ID, tunnel_mtu_low::ID];
    let explained = causes.iter().any(|id| has(found, id));
    let low: Vec<&PodMtu> = view.mtu.pods.iter().filter(|pod| pod.mtu < least && !explained).collect();
    if low.is_empty() {
        return Vec::new();
    }
    let list: Vec<String> = low.iter().map(|pod| format!("{} has {}", pod.device, pod.mtu)).collect();
    let mut finding = Finding::new(
        ID,
        Severity::Notice,
        format!("MTU of pods lower than need be, {least} fits: {}", some_of(&list)),
        "These pods send more and smaller packets than they have to. A pod keeps the MTU that it was made with, \
         so after a switch to less encapsulation pods have to be made anew to gain anything from it.",
    )
    .about(low.iter().map(|pod| &pod.device))
    .seen([pod_mtu_high::way(view, least)]);
    for pod in &low {
        let addresses: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
        finding.evidence.push(format!(
            "{} ({}): MTU {}, {} bytes below",
            pod.device,
            addresses.join(", "),
            pod.mtu,
            least - pod.mtu
        ));
    }
    vec![pod_mtu_high::remedy(finding, &low)]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, ids, node};
    use super::*;

    #[test]
    fn pods_from_before_the_tunnel_went() {
        let mut low = node("bgp");
        for pod in low.devices.iter_mut().filter(|device| device.is_workload()) {
            pod.mtu = 1480;
        }
        assert_eq!(ids(&facts(low)), [ID]);
    }
}
