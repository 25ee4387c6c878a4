//! A tunnel's MTU is smaller than necessary: capacity is wasted, or pods' packets do not fit it.

use super::super::{Finding, Severity, View};
use super::tunnel_mtu_high::{describe, devices, set_mtu, tunnels};
use super::{felix_detection, has, some_of};

pub(super) const ID: &str = "tunnel-mtu-low";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let detected = view.mtu.detected().filter(|_| has(found, felix_detection::ID));
    let mut low = tunnels(view, |mtu, right| mtu < right);
    low.retain(|(t, _)| detected.is_none_or(|mtu| t.mtu != mtu.saturating_sub(t.overhead)));
    if low.is_empty() {
        return Vec::new();
    }
    let larger: Vec<String> = view
        .mtu
        .pods
        .iter()
        .filter(|pod| low.iter().any(|(tunnel, _)| pod.mtu > tunnel.mtu))
        .map(|pod| format!("{} ({})", pod.device, pod.mtu))
        .collect();
    let (severity, explanation) = if larger.is_empty() {
        (
            Severity::Notice,
            "The same data takes more packets than necessary, each with the tunnel's overhead and CPU cost.",
        )
    } else {
        (
            Severity::Error,
            "Pods send packets that exceed this tunnel's MTU although they would fit the underlay. They are \
             fragmented ahead of the tunnel, or refused with ICMP if DF is set.",
        )
    };
    let title = format!("Tunnel MTU too low: {}", devices(&low));
    let mut finding =
        Finding::new(ID, severity, title, explanation).about(low.iter().map(|(tunnel, _)| &tunnel.device));
    for (tunnel, right) in &low {
        let wasted = right - tunnel.mtu;
        finding
            .evidence
            .push(format!("{}: {wasted} bytes of each packet are wasted", describe(tunnel, *right)));
        if view.mtu.felix.mtu_of(tunnel.class, tunnel.over_ipv6) == Some(tunnel.mtu) {
            finding.evidence.push(format!("FelixConfiguration sets it to {}", tunnel.mtu));
        }
    }
    if !larger.is_empty() {
        finding.evidence.push(format!("pods with a larger MTU: {}", some_of(&larger)));
    }
    vec![low.iter().fold(finding, set_mtu)]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{device, facts, findings, ids, node};
    use super::*;

    #[test]
    fn a_low_tunnel_mtu_is_a_notice_or_an_error_if_pods_exceed_it() {
        let mut low = node("ipip-always");
        device(&mut low, "tunl0").mtu = 1440;
        let tight = facts(low.clone());
        assert_eq!(ids(&tight), [ID]);
        assert_eq!(findings(&tight)[0].severity, Severity::Error);
        for pod in low.devices.iter_mut().filter(|device| device.is_workload()) {
            pod.mtu = 1440;
        }
        let wasted = facts(low);
        assert_eq!(ids(&wasted), [ID]);
        let finding = &findings(&wasted)[0];
        assert_eq!(finding.severity, Severity::Notice);
        assert!(finding.evidence[0].contains("40 bytes"), "{:?}", finding.evidence);
    }
}
