//! Routes do not match the IP pool's mode.

use observer_common::kind::Class;

use super::super::modes::plural;
use super::super::{Finding, Severity, View, family};
use super::{REWRITE, is_about, restart};
use crate::calico::Pool;
use crate::model::Mode;
use crate::topology::Block;

pub(super) const ID: &str = "declared-mode";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let Some(calico) = &view.facts.calico else { return Vec::new() };
    let mut evidence = Vec::new();
    let mut subjects = Vec::new();
    let mut pools: Vec<(&Pool, Option<Mode>)> = Vec::new();
    for pool in &calico.pools {
        let blocks = view.facts.topology.blocks.iter().filter(|block| pool.contains(block));
        let wrong: Vec<(&Block, Class)> = blocks
            .filter_map(|block| Some((block, view.facts.declared_class(block)?.0)))
            .filter(|(block, declared)| block.class != *declared && block.class != Class::Wireguard)
            .filter(|(block, _)| !is_about(found, &block.peer))
            .collect();
        let Some((first, declared)) = wrong.first() else { continue };
        evidence.push(pool.describe());
        evidence.push(format!(
            "{} routed differently, such as {} to {}: {} instead of {}",
            plural(wrong.len() as u64, "block"),
            first.prefix(),
            first.peer,
            first.class.label(),
            declared.label()
        ));
        let ipv6 = pool.cidr.0.is_ipv6();
        subjects.extend([pool.name.clone(), family(ipv6).to_owned()]);
        subjects.extend(wrong.iter().map(|(block, _)| block.peer.to_string()));
        pools.push((pool, view.modes.iter().find(|mode| mode.ipv6 == ipv6).and_then(|mode| mode.routes)));
    }
    if pools.is_empty() {
        return Vec::new();
    }
    let label = |(pool, routes): &(&Pool, Option<Mode>)| {
        let routes = routes.map_or_else(|| "unknown".to_owned(), Mode::label);
        format!("{} declares {}, but the routes are {routes}", pool.name, pool.mode().label())
    };
    let finding = Finding::new(
        ID,
        Severity::Warning,
        format!("IP pool {}", pools.iter().map(label).collect::<Vec<_>>().join("; ")),
        "This node does not use the declared mode. Felix and BIRD create routes according to the pools: either they \
         do not follow (they are not running, or a switch is incomplete), or the resources are not from this cluster.",
    )
    .about(subjects)
    .seen(evidence)
    .remedy(REWRITE, restart(view));
    vec![pools.iter().fold(finding, |finding, (pool, routes)| match routes.and_then(pool_patch) {
        Some(patch) => finding.remedy(
            "or declare the mode in use",
            format!("kubectl patch ippool {} --type merge -p '{patch}'", pool.name),
        ),
        None => finding,
    })]
}

/// The patch that sets an IP pool to a mode.
pub(in crate::advice) fn pool_patch(mode: Mode) -> Option<String> {
    let (ipip, vxlan) = match mode {
        Mode::Always(Class::Ipip) => ("Always", "Never"),
        Mode::CrossSubnet(Class::Ipip) => ("CrossSubnet", "Never"),
        Mode::Always(Class::Vxlan) => ("Never", "Always"),
        Mode::CrossSubnet(Class::Vxlan) => ("Never", "CrossSubnet"),
        Mode::Native => ("Never", "Never"),
        _ => return None,
    };
    Some(format!(r#"{{"spec":{{"ipipMode":"{ipip}","vxlanMode":"{vxlan}"}}}}"#))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, findings, ids, node};
    use super::*;

    fn found(mode: &str, spec: &str) -> Vec<&'static str> {
        let mut facts = facts(node(mode));
        let pool = format!("kind: IPPool\nmetadata: {{name: p}}\nspec: {{cidr: 10.244.0.0/16, {spec}}}");
        facts.calico = Some(crate::calico::parse(&pool).expect("yaml"));
        ids(&facts)
    }

    #[test]
    fn every_mode_matches_its_own_pool_and_no_other() {
        let pools = [
            ("ipip-always", "ipipMode: Always"),
            ("ipip-crosssubnet", "ipipMode: CrossSubnet"),
            ("vxlan-always", "vxlanMode: Always"),
            ("vxlan-crosssubnet", "vxlanMode: CrossSubnet"),
            ("bgp", "ipipMode: Never"),
        ];
        for (mode, _) in pools {
            for (declared, spec) in pools {
                let ids = found(mode, spec);
                // Always instead of CrossSubnet has a separate finding.
                let special = mode.ends_with("always") && declared == mode.replace("always", "crosssubnet");
                let missing = declared.starts_with("ipip") && !mode.starts_with("ipip")
                    || declared.starts_with("vxlan") && !mode.starts_with("vxlan");
                if mode == declared {
                    assert!(ids.is_empty(), "{mode}: {ids:?}");
                } else if special {
                    assert_eq!(ids, ["same-subnet-tunnelled"], "{mode} {declared}");
                } else if missing {
                    assert!(ids.contains(&ID) && ids.contains(&"tunnel-down"), "{mode} {declared}: {ids:?}");
                } else {
                    assert_eq!(ids, [ID], "{mode} {declared}");
                }
            }
        }
    }

    #[test]
    fn the_remedy_declares_the_mode_in_use() {
        let mut facts = facts(node("bgp"));
        let pool = "kind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.244.0.0/16, ipipMode: Always}";
        facts.calico = Some(crate::calico::parse(pool).expect("yaml"));
        let finding = findings(&facts).into_iter().find(|finding| finding.id == ID).expect("it");
        let command = &finding.remedies[1].command;
        assert!(command.ends_with(r#"'{"spec":{"ipipMode":"Never","vxlanMode":"Never"}}'"#), "{command}");
    }
}
