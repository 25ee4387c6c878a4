//! What has to be true before a switch, and its steps with the check after each.

use observer_common::kind::Class;

use super::super::View;
use super::super::rules::pool_patch;
use super::{NewMtu, carried};
use crate::model::Mode;
use crate::topology::Scope;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub what: String,
    /// Its commands, exactly.
    pub commands: Vec<String>,
    /// What tells that it has worked.
    pub check: String,
}

/// Peers that would be native and are not, and what they need first.
pub fn reach(view: &View<'_>, then: &dyn Fn(bool) -> Option<Mode>) -> Vec<String> {
    let mut lines = Vec::new();
    for peer in &view.peers {
        let Some(mode) = then(peer.address.is_ipv6()) else { continue };
        let Some(now) = peer.route().filter(|class| class.is_tunnel()) else { continue };
        if carried(mode, now, peer.scope) != Class::None {
            continue;
        }
        let name = view.facts.peer_name(peer.address);
        lines.push(match (peer.scope, mode) {
            (Scope::SameSubnet, Mode::CrossSubnet(Class::Vxlan)) => {
                format!(
                    "{name}, same-subnet: Felix writes its route; the network between must let pods' addresses pass"
                )
            }
            (Scope::SameSubnet, _) => {
                format!(
                    "{name}, same-subnet: a BGP session with it, or Felix's own routes (clusterRoutingMode)"
                )
            }
            _ => format!(
                "{name}, {}: a BGP session, and routers between that know the blocks",
                peer.scope.label()
            ),
        });
    }
    lines
}

type ModeChange = (bool, Option<Mode>, Option<Mode>);

/// The steps of a switch.
pub(super) fn of(view: &View<'_>, modes: &[ModeChange], mtus: &[NewMtu], reach: &[String]) -> Vec<Step> {
    // What was of interest before is after it too.
    let cost = view.facts.observed.as_ref().is_some_and(|report| report.cost.is_some());
    let record = |when: &str| {
        format!(
            "sudo observer record --for 60s{} -o {when}-$(hostname).json",
            if cost { " --cost" } else { "" }
        )
    };
    let changing: Vec<&ModeChange> = modes.iter().filter(|(_, now, then)| now != then).collect();
    if changing.is_empty() && mtus.iter().all(|mtu| mtu.now == Some(mtu.then)) {
        return Vec::new();
    }
    let mut steps = vec![Step {
        what: "keep what it is now, on every node".to_owned(),
        commands: vec![record("before")],
        check: "the file is there".to_owned(),
    }];
    let needs_bgp = reach.iter().any(|line| line.contains("BGP"));
    if needs_bgp {
        steps.push(Step {
            what: "make pods reachable without a tunnel".to_owned(),
            commands: vec![
                "kubectl -n calico-system exec ds/calico-node -c calico-node -- birdcl show protocols"
                    .to_owned(),
                "kubectl -n calico-system exec ds/calico-node -c calico-node -- birdcl show route".to_owned(),
            ],
            check: "every peer is Established, and every block has a route on every node".to_owned(),
        });
    }
    let grows = |mtu: &&NewMtu| mtu.command.is_some() && mtu.now.is_some_and(|now| mtu.then > now);
    let set: Vec<String> =
        mtus.iter().filter(|mtu| !grows(mtu)).filter_map(|mtu| mtu.command.clone()).collect();
    if !set.is_empty() {
        steps.push(Step {
            what: "make MTUs smaller that have to be, before anything is encapsulated more".to_owned(),
            commands: set,
            check: "observer doctor: no tunnel-mtu-high".to_owned(),
        });
    }
    for (ipv6, _, then) in &changing {
        steps.extend(then.and_then(|mode| switch(view, *ipv6, mode)));
    }
    steps.push(every_node(view, modes));
    let larger: Vec<String> = mtus.iter().filter(grows).filter_map(|mtu| mtu.command.clone()).collect();
    if !larger.is_empty() {
        steps.push(Step {
            what: "make MTUs larger that may be".to_owned(),
            commands: larger,
            check: "observer doctor: no tunnel-mtu-high and no tunnel-mtu-low".to_owned(),
        });
    }
    if mtus.iter().any(|mtu| mtu.what.ends_with("pods") && mtu.now != Some(mtu.then)) {
        steps.push(Step {
            what: "make pods anew, node by node, so that they get the new MTU".to_owned(),
            commands: vec![
                "kubectl drain NODE --ignore-daemonsets --delete-emptydir-data".to_owned(),
                "kubectl uncordon NODE".to_owned(),
            ],
            check: "observer doctor on that node: no pod-mtu-high and no pod-mtu-low".to_owned(),
        });
    }
    steps.push(Step {
        what: "hold it against what it was".to_owned(),
        commands: vec![
            record("after"),
            "observer compare before-$(hostname).json after-$(hostname).json".to_owned(),
        ],
        check: "the verdicts".to_owned(),
    });
    steps
}

/// The switch itself: the pools of a family.
fn switch(view: &View<'_>, ipv6: bool, mode: Mode) -> Option<Step> {
    let patch = pool_patch(mode)?;
    let mut pools: Vec<String> = view
        .facts
        .calico
        .iter()
        .flat_map(|calico| calico.pools_of(ipv6))
        .map(|pool| pool.name.clone())
        .collect();
    if pools.is_empty() {
        pools.push(if ipv6 { "default-ipv6-ippool" } else { "default-ipv4-ippool" }.to_owned());
    }
    let family = if ipv6 { "IPv6" } else { "IPv4" };
    Some(Step {
        what: format!("switch {family} to {}: all nodes follow within seconds", mode.label()),
        commands: pools
            .iter()
            .map(|pool| format!("kubectl patch ippool {pool} --type merge -p '{patch}'"))
            .collect(),
        check: "kubectl -n calico-system get pods -l k8s-app=calico-node: all are ready".to_owned(),
    })
}

/// The check of each node.
fn every_node(view: &View<'_>, modes: &[ModeChange]) -> Step {
    let label = |mode: &Option<Mode>| mode.map_or_else(|| "none".to_owned(), Mode::label);
    let labels: Vec<String> = modes
        .iter()
        .map(|(ipv6, _, then)| format!("{} {}", if *ipv6 { "IPv6" } else { "IPv4" }, label(then)))
        .collect();
    let known: Vec<String> =
        view.facts.calico.iter().flat_map(|calico| &calico.nodes).map(|node| node.name.clone()).collect();
    let mut nodes = if known.is_empty() {
        let near =
            view.peers.iter().filter(|peer| !view.facts.topology.routers.iter().any(|r| r.1 == peer.address));
        let mut list = vec![view.facts.name().to_owned()];
        list.extend(near.filter(|peer| peer.address.is_ipv4()).map(|peer| peer.address.to_string()));
        list
    } else {
        known
    };
    const SHOWN: usize = 8;
    let more = nodes.len().saturating_sub(SHOWN);
    nodes.truncate(SHOWN);
    let mut commands: Vec<String> =
        nodes.iter().map(|node| format!("ssh {node} sudo observer doctor --for 10s")).collect();
    if more != 0 {
        commands.push(format!("… and the same on {more} more"));
    }
    Step {
        what: "look at every node, one after the other".to_owned(),
        commands,
        check: format!(
            "routes and wire both say {}; no asymmetric, stale-route, block-without-route",
            labels.join(", ")
        ),
    }
}
