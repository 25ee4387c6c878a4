//! The rules, one file each. Their order matters: a rule leaves out what an earlier one explains.

mod asymmetric;
mod blackhole_remote;
mod block_without_route;
mod declared_mode;
mod felix_detection;
mod felix_file;
mod mixed_mode;
mod no_answer;
mod observed_differs;
mod path_mtu;
mod pod_mtu_high;
mod pod_mtu_low;
mod route_mtu;
mod same_subnet_tunnelled;
mod stale_route;
mod tunnel_down;
mod tunnel_fragments;
mod tunnel_mtu_high;
mod tunnel_mtu_low;
mod unknown_sender;
mod unknown_vni;

use std::net::IpAddr;

use super::{Finding, PeerView, Severity, View};

pub(super) use declared_mode::pool_patch;

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The id of its findings.
    pub id: &'static str,
    /// Returns its findings, given those of earlier rules.
    pub check: fn(&View<'_>, &[Finding]) -> Vec<Finding>,
}

macro_rules! rules {
    ($($module:ident),* $(,)?) => {
        /// All rules, in the order of application.
        pub const RULES: &[Rule] = &[$(Rule { id: $module::ID, check: $module::check }),*];
    };
}

rules! {
    tunnel_down,
    felix_detection,
    tunnel_mtu_high,
    tunnel_mtu_low,
    pod_mtu_high,
    pod_mtu_low,
    route_mtu,
    felix_file,
    path_mtu,
    blackhole_remote,
    stale_route,
    block_without_route,
    same_subnet_tunnelled,
    declared_mode,
    mixed_mode,
    asymmetric,
    observed_differs,
    no_answer,
    unknown_sender,
    unknown_vni,
    tunnel_fragments,
}

// Remedies of several rules.
const CALICO_NODES: &str = "check which nodes Calico has";
const REWRITE: &str = "restart Felix and BIRD on this node, which rewrites the routes";
const SMALLEST_HOP: &str = "find the hop with the smaller MTU";

/// The command that restarts Felix and BIRD on this node.
fn restart(view: &View<'_>) -> String {
    format!(
        "kubectl -n calico-system delete pod -l k8s-app=calico-node --field-selector spec.nodeName={}",
        view.facts.name()
    )
}

/// The command that changes Felix's configuration on all nodes.
pub(super) fn felix_patch(setting: &str, value: impl Into<serde_json::Value>) -> String {
    let patch = serde_json::json!({ "spec": { setting: value.into() } });
    format!("kubectl patch felixconfiguration default --type merge -p '{patch}'")
}

/// Adds a check of the other node.
fn check_other(finding: Finding, node: IpAddr) -> Finding {
    finding.remedy("run the doctor on the other node", format!("ssh {node} sudo observer doctor"))
}

/// Whether an earlier rule has a finding.
fn has(found: &[Finding], id: &str) -> bool {
    found.iter().any(|finding| finding.id == id)
}

/// Whether an earlier finding is about this.
fn is_about(found: &[Finding], subject: &impl ToString) -> bool {
    let subject = subject.to_string();
    found.iter().any(|finding| finding.subjects.contains(&subject))
}

/// The peers to which a rule applies, except those of earlier findings.
fn affected<'a>(
    view: &'a View<'_>,
    found: &[Finding],
    applies: impl Fn(&PeerView) -> bool,
) -> Vec<&'a PeerView> {
    view.peers.iter().filter(|peer| applies(peer) && !is_about(found, &peer.address)).collect()
}

/// A warning about peers, with a line of evidence for each.
fn about_peers(
    view: &View<'_>,
    id: &'static str,
    peers: &[&PeerView],
    title: impl FnOnce(String) -> String,
    explanation: &str,
    line: impl Fn(&PeerView) -> String,
) -> Finding {
    let names: Vec<String> = peers.iter().map(|peer| view.facts.peer_name(peer.address)).collect();
    Finding::new(id, Severity::Warning, title(some_of(&names)), explanation)
        .about(peers.iter().map(|peer| peer.address))
        .seen(peers.iter().zip(&names).map(|(peer, name)| format!("{name}: {}", line(peer))))
}

/// The first three entries of a list, and the number of the others.
fn some_of(list: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = list.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match list.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{facts, ids, node};
    use super::*;

    #[test]
    fn ids_are_unique_and_documented() {
        let path = format!("{}/../docs/doctor.md", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(&path).expect(&path);
        for (nth, rule) in RULES.iter().enumerate() {
            assert!(rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.id);
            assert!(RULES[..nth].iter().all(|other| other.id != rule.id), "{}", rule.id);
            assert!(page.contains(&format!("\n### {}\n", rule.id)), "docs/doctor.md lacks {}", rule.id);
        }
    }

    #[test]
    fn a_healthy_node_of_every_mode_has_no_finding() {
        for mode in ["ipip-always", "ipip-crosssubnet", "vxlan-always", "vxlan-crosssubnet", "bgp"] {
            assert_eq!(ids(&facts(node(mode))), Vec::<&str>::new(), "{mode}");
        }
    }

    #[test]
    fn long_lists_are_shortened() {
        let list: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(some_of(&list), "a, b, c and 2 more");
        assert_eq!(some_of(&list[..2]), "a, b");
    }
}
