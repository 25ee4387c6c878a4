//! Progress of a mode switch.

use std::str::FromStr;

use super::Node;

/// The target mode of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    label: &'static str,
    tunnel: Option<&'static str>,
    inside: bool,
}

/// The modes that Calico supports, named as in every view.
const GOALS: [Goal; 5] = [
    Goal { label: "native", tunnel: None, inside: false },
    Goal { label: "ipip-always", tunnel: Some("ipip"), inside: true },
    Goal { label: "ipip-crosssubnet", tunnel: Some("ipip"), inside: false },
    Goal { label: "vxlan-always", tunnel: Some("vxlan"), inside: true },
    Goal { label: "vxlan-crosssubnet", tunnel: Some("vxlan"), inside: false },
];

impl Goal {
    /// The mode's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.label
    }

    /// The encapsulation that a block should have; `None` if its scope is unknown.
    fn encapsulation(self, family: &str, scope: &str) -> Option<&'static str> {
        // Calico does not support IPIP for IPv6, which stays native.
        let tunnel = self.tunnel.filter(|tunnel| family != "ipv6" || *tunnel != "ipip").unwrap_or("none");
        match scope {
            "cross-subnet" => Some(tunnel),
            "same-subnet" if self.inside => Some(tunnel),
            "same-subnet" => Some("none"),
            _ => None,
        }
    }
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        GOALS.into_iter().find(|goal| goal.label == text).ok_or_else(|| {
            let labels: Vec<&str> = GOALS.iter().map(|goal| goal.label).collect();
            format!("`{text}` is not one of {}", labels.join(", "))
        })
    }
}

/// How much of a switch is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The target mode.
    pub goal: Goal,
    /// Pod blocks routed as the goal requires, over all nodes.
    pub blocks_done: u64,
    /// Pod blocks whose scope is known.
    pub blocks: u64,
    /// Nodes whose blocks are all done.
    pub nodes_done: u64,
    /// Nodes that route any block.
    pub nodes: u64,
    /// Names of nodes that are not done.
    pub left: Vec<String>,
}

impl Progress {
    /// The progress of `nodes`.
    #[must_use]
    pub fn of(goal: Goal, nodes: &[Node]) -> Self {
        let mut progress =
            Self { goal, blocks_done: 0, blocks: 0, nodes_done: 0, nodes: 0, left: Vec::new() };
        for node in nodes {
            let (mut all, mut done) = (0, 0);
            for route in &node.routes {
                let Some(target) = goal.encapsulation(&route.family, &route.scope) else { continue };
                all += route.blocks;
                done += if route.encapsulation == target { route.blocks } else { 0 };
            }
            progress.blocks += all;
            progress.blocks_done += done;
            progress.nodes += u64::from(all > 0);
            progress.nodes_done += u64::from(all > 0 && all == done);
            if done < all {
                progress.left.push(node.name.clone());
            }
        }
        progress.left.sort();
        progress
    }
}
