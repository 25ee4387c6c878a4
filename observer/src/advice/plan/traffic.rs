//! The measured traffic as it would be in another mode.

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

/// Traffic with the same encapsulations, scope and family, over the measured interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Current encapsulation.
    pub now: Class,
    /// Encapsulation after the switch.
    pub then: Class,
    /// Scope of its peers.
    pub scope: Scope,
    /// The nodes' addresses are IPv6.
    pub ipv6: bool,
    /// Packets.
    pub packets: u64,
    /// L3 bytes.
    pub l3_bytes: u64,
    /// Overhead bytes now.
    pub overhead_now: u64,
    /// Overhead bytes then.
    pub overhead_then: u64,
    /// Packets in outer fragments, counted by the first one.
    pub fragmented: u64,
}

/// All traffic between nodes' pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// The measured interval.
    pub interval: Duration,
    /// The groups.
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

    /// The encapsulated share of L3 bytes, now and then; `None` without traffic.
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

    /// Packets that tunnels would no longer fragment.
    #[must_use]
    pub fn no_longer_fragmented(&self) -> u64 {
        // Fragments of native packets come from pods and stay.
        let ends = |group: &Group| group.now.is_tunnel() && group.then == Class::None;
        self.sum(|group| if ends(group) { group.fragmented } else { 0 })
    }
}

/// Groups the traffic.
pub(super) fn of(report: &Report, then: &dyn Fn(bool) -> Option<Mode>) -> Traffic {
    let mut groups: BTreeMap<(Class, Class, Scope, bool), Group> = BTreeMap::new();
    for path in &report.paths {
        let (ipv6, now, scope) = (path.id.peer.is_ipv6(), path.id.class, path.scope);
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
    // Unchanged encapsulation keeps its measured overhead, options and inner VLAN tags included.
    group.overhead_then += if group.then == group.now {
        figures.overhead_bytes()
    } else {
        // A tunnel's later fragments are no longer created. Fragments of native packets come from pods, and
        // each gets a header.
        let later = match group.now.is_tunnel() {
            true => figures.get(PathCounter::OuterMiddle) + figures.get(PathCounter::OuterLast),
            false => 0,
        };
        let each = Carriage { class: group.then, over_ipv6: group.ipv6 }.overhead().unwrap_or(0);
        figures.packets().saturating_sub(later) * u64::from(each)
    };
}

/// A peer across subnets, and the overhead that its traffic would not have inside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The peer.
    pub peer: IpAddr,
    /// Its name.
    pub name: String,
    /// The pod blocks routed to it.
    pub blocks: Vec<Prefix>,
    /// Overhead bytes over the interval.
    pub overhead_bytes: u64,
    /// L3 bytes over the interval.
    pub l3_bytes: u64,
}

/// Peers whose traffic is encapsulated and across subnets, the one with the most overhead first.
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
