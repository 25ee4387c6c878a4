//! The steps of a switch, each with a check, and what has to be true first.

use observer_common::kind::Class;

use super::super::rules::pool_patch;
use super::super::{View, family};
use super::{NewMtu, carried};
use crate::model::Mode;
use crate::topology::Scope;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does, as an imperative.
    pub what: String,
    /// Its commands.
    pub commands: Vec<String>,
    /// How to check that it has worked.
    pub check: String,
}

impl Step {
    fn new(what: impl Into<String>, commands: Vec<String>, check: impl Into<String>) -> Self {
        Self { what: what.into(), commands, check: check.into() }
    }
}

/// Peers that would become native, and what they need first.
pub fn reach(view: &View<'_>, then: &dyn Fn(bool) -> Option<Mode>) -> Vec<String> {
    let mut lines = Vec::new();
    for peer in &view.peers {
        let Some(mode) = then(peer.address.is_ipv6()) else { continue };
        let Some(now) = peer.route().filter(|class| class.is_tunnel()) else { continue };
        if carried(mode, now, peer.scope) != Class::None {
            continue;
        }
        let need = match (peer.scope, mode) {
            (Scope::SameSubnet, Mode::CrossSubnet(Class::Vxlan)) => {
                "Felix creates the route; the network in between must pass packets with pod addresses"
            }
            (Scope::SameSubnet, _) => "needs a BGP session, or routes created by Felix (clusterRoutingMode)",
            _ => "needs a BGP session, and routers in between with routes to the blocks",
        };
        lines.push(format!("{}, {}: {need}", view.facts.peer_name(peer.address), peer.scope.label()));
    }
    lines
}

type ModeChange = (bool, Option<Mode>, Option<Mode>);

/// The steps of a switch.
pub(super) fn of(view: &View<'_>, modes: &[ModeChange], mtus: &[NewMtu], reach: &[String]) -> Vec<Step> {
    // The cost is recorded before and after if the plan includes it.
    let cost = view.facts.observed.as_ref().is_some_and(|report| report.cost.is_some());
    let cost = if cost { " --cost" } else { "" };
    let record = |when: &str| format!("sudo observer record --for 60s{cost} -o {when}-$(hostname).json");
    let changing: Vec<&ModeChange> = modes.iter().filter(|(_, now, then)| now != then).collect();
    if changing.is_empty() && mtus.iter().all(|mtu| mtu.now == Some(mtu.then)) {
        return Vec::new();
    }
    let mut steps =
        vec![Step::new("record the current state on every node", vec![record("before")], "the file exists")];
    if reach.iter().any(|line| line.contains("BGP")) {
        let birdcl = |arguments: &str| {
            format!("kubectl -n calico-system exec ds/calico-node -c calico-node -- birdcl {arguments}")
        };
        steps.push(Step::new(
            "make pods reachable without a tunnel",
            vec![birdcl("show protocols"), birdcl("show route")],
            "every peer is Established, and every node has a route to every block",
        ));
    }
    let (raised, lowered): (Vec<&NewMtu>, Vec<&NewMtu>) =
        mtus.iter().partition(|mtu| mtu.now.is_some_and(|now| mtu.then > now));
    let commands = |mtus: Vec<&NewMtu>| -> Vec<String> {
        mtus.into_iter().filter_map(|mtu| mtu.command.clone()).collect()
    };
    let (raised, lowered) = (commands(raised), commands(lowered));
    if !lowered.is_empty() {
        steps.push(Step::new(
            "lower MTUs first, before enabling more encapsulation",
            lowered,
            "observer doctor reports no tunnel-mtu-high",
        ));
    }
    for (ipv6, _, then) in &changing {
        steps.extend(then.and_then(|mode| switch(view, *ipv6, mode)));
    }
    steps.push(every_node(view, modes));
    if !raised.is_empty() {
        steps.push(Step::new(
            "raise MTUs",
            raised,
            "observer doctor reports neither tunnel-mtu-high nor tunnel-mtu-low",
        ));
    }
    if mtus.iter().any(|mtu| mtu.is_of_pods() && mtu.now != Some(mtu.then)) {
        steps.push(Step::new(
            "recreate pods node by node, so that they get the new MTU",
            vec![
                "kubectl drain NODE --ignore-daemonsets --delete-emptydir-data".to_owned(),
                "kubectl uncordon NODE".to_owned(),
            ],
            "observer doctor on that node reports neither pod-mtu-high nor pod-mtu-low",
        ));
    }
    steps.push(Step::new(
        "compare with the state before the switch",
        vec![record("after"), "observer compare before-$(hostname).json after-$(hostname).json".to_owned()],
        "read the verdicts",
    ));
    steps
}

/// The switch itself: patches of a family's pools.
fn switch(view: &View<'_>, ipv6: bool, mode: Mode) -> Option<Step> {
    let patch = pool_patch(mode)?;
    let pools = view.facts.calico.iter().flat_map(|calico| calico.pools_of(ipv6));
    let mut pools: Vec<String> = pools.map(|pool| pool.name.clone()).collect();
    if pools.is_empty() {
        pools.push(if ipv6 { "default-ipv6-ippool" } else { "default-ipv4-ippool" }.to_owned());
    }
    Some(Step::new(
        format!("switch {} to {}; all nodes follow within seconds", family(ipv6), mode.label()),
        pools.iter().map(|pool| format!("kubectl patch ippool {pool} --type merge -p '{patch}'")).collect(),
        "all pods are ready in kubectl -n calico-system get pods -l k8s-app=calico-node",
    ))
}

/// The check of each node.
fn every_node(view: &View<'_>, modes: &[ModeChange]) -> Step {
    const SHOWN: usize = 8;
    let label = |(ipv6, _, then): &ModeChange| {
        format!("{} {}", family(*ipv6), then.map_or_else(|| "none".to_owned(), Mode::label))
    };
    let labels: Vec<String> = modes.iter().map(label).collect();
    let facts = view.facts;
    let mut nodes: Vec<String> =
        facts.calico.iter().flat_map(|calico| &calico.nodes).map(|node| node.name.clone()).collect();
    if nodes.is_empty() {
        let is_router = |address| facts.topology.routers.iter().any(|(_, router)| *router == address);
        let peers = view.peers.iter().map(|peer| peer.address);
        nodes.push(facts.name().to_owned());
        nodes.extend(peers.filter(|peer| peer.is_ipv4() && !is_router(*peer)).map(|peer| peer.to_string()));
    }
    let more = nodes.len().saturating_sub(SHOWN);
    nodes.truncate(SHOWN);
    let mut commands: Vec<String> =
        nodes.iter().map(|node| format!("ssh {node} sudo observer doctor --for 10s")).collect();
    if more != 0 {
        commands.push(format!("# and the same on {more} more"));
    }
    Step::new(
        "check every node, one after the other",
        commands,
        format!(
            "routes and observed packets are {}; no asymmetric, stale-route or block-without-route",
            labels.join(", ")
        ),
    )
}
