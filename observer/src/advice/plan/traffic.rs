//! What the measured traffic would cost in another mode.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use observer_common::counters::PathCounter;
use observer_common::kind::Class;

use super::super::View;
use super::carried_then;
use crate::calico::Prefix;
use crate::model::whatif::Carriage;
use crate::model::{Mode, PathFigures, Report};
use crate::topology::Scope;

/// Traffic of one kind, over the measured interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How it is carried now.
    pub now: Class,
    /// How it would be.
    pub then: Class,
    /// Where its peers are.
    pub scope: Scope,
    /// IPv6 between the nodes.
    pub ipv6: bool,
    /// Packets.
    pub packets: u64,
    /// L3 bytes.
    pub l3_bytes: u64,
    /// Overhead bytes now.
    pub overhead_now: u64,
    /// Overhead bytes then.
    pub overhead_then: u64,
    /// Packets that are sent or come as outer fragments, by their first one.
    pub fragmented: u64,
}

/// All traffic between nodes' pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// What it was measured over.
    pub interval: Duration,
    /// By kind.
    pub groups: Vec<Group>,
}

impl Traffic {
    fn sum(&self, value: impl Fn(&Group) -> u64) -> u64 {
        self.groups.iter().map(value).sum()
    }

    /// Overhead bytes now and then.
    #[must_use]
    pub fn overhead(&self) -> (u64, u64) {
        (self.sum(|group| group.overhead_now), self.sum(|group| group.overhead_then))
    }

    /// L3 bytes now and then.
    #[must_use]
    pub fn l3_bytes(&self) -> (u64, u64) {
        let now = self.sum(|group| group.l3_bytes);
        let (before, after) = self.overhead();
        (now, now.saturating_sub(before) + after)
    }

    /// The share of L3 bytes that is encapsulated, now and then; `None` where there was no traffic.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
    pub fn encapsulated(&self) -> Option<(f64, f64)> {
        let (now, then) = self.l3_bytes();
        let tunnelled = self.sum(|group| if group.now.is_tunnel() { group.l3_bytes } else { 0 });
        let after = self.sum(|group| match group.then.is_tunnel() {
            true => group.l3_bytes.saturating_sub(group.overhead_now) + group.overhead_then,
            false => 0,
        });
        (now != 0 && then != 0).then(|| (tunnelled as f64 / now as f64, after as f64 / then as f64))
    }

    /// Packets that tunnels would no longer have to carry in fragments.
    #[must_use]
    pub fn no_longer_fragmented(&self) -> u64 {
        // Fragments of native packets are the pods' own, and stay.
        let ends = |group: &Group| group.now.is_tunnel() && group.then == Class::None;
        self.sum(|group| if ends(group) { group.fragmented } else { 0 })
    }
}

/// The traffic by kind.
pub(super) fn of(report: &Report, then: &dyn Fn(bool) -> Option<Mode>) -> Traffic {
    let mut groups: BTreeMap<(Class, Class, Scope, bool), Group> = BTreeMap::new();
    for path in &report.paths {
        let (ipv6, now) = (path.id.peer.is_ipv6(), path.id.class);
        let scope = path.scope;
        let after = carried_then(then, ipv6, now, scope);
        let group = groups.entry((now, after, scope, ipv6)).or_insert(Group {
            now,
            then: after,
            scope,
            ipv6,
            packets: 0,
            l3_bytes: 0,
            overhead_now: 0,
            overhead_then: 0,
            fragmented: 0,
        });
        add(group, &path.figures);
    }
    Traffic { interval: report.interval, groups: groups.into_values().collect() }
}

fn add(group: &mut Group, figures: &PathFigures) {
    group.packets += figures.packets();
    group.l3_bytes += figures.get(PathCounter::L3Bytes);
    group.overhead_now += figures.overhead_bytes();
    group.fragmented += figures.get(PathCounter::OuterFirst);
    // What stays as it is keeps what was measured, options and inner VLAN tags included.
    group.overhead_then += if group.then == group.now {
        figures.overhead_bytes()
    } else {
        // A tunnel's later fragments are no packets of their own once they are not made; those of native
        // packets are the pods' own, and each gets a header.
        let later = match group.now.is_tunnel() {
            true => figures.get(PathCounter::OuterMiddle) + figures.get(PathCounter::OuterLast),
            false => 0,
        };
        let each = Carriage { class: group.then, over_ipv6: group.ipv6 }.overhead().unwrap_or(0);
        figures.packets().saturating_sub(later) * u64::from(each)
    };
}

/// A peer across subnets, and what its traffic costs that would cost nothing inside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The peer.
    pub peer: IpAddr,
    /// For people.
    pub name: String,
    /// The pod blocks that are routed to it.
    pub blocks: Vec<Prefix>,
    /// Overhead bytes over the interval.
    pub overhead_bytes: u64,
    /// L3 bytes over the interval.
    pub l3_bytes: u64,
}

/// Peers whose traffic is encapsulated only because they are in another subnet, or would be in
/// CrossSubnet mode: the one with most overhead first.
pub(super) fn placement(view: &View<'_>, report: &Report) -> Vec<Placement> {
    let mut peers: BTreeMap<IpAddr, Placement> = BTreeMap::new();
    let far =
        report.paths.iter().filter(|path| path.scope == Scope::CrossSubnet && path.id.class.is_tunnel());
    for path in far {
        let peer = path.id.peer;
        let place = peers.entry(peer).or_insert_with(|| Placement {
            peer,
            name: view.facts.peer_name(peer),
            blocks: view
                .peers
                .iter()
                .find(|known| known.address == peer)
                .map(|known| known.blocks.clone())
                .unwrap_or_default(),
            overhead_bytes: 0,
            l3_bytes: 0,
        });
        place.overhead_bytes += path.figures.overhead_bytes();
        place.l3_bytes += path.figures.get(PathCounter::L3Bytes);
    }
    let mut list: Vec<Placement> = peers.into_values().filter(|place| place.overhead_bytes != 0).collect();
    list.sort_by_key(|place| std::cmp::Reverse(place.overhead_bytes));
    list
}
