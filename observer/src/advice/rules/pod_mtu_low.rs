//! Pods have a smaller MTU than fits: usually pods created before a tunnel was removed.

use super::super::{Finding, PodMtu, Severity, View};
use super::pod_mtu_high::{describe, devices, fits, recreate};
use super::{felix_detection, has, tunnel_down, tunnel_mtu_low};

pub(super) const ID: &str = "pod-mtu-low";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let Some((least, _)) = view.mtu.pod_range() else { return Vec::new() };
    // While a tunnel device is missing, the underlay's MTU is not the one that pods need.
    let causes = [tunnel_down::ID, felix_detection::ID, tunnel_mtu_low::ID];
    let low: Vec<&PodMtu> = view.mtu.pods.iter().filter(|pod| pod.mtu < least).collect();
    if low.is_empty() || causes.iter().any(|id| has(found, id)) {
        return Vec::new();
    }
    let finding = Finding::new(
        ID,
        Severity::Notice,
        format!("Pod MTU too low, {least} fits: {}", devices(&low)),
        "These pods send more and smaller packets than necessary. A pod keeps the MTU it was created with, so pods \
         have to be recreated to benefit from a switch to less encapsulation.",
    )
    .about(low.iter().map(|pod| &pod.device))
    .seen([fits(view, least)])
    .seen(low.iter().map(|pod| format!("{}, {} bytes too low", describe(pod), least - pod.mtu)));
    vec![recreate(finding, &low)]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, ids, node};
    use super::*;

    #[test]
    fn pods_older_than_the_removal_of_the_tunnel_are_found() {
        let mut low = node("bgp");
        for pod in low.devices.iter_mut().filter(|device| device.is_workload()) {
            pod.mtu = 1480;
        }
        assert_eq!(ids(&facts(low)), [ID]);
    }
}
