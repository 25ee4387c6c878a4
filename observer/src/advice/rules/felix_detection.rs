//! Felix finds the MTU by the names of devices. A bond, a bridge or an old name does not match, and Felix
//! then assumes 1460; a small device that matches makes all others small.

use super::super::{Finding, Severity, UNDETECTED, View};
use crate::advice::DEFAULT_PATTERN;

pub(super) const ID: &str = "felix-mtu-detection";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let mtu = &view.mtu;
    let (Some(underlay), Some(detected), Some(matching)) = (mtu.underlay(), mtu.detected(), &mtu.matching)
    else {
        return Vec::new();
    };
    let told = |tunnel: &super::super::TunnelMtu| mtu.felix.mtu_of(tunnel.class, tunnel.over_ipv6).is_some();
    // Where every tunnel's MTU was set, nothing is found out.
    let set = !mtu.tunnels.is_empty() && mtu.tunnels.iter().all(told);
    if set || detected == underlay || !runs_here(view) {
        return Vec::new();
    }
    let names: Vec<&str> = mtu.underlays.iter().map(|(name, _)| name.as_str()).collect();
    let device = names.first().copied().unwrap_or_default();
    let (title, cause) = match matching.iter().find(|(_, mtu)| *mtu == detected) {
        None => (
            format!("Felix does not recognise {} and assumes {UNDETECTED}", names.join(", ")),
            format!("no device that is up matches the pattern, so Felix assumes {UNDETECTED}"),
        ),
        Some((name, mtu)) => (
            format!("Felix takes {mtu} for the MTU of the network, from {name}"),
            format!("the smallest MTU of the devices that match is {mtu}, of {name}"),
        ),
    };
    let declared = if mtu.pattern.1 { "mtuIfacePattern" } else { "Felix's default pattern" };
    let wanted = format!("{DEFAULT_PATTERN}|^{}$", device.replace('.', "\\."));
    let wanted = if matching.is_empty() { wanted } else { format!("^{}$", device.replace('.', "\\.")) };
    let mut evidence = vec![
        format!("{} has MTU {underlay}", names.join(", ")),
        format!("{declared}: {}", mtu.pattern.0),
        cause,
    ];
    for tunnel in mtu.tunnels.iter().filter(|t| t.mtu == detected.saturating_sub(t.overhead)) {
        evidence.push(format!("{} has {} = {detected} - {}", tunnel.device, tunnel.mtu, tunnel.overhead));
    }
    let patch = serde_json::json!({ "spec": { "mtuIfacePattern": wanted } });
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            title,
            format!(
                "Felix takes the smallest MTU of the devices that are up and match its pattern, and {UNDETECTED} \
                 where none does. With {detected} instead of {underlay}, tunnels and new pods get MTUs that are \
                 wrong by {} bytes as soon as Felix starts anew.",
                underlay.abs_diff(detected)
            ),
        )
        .about(names)
        .seen(evidence)
        .remedy(
            "make Felix look at the right device",
            format!("kubectl patch felixconfiguration default --type merge -p '{patch}'"),
        ),
    ]
}

/// There is something of Felix's on this node: tunnels, pods, its file, or its resources.
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
        assert!(finding.title.contains("assumes 1460"), "{}", finding.title);
        assert!(finding.remedies[0].command.contains("^bond0$"), "{:?}", finding.remedies);
    }

    #[test]
    fn what_follows_from_it_is_no_finding_of_its_own() {
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
    fn a_pattern_of_one_s_own_and_mtus_of_one_s_own_are_heard() {
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
