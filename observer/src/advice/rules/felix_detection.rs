//! Felix detects the MTU by device name. It ignores bonds, bridges and old names and then assumes 1460; a
//! matching device with a small MTU reduces the MTU of all tunnels.

use super::super::mtu::{DEFAULT_PATTERN, UNDETECTED};
use super::super::{Finding, Severity, TunnelMtu, View};
use super::felix_patch;

pub(super) const ID: &str = "felix-mtu-detection";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let mtu = &view.mtu;
    let (Some(underlay), Some(detected), Some(matching)) = (mtu.underlay(), mtu.detected(), &mtu.matching)
    else {
        return Vec::new();
    };
    // Nothing is detected if the MTU of every tunnel is declared.
    let declared = |tunnel: &TunnelMtu| mtu.felix.mtu_of(tunnel.class, tunnel.over_ipv6).is_some();
    let all_declared = !mtu.tunnels.is_empty() && mtu.tunnels.iter().all(declared);
    if all_declared || detected == underlay || !runs_here(view) {
        return Vec::new();
    }
    let names: Vec<&str> = mtu.underlays.iter().map(|(name, _)| name.as_str()).collect();
    let (title, cause) = match matching.iter().find(|(_, mtu)| *mtu == detected) {
        None => (
            format!("Felix does not recognise {} and assumes an MTU of {UNDETECTED}", names.join(", ")),
            format!("no device that is up matches the pattern, so Felix assumes {UNDETECTED}"),
        ),
        Some((name, mtu)) => (
            format!("Felix detects an underlay MTU of {mtu}, from {name}"),
            format!("the smallest MTU of the matching devices is {mtu}, of {name}"),
        ),
    };
    let source = if mtu.pattern.1 { "mtuIfacePattern" } else { "Felix's default pattern" };
    let only = format!("^{}$", names.first().copied().unwrap_or_default().replace('.', "\\."));
    let pattern = if matching.is_empty() { format!("{DEFAULT_PATTERN}|{only}") } else { only };
    let mut evidence = vec![
        format!("{} has MTU {underlay}", names.join(", ")),
        format!("{source}: {}", mtu.pattern.0),
        cause,
    ];
    for tunnel in mtu.tunnels.iter().filter(|t| t.mtu == detected.saturating_sub(t.overhead)) {
        evidence.push(format!("{} has {} = {detected} - {}", tunnel.device, tunnel.mtu, tunnel.overhead));
    }
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            title,
            format!(
                "Felix uses the smallest MTU of the devices that are up and match its pattern, and {UNDETECTED} if \
                 none matches. With {detected} instead of {underlay}, tunnels and new pods get an MTU that is wrong \
                 by {} bytes when Felix next starts.",
                underlay.abs_diff(detected)
            ),
        )
        .about(names)
        .seen(evidence)
        .remedy("make the pattern match the underlay", felix_patch("mtuIfacePattern", pattern)),
    ]
}

/// Whether there is a sign of Felix on this node: tunnels, pods or resources.
fn runs_here(view: &View<'_>) -> bool {
    !view.mtu.tunnels.is_empty() || !view.mtu.pods.is_empty() || view.facts.calico.is_some()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{device, facts, findings, ids, node};
    use super::*;

    #[test]
    fn a_bond_is_not_recognised() {
        let mut bond = node("vxlan-always");
        device(&mut bond, "eth0").name = "bond0".into();
        let facts = facts(bond);
        assert_eq!(ids(&facts), [ID]);
        let finding = &findings(&facts)[0];
        assert!(finding.title.contains("assumes an MTU of 1460"), "{}", finding.title);
        assert!(finding.remedies[0].command.contains("^bond0$"), "{:?}", finding.remedies);
    }

    #[test]
    fn mtus_that_follow_from_detection_get_no_separate_finding() {
        let mut bond = node("vxlan-always");
        device(&mut bond, "eth0").name = "bond0".into();
        device(&mut bond, "vxlan.calico").mtu = 1410;
        device(&mut bond, "vxlan-v6.calico").mtu = 1390;
        for pod in bond.devices.iter_mut().filter(|device| device.is_workload()) {
            pod.mtu = 1390;
        }
        assert_eq!(ids(&facts(bond)), [ID]);
    }

    #[test]
    fn a_declared_pattern_or_declared_mtus_are_respected() {
        let mut bond = node("vxlan-always");
        device(&mut bond, "eth0").name = "bond0".into();
        let mut facts = facts(bond);
        let with = |spec: &str| {
            let text = format!("kind: FelixConfiguration\nmetadata: {{name: default}}\nspec: {spec}");
            Some(crate::calico::parse(&text).expect("yaml"))
        };
        facts.calico = with("{mtuIfacePattern: '^bond'}");
        assert!(ids(&facts).is_empty());
        facts.calico = with("{vxlanMTU: 1450, vxlanMTUV6: 1430}");
        assert!(ids(&facts).is_empty());
        facts.calico = with("{vxlanMTU: 0}");
        assert_eq!(ids(&facts), [ID]);
    }

    #[test]
    fn a_small_device_that_matches_is_named() {
        let mut small = node("bgp");
        let mut eth1 = device(&mut small, "eth0").clone();
        (eth1.name, eth1.ifindex, eth1.mtu) = ("eth1".into(), 999, 1400);
        small.devices.push(eth1);
        let facts = facts(small);
        assert_eq!(ids(&facts), [ID]);
        assert!(findings(&facts)[0].title.contains("from eth1"));
    }
}
