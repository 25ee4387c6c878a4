//! A route to pods or to nodes has an MTU of its own that is not the one of its device.

use super::super::{Finding, Severity, View};
use super::some_of;
use crate::topology::convert::contains;
use crate::topology::{Device, Route};

pub(super) const ID: &str = "route-mtu";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let facts = view.facts;
    let to_pods = |route: &Route| {
        facts
            .topology
            .blocks
            .iter()
            .any(|b| b.address == route.destination && b.prefix_len == route.prefix_len)
    };
    let to_nodes = |route: &Route| {
        facts.topology.peers.iter().any(|p| contains(route.destination, route.prefix_len, p.address))
    };
    let mut wrong: Vec<(&Route, &Device, u32)> = Vec::new();
    for route in facts.unicast() {
        let (Some(mtu), Some(device)) = (route.mtu, route.ifindex.and_then(|index| facts.device(index)))
        else {
            continue;
        };
        if mtu != device.mtu && (to_pods(route) || to_nodes(route)) {
            wrong.push((route, device, mtu));
        }
    }
    if wrong.is_empty() {
        return Vec::new();
    }
    let list: Vec<String> = wrong
        .iter()
        .map(|(route, device, mtu)| {
            format!(
                "{}/{} has {mtu}, {} has {}",
                route.destination, route.prefix_len, device.name, device.mtu
            )
        })
        .collect();
    let less = wrong.iter().any(|(_, device, mtu)| *mtu < device.mtu);
    let finding = Finding::new(
        ID,
        if less { Severity::Warning } else { Severity::Error },
        format!("MTU of a route differs from that of its device: {}", some_of(&list)),
        "The kernel takes a route's own MTU before the device's. A smaller one makes packets smaller, or \
         fragments and refuses those of full size; a larger one lets packets through that do not fit.",
    )
    .about(wrong.iter().map(|(route, ..)| format!("{}/{}", route.destination, route.prefix_len)))
    .seen(list);
    vec![wrong.iter().fold(finding, |finding, (route, device, _)| {
        let via = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        let onlink = if route.onlink { " onlink" } else { "" };
        finding.remedy(
            "write it without an MTU of its own",
            format!(
                "ip route replace {}/{}{via} dev {} proto {}{onlink}",
                route.destination, route.prefix_len, device.name, route.protocol
            ),
        )
    })]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, findings, ids, ip, node};
    use super::*;

    #[test]
    fn a_route_with_an_mtu_of_its_own() {
        let mut small = node("vxlan-always");
        let route = small.routes.iter_mut().find(|route| route.destination == ip("10.244.30.128"));
        route.expect("the route").mtu = Some(1280);
        let small = facts(small);
        assert_eq!(ids(&small), [ID]);
        assert_eq!(findings(&small)[0].subjects, ["10.244.30.128/26"]);

        let mut same = node("vxlan-always");
        let route = same.routes.iter_mut().find(|route| route.destination == ip("10.244.30.128"));
        route.expect("the route").mtu = Some(1450);
        assert!(ids(&facts(same)).is_empty());
    }
}
