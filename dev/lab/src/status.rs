//! `cargo xtask lab status`.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::background;
use super::devices::mtu_of;
use super::netns;
use super::state::{self, State};
use super::topology::{Family, Node, Topology};

/// The version of the JSON form.
const SCHEMA: &str = "observer-lab/1";

/// Output format.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Format {
    /// Text for people
    Text,
    /// JSON for programs
    Json,
}

/// Prints the state of a lab, and returns whether it is up.
///
/// # Errors
/// The lab's state cannot be read.
pub fn print(name: &str, format: Format) -> Result<bool> {
    match format {
        Format::Json => println!("{:#}", json(name)?),
        Format::Text => print!("{}", as_text(name, &Topology::new(name), state::read(name)?.as_ref())),
    }
    Ok(state::read(name)?.is_some_and(|state| state.ready))
}

/// The state of a lab as `lab status --format json` prints it.
///
/// # Errors
/// The lab's state cannot be read.
pub fn json(name: &str) -> Result<Value> {
    as_json(name, &Topology::new(name), state::read(name)?.as_ref())
}

fn as_json(name: &str, topology: &Topology, state: Option<&State>) -> Result<Value> {
    let Some(state) = state else {
        return Ok(json!({ "schema": SCHEMA, "name": name, "up": false, "ready": false,
                          "namespaces": netns::of_lab(name) }));
    };
    let nodes: Result<Vec<Value>> = topology.nodes.iter().map(|node| node_json(node, state)).collect();
    let processes: Vec<Value> = background::running(name)
        .into_iter()
        .map(|(pid, role)| json!({ "pid": pid, "role": role }))
        .collect();
    Ok(json!({
        "schema": SCHEMA,
        "name": name,
        "up": true,
        "ready": state.ready,
        "mode": state.mode,
        "ipip": state.ipip,
        "offloads": state.offloads,
        "underlay_mtu": state.underlay_mtu,
        "pod_mtu": state.pod_mtu,
        "router": { "name": "router", "netns": topology.router },
        "nodes": nodes?,
        "namespaces": netns::of_lab(name),
        "processes": processes,
    }))
}

fn node_json(node: &Node, state: &State) -> Result<Value> {
    let mut value = serde_json::to_value(node).context("cannot encode a node")?;
    let tunnel_mtu = |usual| state.tunnel_mtu.unwrap_or(usual);
    if let Some(object) = value.as_object_mut() {
        let mode = state.mode;
        object.insert("tunnel_device".into(), json!(mode.tunnel_device(Family::V4)));
        object.insert("tunnel_device6".into(), json!(mode.tunnel_device(Family::V6)));
        let mtu = if mode.is_ipip() { Some(1480) } else { mode.is_vxlan().then_some(1450) };
        object.insert("tunnel_mtu".into(), json!(mtu.map(tunnel_mtu)));
        object.insert("tunnel_mtu6".into(), json!(mode.is_vxlan().then(|| tunnel_mtu(1430))));
    }
    for (pod, known) in
        value.pointer_mut("/pods").and_then(Value::as_array_mut).into_iter().flatten().zip(&node.pods)
    {
        if let Some(object) = pod.as_object_mut() {
            object.insert("mtu".into(), json!(mtu_of(known, state)));
        }
    }
    Ok(value)
}

fn as_text(name: &str, topology: &Topology, state: Option<&State>) -> String {
    let Some(state) = state else {
        let left = netns::of_lab(name);
        return if left.is_empty() {
            format!("No lab {name} is up.\n")
        } else {
            format!("No lab {name} is up, but {} of its namespaces are left: `lab down`.\n", left.len())
        };
    };
    let mut text = format!("lab {name}: {}", state.mode);
    if let Some(ipip) = state.ipip {
        text += match ipip {
            state::Ipip::Kernel => ", IPIP by the kernel",
            state::Ipip::UserSpace => ", IPIP in user space",
        };
    }
    text += match (state.offloads, state.ready) {
        (true, true) => "\n",
        (false, true) => ", offloads off\n",
        (_, false) => ", NOT READY (`up` or `switch` was interrupted; run `lab down`)\n",
    };
    for node in &topology.nodes {
        text += &format!(
            "{:8} {:15} {:22} block {:18} {}\n",
            node.name,
            format!("{}/{}", node.address, node.prefix_len),
            format!("{}/{}", node.address6, node.prefix_len6),
            node.block.to_string(),
            node.block6
        );
        for pod in &node.pods {
            text += &format!(
                "  {:6} {:15} {:22} {} mtu {}\n",
                pod.name,
                pod.address.to_string(),
                pod.address6.to_string(),
                pod.device,
                mtu_of(pod, state)
            );
        }
    }
    for (pid, role) in background::running(name) {
        text += &format!("process  {pid} {role}\n");
    }
    text
}
