//! The nodes of a fleet as CSV, one per line. Empty fields are unknown.

use crate::fleet::{Fleet, Node};
use crate::view::csv::{join, optional};

const HEADER: [&str; 18] = [
    "taken_seconds",
    "window_seconds",
    "cluster",
    "node",
    "address",
    "answering",
    "version",
    "mode_ipv4",
    "mode_ipv6",
    "wire_bytes_per_second",
    "l3_bytes_per_second",
    "overhead_bytes_per_second",
    "overhead_ratio",
    "fragments_per_second",
    "would_drop_per_second",
    "ptb_per_second",
    "hooks_lost",
    "path_overflow_per_second",
];

/// A header and the nodes, each line with a newline.
#[must_use]
pub fn nodes(fleet: &Fleet) -> String {
    let mut text = join(HEADER.into_iter()) + "\n";
    for node in &fleet.nodes {
        text += &join(fields(fleet, node).iter().map(String::as_str));
        text.push('\n');
    }
    text
}

fn fields(fleet: &Fleet, node: &Node) -> [String; HEADER.len()] {
    let mode = |family: &str| node.modes.get(family).cloned().unwrap_or_default();
    [
        fleet.taken.as_secs_f64().to_string(),
        fleet.window.as_secs_f64().to_string(),
        node.cluster.clone(),
        node.name.clone(),
        node.address.clone(),
        node.answering.to_string(),
        node.version.clone(),
        mode("ipv4"),
        mode("ipv6"),
        optional(node.traffic.wire),
        optional(node.traffic.l3),
        optional(node.traffic.overhead),
        optional(node.traffic.overhead_ratio()),
        optional(node.fragments),
        optional(node.would_drop),
        optional(node.ptb),
        optional(node.hooks_lost),
        optional(node.overflow),
    ]
}
