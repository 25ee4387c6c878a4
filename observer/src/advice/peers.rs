//! Peer nodes: how their pod blocks are routed, and the encapsulation of observed packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use observer_common::counters::PathCounter;
use observer_common::kind::{Class, Direction};

use super::Facts;
use super::modes::ENOUGH;
use crate::calico::Prefix;
use crate::topology::Scope;

/// Packets to or from a peer by encapsulation, the largest number first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed(pub Vec<(Class, u64)>);

impl Observed {
    /// The number of packets.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.0.iter().map(|(_, packets)| packets).sum()
    }

    /// The most frequent encapsulation; `None` for too few packets.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.0.first().filter(|_| self.packets() >= ENOUGH).map(|(class, _)| *class)
    }

    /// As text: `vxlan`, or `vxlan, none 3 %`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rounded share")]
    pub fn describe(&self) -> String {
        let all = self.packets().max(1) as f64;
        let label = |(nth, (class, packets)): (usize, &(Class, u64))| match nth {
            0 => class.label().to_owned(),
            _ => format!("{} {:.0} %", class.label(), *packets as f64 / all * 100.0),
        };
        let labels: Vec<String> = self.0.iter().enumerate().map(label).collect();
        labels.join(", ")
    }
}

/// A peer: a node, or the router to native blocks across subnets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Its address on the underlay.
    pub address: IpAddr,
    /// Its scope.
    pub scope: Scope,
    /// The blocks routed to it.
    pub blocks: Vec<Prefix>,
    /// The encapsulations of their routes.
    pub routed: Vec<Class>,
    /// The declared encapsulations; empty if unknown.
    pub declared: Vec<Class>,
    /// Packets sent to it; `None` if nothing was measured.
    pub egress: Option<Observed>,
    /// Packets received from it.
    pub ingress: Option<Observed>,
}

impl PeerView {
    /// The encapsulation of all its routes; `None` if they differ.
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
        scope: facts.topology.scope_of(address),
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
