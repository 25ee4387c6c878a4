//! Routes are of another mode than the IP pool asks for.

use observer_common::kind::Class;

use super::super::modes::plural;
use super::super::{Finding, Severity, View};
use super::is_about;
use crate::calico::Pool;
use crate::model::Mode;
use crate::topology::Block;
use crate::topology::convert::contains;

pub(super) const ID: &str = "declared-mode";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let Some(calico) = &view.facts.calico else { return Vec::new() };
    let mut evidence = Vec::new();
    let mut subjects = Vec::new();
    let mut wrong_pools: Vec<&Pool> = Vec::new();
    for pool in &calico.pools {
        let inside =
            |b: &&Block| pool.cidr.1 <= b.prefix_len && contains(pool.cidr.0, pool.cidr.1, b.address);
        let wrong: Vec<(&Block, Class)> = view
            .facts
            .topology
            .blocks
            .iter()
            .filter(inside)
            .filter_map(|block| Some((block, view.facts.declared_class(block)?.0)))
            .filter(|(b, asked)| {
                b.class != *asked && b.class != Class::Wireguard && !is_about(found, &b.peer)
            })
            .collect();
        let Some((first, asked)) = wrong.first() else { continue };
        evidence.push(pool.describe());
        evidence.push(format!(
            "{} of it otherwise; {}/{} to {} goes {}, the pool asks for {}",
            plural(wrong.len() as u64, "block"),
            first.address,
            first.prefix_len,
            first.peer,
            first.class.label(),
            asked.label()
        ));
        subjects.push(pool.name.clone());
        subjects.push(if pool.cidr.0.is_ipv6() { "IPv6".to_owned() } else { "IPv4".to_owned() });
        subjects.extend(wrong.iter().map(|(block, _)| block.peer.to_string()));
        wrong_pools.push(pool);
    }
    if wrong_pools.is_empty() {
        return Vec::new();
    }
    let routed = |pool: &Pool| {
        let mode = view.modes.iter().find(|mode| mode.ipv6 == pool.cidr.0.is_ipv6())?;
        mode.routes
    };
    let labels: Vec<String> = wrong_pools
        .iter()
        .map(|pool| {
            let mode = routed(pool).map_or_else(|| "unknown".to_owned(), Mode::label);
            format!("{} asks for {}, routes are {mode}", pool.name, pool.mode().label())
        })
        .collect();
    let finding = Finding::new(
        ID,
        Severity::Warning,
        format!("IP pool {}", labels.join("; ")),
        "What is declared is not what this node does. Felix and BIRD write routes after the pools: either they do \
         not follow (they do not run, or a switch is half done), or the resources given here are not those of this \
         cluster.",
    )
    .about(subjects)
    .seen(evidence)
    .remedy(
        "let Felix and BIRD of this node write the routes anew",
        format!(
            "kubectl -n calico-system delete pod -l k8s-app=calico-node --field-selector spec.nodeName={}",
            view.facts.name()
        ),
    );
    vec![wrong_pools.iter().fold(finding, |finding, pool| match routed(pool).and_then(pool_patch) {
        Some(patch) => finding.remedy(
            "or declare what is there",
            format!("kubectl patch ippool {} --type merge -p '{patch}'", pool.name),
        ),
        None => finding,
    })]
}

/// The patch that asks for a mode.
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
    fn every_mode_fits_its_own_pool_and_no_other() {
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
                // An Always that should be a CrossSubnet has a finding of its own.
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
    fn the_remedy_is_the_patch_of_what_is_there() {
        let mut facts = facts(node("bgp"));
        let pool = "kind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.244.0.0/16, ipipMode: Always}";
        facts.calico = Some(crate::calico::parse(pool).expect("yaml"));
        let finding = findings(&facts).into_iter().find(|finding| finding.id == ID).expect("it");
        let command = &finding.remedies[1].command;
        assert!(command.ends_with(r#"'{"spec":{"ipipMode":"Never","vxlanMode":"Never"}}'"#), "{command}");
    }
}
