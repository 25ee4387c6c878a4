//! A full packet of the tunnel does not fit the underlay.

use super::super::{Finding, Severity, TunnelMtu, View};
use crate::calico::Felix;

pub(super) const ID: &str = "tunnel-mtu-high";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let high: Vec<&TunnelMtu> =
        view.mtu.tunnels.iter().filter(|t| t.right().is_some_and(|right| t.mtu > right)).collect();
    if high.is_empty() {
        return Vec::new();
    }
    let labels: Vec<String> =
        high.iter().map(|t| format!("{} has {}, {} fits", t.device, t.mtu, t.right().unwrap_or(0))).collect();
    let mut finding = Finding::new(
        ID,
        Severity::Error,
        format!("MTU too high: {}", labels.join("; ")),
        "A full packet of this tunnel is larger than the underlay takes. The tunnel's packets are fragmented \
         where DF is clear, which doubles the packets and stops hardware offloads, and dropped where it is set: \
         then small packets pass and large transfers hang.",
    )
    .about(high.iter().map(|t| &t.device));
    for tunnel in &high {
        let right = tunnel.right().unwrap_or(0);
        finding.evidence.push(format!(
            "{}: MTU {}, right is {right} = {}",
            tunnel.device,
            tunnel.mtu,
            tunnel.sum()
        ));
    }
    finding.evidence.extend(super::pod_mtu_high::observed(view));
    vec![high.iter().fold(finding, |finding, tunnel| with_remedy(finding, tunnel))]
}

/// What sets the MTU of a tunnel device for good.
pub(super) fn with_remedy(finding: Finding, tunnel: &TunnelMtu) -> Finding {
    let Some(right) = tunnel.right() else { return finding };
    let at_once = format!("ip link set dev {} mtu {right}", tunnel.device);
    let finding = match Felix::setting(tunnel.class, tunnel.over_ipv6) {
        Some(setting) => finding.remedy(
            format!("set it for good on all nodes ({setting} 0 makes Felix find it out)"),
            format!(
                "kubectl patch felixconfiguration default --type merge -p '{{\"spec\":{{\"{setting}\":{right}}}}}'"
            ),
        ),
        None => finding,
    };
    finding.remedy("set it at once on this node, until Felix sets its own", at_once)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{device, facts, findings, ids, node};
    use super::*;

    #[test]
    fn a_tunnel_that_was_set_too_high() {
        for (mode, name, right) in
            [("ipip-always", "tunl0", 1480), ("vxlan-crosssubnet", "vxlan.calico", 1450)]
        {
            let mut high = node(mode);
            device(&mut high, name).mtu = 1500;
            let facts = facts(high);
            assert_eq!(ids(&facts), [ID], "{mode}");
            let finding = &findings(&facts)[0];
            assert_eq!(finding.title, format!("MTU too high: {name} has 1500, {right} fits"));
            assert!(
                finding.remedies[0].command.contains(&format!("MTU\":{right}")),
                "{:?}",
                finding.remedies
            );
        }
    }

    #[test]
    fn an_underlay_that_shrank_makes_all_tunnels_too_high_and_is_one_finding() {
        let mut small = node("vxlan-always");
        device(&mut small, "eth0").mtu = 1400;
        let facts = facts(small);
        assert_eq!(ids(&facts), [ID]);
        assert_eq!(findings(&facts)[0].subjects, ["vxlan-v6.calico", "vxlan.calico"]);
    }

    #[test]
    fn one_byte_is_enough() {
        let mut high = node("ipip-always");
        device(&mut high, "tunl0").mtu = 1481;
        assert_eq!(ids(&facts(high)), [ID]);
    }
}
