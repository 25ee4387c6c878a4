//! The JSON of `observer cluster`, documented in `docs/cluster-json.md`.

use serde_json::{Value, json};

use crate::fleet::{Fleet, Node, Pair, Progress, Route, Traffic};

/// The version of the schema, increased by every breaking change.
pub const SCHEMA: &str = "observer-cluster/2";

/// The fleet as one line of JSON without a newline.
#[must_use]
pub fn line(fleet: &Fleet) -> String {
    report(fleet).to_string()
}

/// The fleet as a JSON value.
#[must_use]
pub fn report(fleet: &Fleet) -> Value {
    json!({
        "schema": SCHEMA,
        "taken_seconds": fleet.taken.as_secs_f64(),
        "window_seconds": fleet.window.as_secs_f64(),
        "traffic": traffic(&fleet.traffic),
        "nodes": fleet.nodes.iter().map(node).collect::<Vec<_>>(),
        "modes": fleet.modes.iter().map(|count| json!({
            "family": count.family,
            "mode": count.mode,
            "nodes": count.nodes,
        })).collect::<Vec<_>>(),
        "routes": fleet.routes.iter().map(route).collect::<Vec<_>>(),
        "pairs": fleet.pairs.iter().map(pair).collect::<Vec<_>>(),
        "progress": fleet.progress.as_ref().map(progress),
        "notes": fleet.notes,
    })
}

fn traffic(traffic: &Traffic) -> Value {
    json!({
        "wire_bytes_per_second": traffic.wire,
        "l3_bytes_per_second": traffic.l3,
        "overhead_bytes_per_second": traffic.overhead,
        "overhead_ratio": traffic.overhead_ratio(),
    })
}

fn node(node: &Node) -> Value {
    json!({
        "cluster": some(&node.cluster),
        "name": node.name,
        "address": node.address,
        "answering": node.answering,
        "version": some(&node.version),
        "modes": node.modes,
        "traffic": traffic(&node.traffic),
        "fragments_per_second": node.fragments,
        "would_drop_per_second": node.would_drop,
        "ptb_per_second": node.ptb,
        "hooks_lost": node.hooks_lost,
        "path_overflow_per_second": node.overflow,
        "routes": node.routes.iter().map(route).collect::<Vec<_>>(),
    })
}

fn route(route: &Route) -> Value {
    json!({
        "family": route.family,
        "scope": route.scope,
        "encapsulation": route.encapsulation,
        "blocks": route.blocks,
        "nodes": route.nodes,
    })
}

fn pair(pair: &Pair) -> Value {
    json!({
        "cluster": some(&pair.cluster),
        "from": pair.from,
        "to": pair.to,
        "peer": pair.peer,
        "encapsulation": pair.encapsulation,
        "l3_bytes_per_second": pair.l3,
        "overhead_bytes_per_second": pair.overhead,
        "overhead_ratio": pair.overhead_ratio(),
    })
}

fn progress(progress: &Progress) -> Value {
    json!({
        "to": progress.goal.label(),
        "blocks_done": progress.blocks_done,
        "blocks": progress.blocks,
        "nodes_done": progress.nodes_done,
        "nodes": progress.nodes,
        "remaining_nodes": progress.left,
    })
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
