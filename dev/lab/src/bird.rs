//! `cargo xtask lab bird`: BIRD, which Calico uses, creates the IPv4 routes of a lab without encapsulation.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::background;
use super::netns;
use super::state;
use super::topology::{Family, Mode, Node, Topology};
use super::traffic;

/// The autonomous system of all nodes, as in Calico's mesh.
const AS: u32 = 64_512;

/// Starts BIRD in every node, and waits for its routes and until pods reach each other.
///
/// # Errors
/// The lab is not up in mode `bgp`, BIRD does not start, or its routes do not appear in time.
pub fn run(name: &str, timeout: u64) -> Result<()> {
    let Some(state) = state::read(name)?.filter(|state| state.ready) else {
        bail!("the lab {name} is not up; run `cargo xtask lab up --mode bgp`");
    };
    if state.mode != Mode::Bgp {
        bail!("the lab {name} is in mode {}; BIRD needs mode bgp", state.mode);
    }
    let topology = Topology::new(name);
    for node in &topology.nodes {
        let file = state::folder(name).join(format!("bird-{}.conf", node.name));
        fs::write(&file, config(node, &topology))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let gone = others(node, &topology).map(|peer| format!("route delete {}", peer.block(Family::V4)));
        let own = format!("route delete blackhole {}", node.block(Family::V4));
        netns::ip(Some(&node.netns), &gone.chain([own]).collect::<Vec<_>>())?;
        start(name, node)?;
    }
    let deadline = Instant::now() + Duration::from_secs(timeout);
    for node in &topology.nodes {
        wait_for_routes(name, node, deadline)?;
    }
    for (from, to) in [("a1", "b1"), ("a1", "c1"), ("b1", "c1")] {
        if let (Some(from), Some(to)) = (topology.pod(from), topology.pod(to)) {
            traffic::probe::wait(from, to, Family::V4, deadline)?;
        }
    }
    Ok(())
}

/// Starts the BIRD of a node in its namespace.
fn start(name: &str, node: &Node) -> Result<()> {
    let file = |end: &str| state::folder(name).join(format!("bird-{}.{end}", node.name));
    let log = File::create(file("log")).context("cannot write BIRD's log")?;
    let mut bird = Command::new("bird");
    bird.arg("-f").arg("-c").arg(file("conf")).arg("-s").arg(file("ctl")).current_dir("/");
    bird.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    background::own_session(&mut bird);
    // A child starts in the namespace of the thread that spawns it.
    netns::within(&node.netns, || bird.spawn().map(drop).context("cannot start bird (package bird2)"))
}

fn others<'a>(node: &'a Node, topology: &'a Topology) -> impl Iterator<Item = &'a Node> {
    topology.nodes.iter().filter(|peer| peer.name != node.name)
}

/// The relevant part of what Calico's confd writes: the node's block as a blackhole, a mesh of sessions, and next
/// hops resolved by the kernel's own routes.
fn config(node: &Node, topology: &Topology) -> String {
    let mut text = format!(
        "router id {address};\n\
         protocol device {{ }}\n\
         protocol direct {{ ipv4; interface \"eth0\"; }}\n\
         protocol kernel {{ learn; persist; ipv4 {{ import all; export where source = RTS_BGP || source = RTS_STATIC; }}; }}\n\
         protocol static {{ ipv4; route {block} blackhole; }}\n",
        address = node.address,
        block = node.block(Family::V4),
    );
    for peer in others(node, topology) {
        let _ = write!(
            text,
            "protocol bgp mesh_{name} {{\n  local {local} as {AS};\n  neighbor {remote} as {AS};\n  multihop;\n  \
             connect retry time 1;\n  connect delay time 1;\n  error wait time 1, 2;\n  \
             ipv4 {{ gateway recursive; import all; export where source = RTS_STATIC; next hop self; }};\n}}\n",
            name = peer.name.replace('-', "_"),
            local = node.address,
            remote = peer.address,
        );
    }
    text
}

fn wait_for_routes(name: &str, node: &Node, deadline: Instant) -> Result<()> {
    loop {
        let mut ip = Command::new("ip");
        let output = ip.args(["-n", &node.netns, "route", "show", "proto", "bird"]).output();
        let said = String::from_utf8_lossy(&output.context("cannot start ip")?.stdout).into_owned();
        // The node's own block and those of the other two.
        if said.lines().count() >= 3 {
            return Ok(());
        }
        if Instant::now() > deadline {
            let log = state::folder(name).join(format!("bird-{}.log", node.name));
            let log = fs::read_to_string(log).unwrap_or_default();
            bail!("no routes from BIRD on {}: {said}{log}", node.name);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
