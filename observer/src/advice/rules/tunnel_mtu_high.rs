//! A tunnel's full-size packets do not fit the underlay.

use super::super::{Finding, Severity, TunnelMtu, View};
use super::felix_patch;
use crate::calico::Felix;

pub(super) const ID: &str = "tunnel-mtu-high";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let high = tunnels(view, |mtu, right| mtu > right);
    if high.is_empty() {
        return Vec::new();
    }
    let finding = Finding::new(
        ID,
        Severity::Error,
        format!("Tunnel MTU too high: {}", devices(&high)),
        "Full-size packets of this tunnel exceed the underlay's MTU. They are fragmented if DF is clear, which \
         doubles the number of packets and prevents hardware offloads, and dropped if it is set: small packets pass \
         and large transfers hang.",
    )
    .about(high.iter().map(|(tunnel, _)| &tunnel.device))
    .seen(high.iter().map(|(tunnel, right)| describe(tunnel, *right)))
    .seen(super::pod_mtu_high::observed(view));
    vec![high.iter().fold(finding, set_mtu)]
}

/// Tunnels with a wrong MTU, each with the correct one.
pub(super) fn tunnels<'a>(view: &'a View<'_>, wrong: fn(u32, u32) -> bool) -> Vec<(&'a TunnelMtu, u32)> {
    let with_right = view.mtu.tunnels.iter().filter_map(|tunnel| Some((tunnel, tunnel.right()?)));
    with_right.filter(|(tunnel, right)| wrong(tunnel.mtu, *right)).collect()
}

/// Tunnels and their MTUs, for a title.
pub(super) fn devices(tunnels: &[(&TunnelMtu, u32)]) -> String {
    let label = |(t, right): &(&TunnelMtu, u32)| format!("{} has {}, {right} fits", t.device, t.mtu);
    tunnels.iter().map(label).collect::<Vec<_>>().join("; ")
}

/// A tunnel and its MTU, for evidence.
pub(super) fn describe(tunnel: &TunnelMtu, right: u32) -> String {
    format!("{}: MTU {}, should be {right} = {}", tunnel.device, tunnel.mtu, tunnel.sum())
}

/// Adds how to set the MTU of a tunnel device.
pub(super) fn set_mtu(finding: Finding, (tunnel, right): &(&TunnelMtu, u32)) -> Finding {
    let finding = match Felix::setting(tunnel.class, tunnel.over_ipv6) {
        Some(setting) => finding.remedy(
            format!("set it permanently on all nodes ({setting} 0 makes Felix detect it)"),
            felix_patch(setting, *right),
        ),
        None => finding,
    };
    finding.remedy(
        "set it immediately on this node, until Felix sets its own value",
        format!("ip link set dev {} mtu {right}", tunnel.device),
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{device, facts, findings, ids, node};
    use super::*;

    #[test]
    fn a_tunnel_mtu_that_is_too_high_is_found() {
        for (mode, name, right) in
            [("ipip-always", "tunl0", 1480), ("vxlan-crosssubnet", "vxlan.calico", 1450)]
        {
            let mut high = node(mode);
            device(&mut high, name).mtu = 1500;
            let facts = facts(high);
            assert_eq!(ids(&facts), [ID], "{mode}");
            let finding = &findings(&facts)[0];
            assert_eq!(finding.title, format!("Tunnel MTU too high: {name} has 1500, {right} fits"));
            assert!(
                finding.remedies[0].command.contains(&format!("MTU\":{right}")),
                "{:?}",
                finding.remedies
            );
        }
    }

    #[test]
    fn a_smaller_underlay_is_one_finding_for_all_tunnels() {
        let mut small = node("vxlan-always");
        device(&mut small, "eth0").mtu = 1400;
        let facts = facts(small);
        assert_eq!(ids(&facts), [ID]);
        assert_eq!(findings(&facts)[0].subjects, ["vxlan-v6.calico", "vxlan.calico"]);
    }

    #[test]
    fn one_byte_too_many_is_found() {
        let mut high = node("ipip-always");
        device(&mut high, "tunl0").mtu = 1481;
        assert_eq!(ids(&facts(high)), [ID]);
    }
}
