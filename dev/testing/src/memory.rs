//! The accounting rule's tables in memory, and their contents in a form that can be compared.

use std::collections::BTreeMap;
use std::fmt::Write;

use observer_common::abi::{
    BlockFacts, BlockKey, CLASS_STRIDE, Events, PeerFacts, SIZE_TABLE, Totals, UNKNOWN_PEER_SLOTS,
};
use observer_common::account::Tables;
use observer_common::address::Address;
use observer_common::counters::{Event, Merge, PathCounter, Total};
use observer_common::kind::{Class, Direction};
use observer_common::path::{PathKey, PathStats, UnknownPeer};

use crate::node::Node;

/// Upper bounds of the size classes used in tests. Class n has the sizes up to and including
/// `SIZE_BOUNDS[n]`, the last class all larger ones.
pub const SIZE_BOUNDS: [u32; 15] =
    [64, 128, 576, 1280, 1400, 1420, 1430, 1440, 1450, 1460, 1480, 1500, 8950, 8981, 9000];

/// The size class of an L3 size.
#[must_use]
pub fn size_class(length: u32) -> usize {
    SIZE_BOUNDS.iter().filter(|bound| length > **bound).count()
}

/// The contents of the map `SIZE_CLASS` for these size classes.
#[must_use]
pub fn size_class_table() -> Box<[u8; SIZE_TABLE]> {
    let mut table = Box::new([0; SIZE_TABLE]);
    for (length, class) in table.iter_mut().enumerate() {
        *class = size_class(length as u32) as u8;
    }
    table
}

/// What was counted, without rows of zeros, merged from the tables of all CPUs or hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By [`observer_common::abi::totals_index`].
    pub totals: BTreeMap<u32, Totals>,
    /// By [`observer_common::abi::events_index`].
    pub events: BTreeMap<u32, Events>,
    /// Paths.
    pub paths: BTreeMap<PathKey, PathStats>,
    /// Unknown peers: packets and wire bytes.
    pub unknown_peers: BTreeMap<PathKey, (u64, u64)>,
}

impl Counted {
    /// Merges in the totals of one CPU at an index.
    pub fn add_totals(&mut self, index: u32, totals: &Totals) {
        if *totals == Totals::ZERO {
            return;
        }
        let sum = self.totals.entry(index).or_insert(Totals::ZERO);
        merge(&mut sum.counters, &totals.counters, |i| Total::ALL[i].merge());
        merge(&mut sum.sizes, &totals.sizes, |_| Merge::Sum);
    }

    /// Merges in the events of one CPU at an index.
    pub fn add_events(&mut self, index: u32, events: &Events) {
        if *events != Events::ZERO {
            let sum = self.events.entry(index).or_insert(Events::ZERO);
            merge(&mut sum.0, &events.0, |_| Merge::Sum);
        }
    }

    /// Merges in the counters of a path on one CPU.
    pub fn add_path(&mut self, key: &PathKey, stats: &PathStats) {
        if *stats != PathStats::ZERO {
            let sum = self.paths.entry(*key).or_insert(PathStats::ZERO);
            merge(&mut sum.0, &stats.0, |i| PathCounter::ALL[i].merge());
        }
    }

    /// Merges in the slot of an unknown peer on one CPU.
    pub fn add_unknown_peer(&mut self, unknown_peer: &UnknownPeer) {
        if unknown_peer.packets != 0 {
            let sum = self.unknown_peers.entry(unknown_peer.key).or_default();
            sum.0 += unknown_peer.packets;
            sum.1 += unknown_peer.wire_bytes;
        }
    }

    /// Everything counted twice.
    #[must_use]
    pub fn twice(&self) -> Self {
        let mut sum = self.clone();
        self.totals.iter().for_each(|(index, totals)| sum.add_totals(*index, totals));
        self.events.iter().for_each(|(index, events)| sum.add_events(*index, events));
        self.paths.iter().for_each(|(key, stats)| sum.add_path(key, stats));
        for (key, (packets, wire_bytes)) in &self.unknown_peers {
            sum.add_unknown_peer(&UnknownPeer { key: *key, packets: *packets, wire_bytes: *wire_bytes });
        }
        sum
    }

    /// Differences from `expected`, one line per counter; empty if there are none.
    #[must_use]
    pub fn difference(&self, expected: &Self) -> String {
        let mut lines = String::new();
        let (actual, expected) = (self.figures(), expected.figures());
        for name in actual.keys().chain(expected.keys().filter(|name| !actual.contains_key(*name))) {
            let (got, expected) = (actual.get(name).unwrap_or(&0), expected.get(name).unwrap_or(&0));
            if got != expected {
                // Writing into a string cannot fail.
                let _ = writeln!(lines, "  {name}: {got}, expected {expected}");
            }
        }
        lines
    }

    /// Every figure that is not 0, by a readable name.
    fn figures(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        let mut put = |name: String, value: u64| {
            if value != 0 {
                all.insert(name, value);
            }
        };
        for (index, totals) in &self.totals {
            let row = totals_name(*index);
            for counter in Total::ALL {
                put(format!("{row} {}", counter.label()), totals.counters[counter as usize]);
            }
            for (class, count) in totals.sizes.iter().enumerate() {
                put(format!("{row} size class {class}"), *count);
            }
        }
        for (index, events) in &self.events {
            let direction = direction_name(*index & 1);
            for event in Event::ALL {
                let name = format!("slot {} {direction} event {}", index / 2, event.label());
                put(name, events.0[event as usize]);
            }
        }
        for (key, stats) in &self.paths {
            for counter in PathCounter::ALL {
                put(format!("path {} {}", path_name(key), counter.label()), stats.0[counter as usize]);
            }
        }
        for (key, (packets, bytes)) in &self.unknown_peers {
            put(format!("unknown peer {} packets", path_name(key)), *packets);
            put(format!("unknown peer {} wire_bytes", path_name(key)), *bytes);
        }
        all
    }
}

fn merge(sum: &mut [u64], more: &[u64], how: impl Fn(usize) -> Merge) {
    for (i, (sum, more)) in sum.iter_mut().zip(more).enumerate() {
        how(i).add(sum, *more);
    }
}

fn direction_name(index: u32) -> &'static str {
    Direction::ALL[index as usize & 1].label()
}

fn totals_name(index: u32) -> String {
    let (row, class) = (index / CLASS_STRIDE, (index % CLASS_STRIDE) as u8);
    let class = Class::from_index(class).map_or("?", Class::label);
    format!("slot {} {} {class}", row / 2, direction_name(row & 1))
}

/// A path key in readable form.
#[must_use]
pub fn path_name(key: &PathKey) -> String {
    let peer: std::net::Ipv6Addr = key.peer.octets().into();
    let class = Class::from_index(key.class).map_or("?", Class::label);
    let direction = direction_name(u32::from(key.direction));
    format!("slot {} {direction} {class} vni {:#x} peer {}", key.slot, key.vni, peer.to_canonical())
}

/// The accounting rule's tables in plain collections.
#[derive(Clone, Debug)]
pub struct MemoryTables {
    totals: BTreeMap<u32, Totals>,
    events: BTreeMap<u32, Events>,
    paths: BTreeMap<PathKey, PathStats>,
    unknown_peers: Vec<UnknownPeer>,
    peers: BTreeMap<Address, PeerFacts>,
    blocks: BTreeMap<BlockKey, BlockFacts>,
    max_paths: usize,
}

impl MemoryTables {
    /// Empty tables for a node, with room for `max_paths` paths.
    #[must_use]
    pub fn new(node: &Node, max_paths: usize) -> Self {
        const FREE: UnknownPeer = UnknownPeer { key: PathKey::NOBODY, packets: 0, wire_bytes: 0 };
        Self {
            totals: BTreeMap::new(),
            events: BTreeMap::new(),
            paths: BTreeMap::new(),
            unknown_peers: vec![FREE; UNKNOWN_PEER_SLOTS as usize],
            peers: node.peers.clone(),
            blocks: node.blocks.clone(),
            max_paths,
        }
    }

    /// What was counted.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        self.totals.iter().for_each(|(index, totals)| counted.add_totals(*index, totals));
        self.events.iter().for_each(|(index, events)| counted.add_events(*index, events));
        self.paths.iter().for_each(|(key, stats)| counted.add_path(key, stats));
        self.unknown_peers.iter().for_each(|unknown_peer| counted.add_unknown_peer(unknown_peer));
        counted
    }
}

impl Tables for MemoryTables {
    type Path<'a> = &'a mut PathStats;

    fn totals(&mut self, index: u32) -> Option<&mut Totals> {
        Some(self.totals.entry(index).or_insert(Totals::ZERO))
    }

    fn events(&mut self, index: u32) -> Option<&mut Events> {
        Some(self.events.entry(index).or_insert(Events::ZERO))
    }

    fn path(&mut self, key: &PathKey) -> Option<&mut PathStats> {
        self.paths.get_mut(key)
    }

    fn add_path(&mut self, key: &PathKey) -> Option<&mut PathStats> {
        if self.paths.len() >= self.max_paths {
            return None;
        }
        Some(self.paths.entry(*key).or_insert(PathStats::ZERO))
    }

    fn may_be_peer(&self, address: &Address) -> bool {
        self.peers.contains_key(address)
    }

    fn peer(&self, address: &Address) -> Option<PeerFacts> {
        self.peers.get(address).copied()
    }

    fn block(&self, key: &BlockKey) -> Option<BlockFacts> {
        self.blocks.get(key).copied()
    }

    fn unknown_peer(&mut self, index: u32) -> Option<&mut UnknownPeer> {
        self.unknown_peers.get_mut(index as usize)
    }

    fn size_class(&self, length: u32) -> usize {
        size_class(length)
    }
}
