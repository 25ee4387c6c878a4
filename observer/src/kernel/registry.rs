//! What is needed to interpret the maps: which device has which slot, which node a pod block is on, and when
//! counting began.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use observer_common::counters::EVENTS;
use observer_common::kind::{Class, Direction};
use serde::{Deserialize, Serialize};

use super::block_attribution::{BlockAttribution, Names, tunnel_id};
use super::error::KernelError;
use super::options::Capacities;
use super::sys;
use super::tables::Tables;
use crate::snapshot::{
    Device, Fill, Hook, Path, PathId, Routing, Snapshot, Totals, Tunnel, UnknownPeer, Vni,
};
use crate::topology::{Role, Scope, Topology, Watched};

/// A device that is watched, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::kernel) struct Slot {
    pub(in crate::kernel) index: u16,
    /// The device, as last seen.
    pub(in crate::kernel) watched: Watched,
    /// It exists now.
    pub(in crate::kernel) present: bool,
    pub(in crate::kernel) hooks: [Hook; 2],
    /// How often each hook was lost.
    pub(in crate::kernel) losses: [u64; 2],
}

impl Slot {
    /// Its hooks are not attached any more.
    pub(in crate::kernel) fn lost(&mut self) {
        for hook in self.hooks.iter_mut().filter(|hook| !matches!(hook, Hook::None | Hook::Gone)) {
            *hook = Hook::Lost;
        }
    }

    /// The device is gone or down. That is not a loss: no packets pass it.
    pub(in crate::kernel) fn gone(&mut self) {
        for hook in self.hooks.iter_mut().filter(|hook| **hook != Hook::None) {
            *hook = Hook::Gone;
        }
    }
}

/// The registry.
#[derive(Debug)]
pub(in crate::kernel) struct Registry {
    /// By name, so that a recreated device continues its counts.
    pub(in crate::kernel) slots: BTreeMap<String, Slot>,
    pub(in crate::kernel) attribution: BlockAttribution,
    pub(in crate::kernel) topology: Topology,
    pub(in crate::kernel) routing: Vec<Routing>,
    pub(in crate::kernel) size_bounds: Vec<u32>,
    pub(in crate::kernel) capacities: Capacities,
    /// When counting began, on the clock of [`sys::boottime`].
    pub(in crate::kernel) since: Duration,
    /// Total time without counting since then.
    pub(in crate::kernel) unwatched: Duration,
    /// Number of interruptions.
    pub(in crate::kernel) gaps: u64,
    /// Number of peers and blocks in the maps.
    pub(in crate::kernel) known: (usize, usize),
    pub(in crate::kernel) node: String,
}

impl Registry {
    /// An empty registry.
    pub(in crate::kernel) fn new(capacities: Capacities, size_bounds: Vec<u32>) -> Self {
        Self {
            slots: BTreeMap::new(),
            attribution: BlockAttribution::default(),
            topology: Topology::default(),
            routing: Vec::new(),
            size_bounds,
            capacities,
            since: sys::boottime(),
            unwatched: Duration::ZERO,
            gaps: 0,
            known: (0, 0),
            node: sys::node_name(),
        }
    }

    /// All counters now, with these notes.
    pub(in crate::kernel) fn snapshot(
        &self,
        tables: &Tables,
        notes: impl IntoIterator<Item = String>,
    ) -> Result<Snapshot, KernelError> {
        let taken = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let counting = sys::boottime().saturating_sub(self.since);
        let names = self.names();
        let raw = tables.paths()?;
        let mut all_notes = self.topology.notes.clone();
        all_notes.extend(self.gap_note());
        all_notes.extend(notes);
        let paths = self.attribution.paths(&raw, &names).into_iter();
        Ok(Snapshot {
            taken,
            counting,
            node: self.node.clone(),
            origin: format!("Linux {}", sys::release()),
            devices: self.devices(tables)?,
            fill: Fill {
                paths: raw.len() as u64,
                paths_capacity: u64::from(self.capacities.paths),
                peers: self.known.0 as u64,
                peers_capacity: u64::from(self.capacities.peers),
                blocks: self.known.1 as u64,
                blocks_capacity: u64::from(self.capacities.blocks),
            },
            paths: paths.map(|(id, counters)| Path { scope: self.scope(&id), id, counters }).collect(),
            unknown_peers: unknown_peers(tables, &names)?,
            routing: self.routing.clone(),
            programs: Vec::new(),
            cost: None,
            size_bounds: self.size_bounds.clone(),
            notes: all_notes,
        })
    }

    /// The note on interruptions of counting.
    fn gap_note(&self) -> Option<String> {
        (self.gaps != 0).then(|| {
            format!(
                "counting was interrupted for {:.1} s in total since it began ({} gap{}): totals lack those packets",
                self.unwatched.as_secs_f64(),
                self.gaps,
                if self.gaps == 1 { "" } else { "s" }
            )
        })
    }

    pub(in crate::kernel) fn names(&self) -> Names {
        self.slots.iter().map(|(name, slot)| (slot.index, name.as_str().into())).collect()
    }

    fn scope(&self, id: &PathId) -> Scope {
        match self.slots.get(&*id.device) {
            Some(slot) => self.topology.scope(slot.watched.device.ifindex, id.peer),
            None => Scope::Unknown,
        }
    }

    fn devices(&self, tables: &Tables) -> Result<Vec<Device>, KernelError> {
        let mut order: Vec<(&String, &Slot)> = self.slots.iter().collect();
        order.sort_by_key(|(name, slot)| (slot.watched.role, name.as_str()));
        let mut devices = Vec::new();
        for (name, slot) in order {
            let mut totals = Vec::new();
            let mut events = [[0; EVENTS]; 2];
            for direction in Direction::ALL {
                events[direction as usize] = tables.events(slot.index, direction)?.0;
                for class in Class::ALL {
                    let sum = tables.totals(slot.index, direction, class)?;
                    if sum.counters.iter().any(|counter| *counter != 0) {
                        totals.push(Totals { direction, class, counters: sum.counters, sizes: sum.sizes });
                    }
                }
            }
            let watched = &slot.watched;
            devices.push(Device {
                name: name.clone(),
                kind: watched.device.kind.label().to_owned(),
                role: watched.role,
                mtu: watched.device.mtu,
                tunnel: (watched.role == Role::Tunnel).then_some(Tunnel {
                    class: watched.class,
                    overhead: watched.overhead,
                    underlay_mtu: watched.underlay_mtu,
                    vni: watched.vni,
                }),
                hooks: slot.hooks,
                losses: slot.losses,
                totals,
                events,
            });
        }
        Ok(devices)
    }
}

fn unknown_peers(tables: &Tables, names: &Names) -> Result<Vec<UnknownPeer>, KernelError> {
    let named = tables.unknown_peers()?.into_iter().filter_map(|peer| {
        let mut id = tunnel_id(&peer.key, names)?;
        id.vni =
            if matches!(id.class, Class::Vxlan | Class::Geneve) { Vni::Own(peer.key.vni) } else { Vni::None };
        Some(UnknownPeer { id, packets: peer.packets, wire_bytes: peer.wire_bytes })
    });
    Ok(named.collect())
}
