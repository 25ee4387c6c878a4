//! A tunnel device has less than fits: room is given away, or pods' packets do not fit it.

use super::super::{Finding, Severity, TunnelMtu, View};
use super::{felix_detection, has, tunnel_mtu_high};

pub(super) const ID: &str = "tunnel-mtu-low";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let detected = view.mtu.detected().filter(|_| has(found, felix_detection::ID));
    let explained = |t: &TunnelMtu| detected.is_some_and(|mtu| t.mtu == mtu.saturating_sub(t.overhead));
    let low: Vec<&TunnelMtu> = view
        .mtu
        .tunnels
        .iter()
        .filter(|t| t.right().is_some_and(|right| t.mtu < right) && !explained(t))
        .collect();
    if low.is_empty() {
        return Vec::new();
    }
    let beyond: Vec<String> = view
        .mtu
        .pods
        .iter()
        .filter(|pod| low.iter().any(|tunnel| pod.mtu > tunnel.mtu))
        .map(|pod| format!("{} ({})", pod.device, pod.mtu))
        .collect();
    let labels: Vec<String> =
        low.iter().map(|t| format!("{} has {}, {} fits", t.device, t.mtu, t.right().unwrap_or(0))).collect();
    let (severity, explanation) = if beyond.is_empty() {
        (
            Severity::Notice,
            "More packets than necessary carry the same data, each with the tunnel's overhead and its share of \
             the CPU.",
        )
    } else {
        (
            Severity::Error,
            "Pods send packets that this tunnel does not take though the underlay would: they are fragmented \
             before the tunnel, or refused with ICMP where DF is set.",
        )
    };
    let mut finding = Finding::new(ID, severity, format!("MTU too low: {}", labels.join("; ")), explanation)
        .about(low.iter().map(|t| &t.device));
    for tunnel in &low {
        let right = tunnel.right().unwrap_or(0);
        finding.evidence.push(format!(
            "{}: MTU {}, right is {right} = {}: {} bytes of each packet are given away",
            tunnel.device,
            tunnel.mtu,
            tunnel.sum(),
            right - tunnel.mtu
        ));
        if view.mtu.felix.mtu_of(tunnel.class, tunnel.over_ipv6) == Some(tunnel.mtu) {
            finding.evidence.push(format!("FelixConfiguration sets {} for it", tunnel.mtu));
        }
    }
    if !beyond.is_empty() {
        finding.evidence.push(format!("pods with more: {}", super::some_of(&beyond)));
    }
    vec![low.iter().fold(finding, |finding, tunnel| tunnel_mtu_high::with_remedy(finding, tunnel))]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{device, facts, findings, ids, node};
    use super::*;

    #[test]
    fn room_that_is_given_away_is_a_notice_and_too_little_for_pods_an_error() {
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
