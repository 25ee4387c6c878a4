//! Routes of one family have several modes at once.

use super::super::{Finding, Severity, View};
use super::is_about;
use crate::model::Mode;

pub(super) const ID: &str = "mixed-mode";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let mixed: Vec<_> = view
        .modes
        .iter()
        .filter(|mode| mode.routes == Some(Mode::Mixed) && mode.declared != Some(Mode::Mixed))
        .filter(|mode| !is_about(found, &mode.family()))
        .collect();
    if mixed.is_empty() {
        return Vec::new();
    }
    let families: Vec<&str> = mixed.iter().map(|mode| mode.family()).collect();
    vec![
        Finding::new(
            ID,
            Severity::Warning,
            format!("{} blocks are routed in several modes at once", families.join(" and ")),
            "Some routes have one mode and some another, as during a switch, or after a switch that did not reach \
             every route. Two pools with different modes look the same; the resources distinguish them.",
        )
        .about(families)
        .seen(mixed.iter().flat_map(|mode| mode.evidence.clone()))
        .remedy("check the pools", "calicoctl get ippools -o wide")
        .remedy(
            "run the doctor with the pools",
            "calicoctl get ippools -o yaml > pools.yaml; observer doctor --resources pools.yaml",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, ids, ip, node};
    use super::*;

    #[test]
    fn a_native_node_of_another_subnet_among_tunnelled_ones_is_found() {
        let mut mixed = node("vxlan-always");
        let eth0 = mixed.devices.iter().find(|device| device.name == "eth0").expect("eth0").ifindex;
        let route =
            mixed.routes.iter_mut().find(|route| route.destination == ip("10.244.30.128")).expect("it");
        (route.ifindex, route.gateway, route.protocol) = (Some(eth0), Some(ip("10.10.1.1")), 12);
        assert_eq!(ids(&facts(mixed)), [ID]);
    }
}
