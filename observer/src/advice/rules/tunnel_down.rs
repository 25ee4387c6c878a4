//! A tunnel device of Calico's is down, or the pools need one that is not there.

use observer_common::kind::Class;

use super::super::{CALICO_TUNNELS, Finding, Severity, View};
use crate::model::Mode;

pub(super) const ID: &str = "tunnel-down";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let facts = view.facts;
    let mut names = Vec::new();
    let mut evidence = Vec::new();
    for device in facts.node.devices.iter().filter(|d| !d.up && CALICO_TUNNELS.contains(&d.name.as_str())) {
        let addresses: Vec<String> = facts
            .node
            .addresses
            .iter()
            .filter(|own| own.ifindex == device.ifindex)
            .map(|own| own.address.to_string())
            .collect();
        // The kernel makes a tunl0 in every namespace; Felix gives an address to the one that it uses.
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
        let Some(Mode::Always(class) | Mode::CrossSubnet(class)) = mode.declared else { continue };
        let name = match (class, mode.ipv6) {
            (Class::Ipip, false) => "tunl0",
            (Class::Vxlan, false) => "vxlan.calico",
            (Class::Vxlan, true) => "vxlan-v6.calico",
            _ => continue,
        };
        if !facts.node.devices.iter().any(|device| device.name == name) {
            evidence.push(format!(
                "the IP pools ask for {} ({}), and there is no {name}",
                mode_words(mode.declared),
                mode.family()
            ));
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        return Vec::new();
    }
    let node = facts.name();
    vec![
        Finding::new(
            ID,
            Severity::Error,
            format!("{} cannot carry packets", names.join(" and ")),
            "When a tunnel device goes down, the kernel removes its routes, neighbours and forwarding entries: \
             pods of other nodes that are reached through it are unreachable. Felix brings it up again and \
             writes the rest anew; that it has not means that Felix does not run or fails.",
        )
        .about(names)
        .seen(evidence)
        .remedy(
            "see what Felix says",
            format!(
                "kubectl -n calico-system logs --since 10m -c calico-node $(kubectl -n calico-system get pod -l \
                 k8s-app=calico-node --field-selector spec.nodeName={node} -o name)"
            ),
        )
        .remedy(
            "let it make the device anew",
            format!(
                "kubectl -n calico-system delete pod -l k8s-app=calico-node --field-selector spec.nodeName={node}"
            ),
        ),
    ]
}

fn mode_words(mode: Option<Mode>) -> String {
    mode.map(Mode::label).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{device, facts, findings, ids, node};
    use super::*;

    #[test]
    fn a_device_that_is_down_is_named_and_nothing_else() {
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
    fn what_pods_have_is_then_no_finding() {
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
    fn the_kernel_s_own_tunl0_is_none_of_calico_s() {
        let mut other = node("bgp");
        let mut tunl0 = device(&mut node("ipip-always"), "tunl0").clone();
        (tunl0.up, tunl0.ifindex) = (false, 9_999);
        other.devices.push(tunl0);
        assert!(ids(&facts(other)).is_empty());
    }

    #[test]
    fn a_device_that_the_pools_need_is_missed() {
        let mut facts = facts(node("bgp"));
        let pool = "kind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.9.0.0/16, vxlanMode: Always}";
        facts.calico = Some(crate::calico::parse(pool).expect("yaml"));
        assert_eq!(ids(&facts), [ID]);
    }
}
