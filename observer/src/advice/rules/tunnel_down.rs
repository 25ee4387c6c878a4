//! A tunnel device of Calico is down, or the pools need one that does not exist.

use super::super::facts::{CALICO_TUNNELS, calico_tunnel};
use super::super::{Finding, Severity, View};
use super::restart;
use crate::model::Mode;

pub(super) const ID: &str = "tunnel-down";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let facts = view.facts;
    let mut names = Vec::new();
    let mut evidence = Vec::new();
    for device in facts.node.devices.iter().filter(|d| !d.up && CALICO_TUNNELS.contains(&d.name.as_str())) {
        let own = facts.node.addresses.iter().filter(|own| own.ifindex == device.ifindex);
        let addresses: Vec<String> = own.map(|own| own.address.to_string()).collect();
        // The kernel creates a tunl0 in every namespace; Felix assigns an address to the one it uses.
        if device.name == "tunl0" && addresses.is_empty() {
            continue;
        }
        evidence.push(match addresses.as_slice() {
            [] => format!("{} is down", device.name),
            list => format!("{} is down and has the address {}", device.name, list.join(", ")),
        });
        names.push(device.name.clone());
    }
    for mode in &view.modes {
        let Some(declared @ (Mode::Always(class) | Mode::CrossSubnet(class))) = mode.declared else {
            continue;
        };
        let Some(name) = calico_tunnel(class, mode.ipv6) else { continue };
        if !facts.node.devices.iter().any(|device| device.name == name) {
            let (declared, family) = (declared.label(), mode.family());
            evidence.push(format!("the IP pools declare {declared} ({family}), but {name} does not exist"));
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::new(
            ID,
            Severity::Error,
            format!("Tunnel device down or missing: {}", names.join(", ")),
            "When a tunnel device goes down, the kernel removes its routes, neighbours and forwarding entries, so \
             pods reached through it on other nodes are unreachable. Felix normally brings the device up and restores \
             the entries; if it has not, it is not running or it fails.",
        )
        .about(names)
        .seen(evidence)
        .remedy(
            "read Felix's log",
            format!(
                "kubectl -n calico-system logs --since 10m -c calico-node $(kubectl -n calico-system get pod -l \
                 k8s-app=calico-node --field-selector spec.nodeName={} -o name)",
                facts.name()
            ),
        )
        .remedy("restart Felix on this node, which recreates the device", restart(view)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{device, facts, findings, ids, node};
    use super::*;

    #[test]
    fn a_device_that_is_down_is_the_only_finding() {
        let mut down = node("vxlan-always");
        let gone = device(&mut down, "vxlan.calico");
        gone.up = false;
        let index = gone.ifindex;
        down.routes.retain(|route| route.ifindex != Some(index));
        down.neighbours.retain(|neighbour| neighbour.ifindex != index);
        down.fdb.retain(|entry| entry.ifindex != index);
        let facts = facts(down);
        assert_eq!(ids(&facts), [ID]);
        assert!(findings(&facts)[0].evidence[0].contains("10.244.10.0"));
    }

    #[test]
    fn pod_mtus_are_not_judged_while_the_tunnel_is_down() {
        let mut down = node("ipip-always");
        let tunl0 = device(&mut down, "tunl0");
        tunl0.up = false;
        let index = tunl0.ifindex;
        down.routes.retain(|route| route.ifindex != Some(index));
        let mut facts = facts(down);
        facts.felix_file = crate::advice::FelixFile::Mtu(1480);
        assert_eq!(ids(&facts), [ID]);
    }

    #[test]
    fn the_kernels_own_tunl0_is_ignored() {
        let mut other = node("bgp");
        let mut tunl0 = device(&mut node("ipip-always"), "tunl0").clone();
        (tunl0.up, tunl0.ifindex) = (false, 9_999);
        other.devices.push(tunl0);
        assert!(ids(&facts(other)).is_empty());
    }

    #[test]
    fn a_missing_device_that_the_pools_need_is_found() {
        let mut facts = facts(node("bgp"));
        let pool = "kind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.9.0.0/16, vxlanMode: Always}";
        facts.calico = Some(crate::calico::parse(pool).expect("yaml"));
        assert_eq!(ids(&facts), [ID]);
    }
}
