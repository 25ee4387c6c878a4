//! A route to pods or nodes has an MTU that differs from its device's.

use super::super::{Finding, Severity, View};
use super::some_of;
use crate::topology::{Device, Route};

pub(super) const ID: &str = "route-mtu";

pub(super) fn check(view: &View<'_>, _: &[Finding]) -> Vec<Finding> {
    let facts = view.facts;
    let to_pods = |route: &Route| {
        let blocks = &facts.topology.blocks;
        blocks.iter().any(|b| b.address == route.destination && b.prefix_len == route.prefix_len)
    };
    let to_nodes = |route: &Route| facts.topology.peers.iter().any(|peer| route.covers(peer.address));
    let wrong: Vec<(&Route, &Device, u32)> = facts
        .unicast()
        .filter_map(|route| Some((route, facts.device_of(route)?, route.mtu?)))
        .filter(|(route, device, mtu)| *mtu != device.mtu && (to_pods(route) || to_nodes(route)))
        .collect();
    if wrong.is_empty() {
        return Vec::new();
    }
    let list: Vec<String> = wrong
        .iter()
        .map(|(route, device, mtu)| {
            format!("{} has {mtu}, {} has {}", route.prefix(), device.name, device.mtu)
        })
        .collect();
    let less = wrong.iter().any(|(_, device, mtu)| *mtu < device.mtu);
    let finding = Finding::new(
        ID,
        if less { Severity::Warning } else { Severity::Error },
        format!("Route MTU differs from the device's: {}", some_of(&list)),
        "A route's MTU takes precedence over its device's. A smaller one makes packets smaller, or full-size packets \
         are fragmented or refused; a larger one lets packets through that do not fit.",
    )
    .about(wrong.iter().map(|(route, ..)| route.prefix()))
    .seen(list);
    vec![wrong.iter().fold(finding, |finding, (route, device, _)| {
        let via = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        let onlink = if route.onlink { " onlink" } else { "" };
        finding.remedy(
            "replace the route without an MTU",
            format!(
                "ip route replace {}{via} dev {} proto {}{onlink}",
                route.prefix(),
                device.name,
                route.protocol
            ),
        )
    })]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, findings, ids, ip, node};
    use super::*;

    #[test]
    fn a_route_whose_mtu_differs_from_the_device_is_found() {
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
