//! The rules, one file each. Their order matters: what an earlier one explains, a later one leaves out.

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

use super::{Finding, View};

pub(super) use declared_mode::pool_patch;

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The id of its findings.
    pub id: &'static str,
    /// What it looks for, for people.
    pub what: &'static str,
    /// Looks for it; sees what earlier rules found.
    pub check: fn(&View<'_>, &[Finding]) -> Vec<Finding>,
}

macro_rules! rules {
    ($($module:ident: $what:literal),* $(,)?) => {
        /// Every rule, in the order in which they are applied.
        pub const RULES: &[Rule] = &[$(Rule { id: $module::ID, what: $what, check: $module::check }),*];
    };
}

rules! {
    tunnel_down: "a tunnel device is down or missing",
    felix_detection: "Felix takes a wrong MTU for that of the underlay",
    tunnel_mtu_high: "a tunnel's packets do not fit the underlay",
    tunnel_mtu_low: "a tunnel device gives room away",
    pod_mtu_high: "pods send more than fits the way to other nodes",
    pod_mtu_low: "pods send less than fits",
    route_mtu: "a route has an MTU of its own that is wrong",
    felix_file: "Felix's file has another MTU than pods need",
    path_mtu: "the network takes less than the underlay device",
    blackhole_remote: "a pod block of another node is a blackhole here",
    stale_route: "a route leads to a node that is not there",
    block_without_route: "a pod block of another node has no route",
    same_subnet_tunnelled: "nodes of the same subnet are tunnelled in CrossSubnet mode",
    declared_mode: "routes are not what the IP pool asks for",
    mixed_mode: "routes are of several modes at once",
    asymmetric: "packets to a node and from it are carried differently",
    observed_differs: "packets are not carried as the routes say",
    no_answer: "nothing comes back from a node",
    unknown_sender: "tunnel packets of somebody who is no node",
    unknown_vni: "VXLAN packets of another network",
    tunnel_fragments: "tunnel packets are fragmented",
}

/// Whether an earlier rule has found something.
fn has(found: &[Finding], id: &str) -> bool {
    found.iter().any(|finding| finding.id == id)
}

/// Whether an earlier finding is about this.
fn is_about(found: &[Finding], subject: &impl ToString) -> bool {
    let subject = subject.to_string();
    found.iter().any(|finding| finding.subjects.contains(&subject))
}

/// A list for a sentence: at most three, and how many more there are.
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
    fn ids_are_words_and_differ_and_are_documented() {
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
    fn lists_are_cut() {
        let list: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(some_of(&list), "a, b, c and 2 more");
        assert_eq!(some_of(&list[..2]), "a, b");
    }
}
