//! Each peer node: how its pod blocks are routed, and how packets really go there and come from there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use observer_common::counters::PathCounter;
use observer_common::kind::{Class, Direction};

use super::Facts;
use super::modes::ENOUGH;
use crate::calico::Prefix;
use crate::topology::Scope;

/// What was seen of a peer in one direction: packets by class, those with most first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed(pub Vec<(Class, u64)>);

impl Observed {
    /// All packets.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.0.iter().map(|(_, packets)| packets).sum()
    }

    /// How most packets go; `None` where too few went to tell.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.0.first().filter(|_| self.packets() >= ENOUGH).map(|(class, _)| *class)
    }

    /// For people: `vxlan`, `vxlan, none 3 %`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share is shown without digits")]
    pub fn describe(&self) -> String {
        let all = self.packets().max(1) as f64;
        let word = |(nth, (class, packets)): (usize, &(Class, u64))| match nth {
            0 => class.label().to_owned(),
            _ => format!("{} {:.0} %", class.label(), *packets as f64 / all * 100.0),
        };
        let labels: Vec<String> = self.0.iter().enumerate().map(word).collect();
        labels.join(", ")
    }
}

/// One peer: a node, or, for native blocks across subnets, the router towards them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Its address on the underlay.
    pub address: IpAddr,
    /// Where it is.
    pub scope: Scope,
    /// The blocks that are routed to it.
    pub blocks: Vec<Prefix>,
    /// How they are routed; more than one class where routes differ.
    pub routed: Vec<Class>,
    /// How they should be by the pools; empty where none is known.
    pub declared: Vec<Class>,
    /// What was sent to it; `None` where nothing was measured.
    pub egress: Option<Observed>,
    /// What came from it.
    pub ingress: Option<Observed>,
}

impl PeerView {
    /// The one class that all its routes have.
    #[must_use]
    pub fn route(&self) -> Option<Class> {
        match self.routed.as_slice() {
            [class] => Some(*class),
            _ => None,
        }
    }
}

/// The peers, by address.
pub(super) fn of(facts: &Facts) -> Vec<PeerView> {
    let mut peers: BTreeMap<IpAddr, PeerView> = BTreeMap::new();
    let measured = facts.observed.is_some();
    let fresh = |address: IpAddr| PeerView {
        address,
        scope: facts.scope_of(address),
        blocks: Vec::new(),
        routed: Vec::new(),
        declared: Vec::new(),
        egress: measured.then(Observed::default),
        ingress: measured.then(Observed::default),
    };
    for block in &facts.topology.blocks {
        let peer = peers.entry(block.peer).or_insert_with(|| fresh(block.peer));
        peer.blocks.push((block.address, block.prefix_len));
        insert(&mut peer.routed, block.class);
        if let Some((class, _)) = facts.declared_class(block) {
            insert(&mut peer.declared, class);
        }
    }
    for path in facts.observed.iter().flat_map(|report| &report.paths) {
        let packets = path.figures.get(PathCounter::Packets);
        if packets == 0 {
            continue;
        }
        let peer = peers.entry(path.id.peer).or_insert_with(|| fresh(path.id.peer));
        let side = match path.id.direction {
            Direction::Egress => &mut peer.egress,
            Direction::Ingress => &mut peer.ingress,
        };
        if let Some(Observed(classes)) = side {
            match classes.iter_mut().find(|(class, _)| *class == path.id.class) {
                Some((_, sum)) => *sum += packets,
                None => classes.push((path.id.class, packets)),
            }
            classes.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
        }
    }
    peers.into_values().collect()
}

fn insert(classes: &mut Vec<Class>, class: Class) {
    let set: BTreeSet<Class> = classes.iter().copied().chain([class]).collect();
    *classes = set.into_iter().collect();
}
