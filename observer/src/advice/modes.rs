//! The mode of each address family: by routes, as observed, and as declared.

use std::collections::BTreeMap;

use observer_common::counters::PathCounter;
use observer_common::kind::{Class, Direction};

use super::{Facts, family};
use crate::model::{Mode, Report};
use crate::topology::{Routing, Scope};

/// Fewer packets on a path do not determine a mode.
pub const ENOUGH: u64 = 5;

/// The mode of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeView {
    /// IPv6, else IPv4.
    pub ipv6: bool,
    /// By the routes to pod blocks of other nodes; `None` if there are none.
    pub routes: Option<Mode>,
    /// By the packets that the node sends; `None` if nothing was measured or sent.
    pub observed: Option<Mode>,
    /// By the IP pools; `None` if none is known.
    pub declared: Option<Mode>,
    /// The evidence for the three, one sentence each.
    pub evidence: Vec<String>,
}

impl ModeView {
    /// The family's name.
    #[must_use]
    pub const fn family(&self) -> &'static str {
        family(self.ipv6)
    }
}

/// The modes of the families that have one.
pub(super) fn of(facts: &Facts) -> Vec<ModeView> {
    let routing = facts.topology.routing();
    let sent = facts.observed.as_ref().map(sent).unwrap_or_default();
    [false, true]
        .into_iter()
        .filter_map(|ipv6| {
            let view = ModeView {
                ipv6,
                routes: Mode::of(&routing, ipv6),
                observed: Mode::of(&sent, ipv6),
                declared: facts.calico.as_ref().and_then(|calico| calico.mode(ipv6)),
                evidence: evidence(facts, &routing, &sent, ipv6),
            };
            (view.routes.is_some() || view.declared.is_some()).then_some(view)
        })
        .collect()
}

/// What a node sent to other nodes, counting packets as blocks, so that [`Mode::of`] applies the same rule.
fn sent(report: &Report) -> Vec<Routing> {
    let mut ways: BTreeMap<(bool, Class, Scope), (u64, u64)> = BTreeMap::new();
    for path in report.paths.iter().filter(|path| path.id.direction == Direction::Egress) {
        let packets = path.figures.get(PathCounter::Packets);
        if packets >= ENOUGH {
            let way = ways.entry((path.id.peer.is_ipv6(), path.id.class, path.scope)).or_default();
            *way = (way.0 + packets, way.1 + 1);
        }
    }
    ways.into_iter()
        .map(|((ipv6, class, scope), (blocks, peers))| Routing { ipv6, class, scope, blocks, peers })
        .collect()
}

fn evidence(facts: &Facts, routing: &[Routing], sent: &[Routing], ipv6: bool) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(ways("routes", routing, "block", ipv6));
    lines.extend(ways("observed", sent, "packet", ipv6));
    if let Some(calico) = &facts.calico {
        lines.extend(calico.pools_of(ipv6).map(|pool| format!("declared: {}", pool.describe())));
    }
    lines
}

/// Ways as one sentence; `None` if there are none.
fn ways(source: &str, ways: &[Routing], noun: &str, ipv6: bool) -> Option<String> {
    let labels: Vec<String> = ways
        .iter()
        .filter(|way| way.ipv6 == ipv6)
        .map(|way| {
            let (things, hops) = (plural(way.blocks, noun), plural(way.peers, "next hop"));
            format!("{} {} ({things}, {hops})", way.scope.label(), way.class.label())
        })
        .collect();
    (!labels.is_empty()).then(|| format!("{source}: {}", labels.join(", ")))
}

/// A number and its noun.
pub(super) fn plural(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
