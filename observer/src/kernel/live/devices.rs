//! The watched devices: their slots in the maps, and their hooks.

use std::collections::BTreeSet;

use observer_common::kind::Direction;

use super::errors::{Errors, Subject};
use super::persist::Persistence;
use crate::kernel::attach::Hooks;
use crate::kernel::error::KernelError;
use crate::kernel::facts::facts;
use crate::kernel::load::Programs;
use crate::kernel::options::{HookPoint, Ingress, Options};
use crate::kernel::registry::{Registry, Slot};
use crate::kernel::tables::Tables;
use crate::snapshot::Hook;
use crate::topology::{Block, Peer, Role, Topology, Watched, convert};

/// The programs, their maps and hooks, and what is known about them.
pub(super) struct Devices {
    pub(super) options: Options,
    pub(super) programs: Programs,
    pub(super) tables: Tables,
    pub(super) hooks: Hooks,
    pub(super) registry: Registry,
    /// The registry has changed since it was saved.
    pub(super) unsaved: bool,
}

impl Devices {
    /// Makes maps and hooks match a topology. Errors are recorded; if `strict`, the first one is returned.
    pub(super) async fn apply(
        &mut self,
        topology: Topology,
        strict: bool,
        persistence: &Persistence,
        errors: &mut Errors,
    ) -> Result<(), KernelError> {
        self.set_peers(&topology, strict, persistence, errors)?;
        let config = topology.config();
        if strict || config != self.registry.topology.config() {
            self.tables.set_config(&config)?;
        }
        let present: BTreeSet<&str> = topology.watched.iter().map(|w| w.device.name.as_str()).collect();
        let slots = self.registry.slots.iter();
        let gone = slots.filter(|(name, slot)| slot.present && !present.contains(name.as_str()));
        for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.release(&name)?;
        }
        for watched in &topology.watched {
            let result = self.watch(watched, &topology, persistence).await;
            if strict {
                result?;
            } else {
                errors.record(Subject::Device(watched.device.name.clone()), result);
            }
        }
        // Devices that were already gone at the start are not lost either.
        self.registry.slots.values_mut().filter(|slot| !slot.present).for_each(Slot::gone);
        self.registry.routing = topology.routing();
        self.registry.known = self.tables.known();
        self.registry.topology = topology;
        self.unsaved = true;
        Ok(())
    }

    /// Enters peers and blocks, if they have changed.
    fn set_peers(
        &mut self,
        topology: &Topology,
        strict: bool,
        persistence: &Persistence,
        errors: &mut Errors,
    ) -> Result<(), KernelError> {
        let known = &self.registry.topology;
        if !strict && topology.peers == known.peers && topology.blocks == known.blocks {
            return Ok(());
        }
        persistence.save_moving(&self.registry, &self.options, topology)?;
        let peers = topology.peers.iter().map(Peer::entry).collect();
        let blocks = topology.blocks.iter().map(Block::entry).collect();
        let result = self.tables.set_peers(&peers, &blocks);
        if strict {
            result?;
        } else if !errors.record(Subject::Tables, result) {
            return Ok(());
        }
        self.assign(topology)
    }

    /// Attributes native paths to the nodes their blocks are on now.
    fn assign(&mut self, topology: &Topology) -> Result<(), KernelError> {
        let homes = topology.blocks.iter().map(|block| (convert::block_key(block), block.peer)).collect();
        let raw = self.tables.paths()?;
        let names = self.registry.names();
        let gone = self.registry.attribution.assign(homes, &raw, &names);
        self.tables.remove_paths(&gone)
    }

    /// Stops watching a device that is gone; its totals remain.
    fn release(&mut self, name: &str) -> Result<(), KernelError> {
        let Some(slot) = self.registry.slots.get(name) else { return Ok(()) };
        let ifindex = slot.watched.device.ifindex;
        for point in HookPoint::both(&slot.watched.device) {
            self.hooks.detach(self.options.purpose, &point);
            self.lost(&point);
        }
        if let Some(slot) = self.registry.slots.get_mut(name) {
            slot.present = false;
            slot.gone();
        }
        self.tables.remove_device(ifindex)
    }

    /// Starts watching a device, or updates its facts.
    async fn watch(
        &mut self,
        watched: &Watched,
        topology: &Topology,
        persistence: &Persistence,
    ) -> Result<(), KernelError> {
        let name = &watched.device.name;
        let known = self.registry.slots.get(name);
        let is_new = known.is_none();
        if known.is_some_and(|slot| slot.present && slot.watched.device.ifindex != watched.device.ifindex) {
            self.release(name)?;
        }
        let index = self.slot_of(watched)?;
        if is_new {
            // The slot must be known before anything is counted in it.
            persistence.save(&self.registry, &self.options)?;
        }
        let underlay = topology.watched.iter().find(|w| Some(w.device.ifindex) == watched.underlay);
        let underlay_slot = underlay.map_or(Ok(index), |underlay| self.slot_of(underlay))?;
        self.tables.set_device(&facts(watched, index, underlay_slot))?;
        for point in HookPoint::both(&watched.device) {
            if !self.hooks.points(self.options.purpose).any(|hooked| *hooked == point) {
                self.attach(&point, watched).await?;
            }
        }
        if let Some(slot) = self.registry.slots.get_mut(name) {
            slot.present = true;
            slot.watched = watched.clone();
        }
        Ok(())
    }

    async fn attach(&mut self, point: &HookPoint, watched: &Watched) -> Result<(), KernelError> {
        let Options { purpose, ingress, .. } = self.options;
        let ingress = if watched.role == Role::Underlay { ingress } else { Ingress::Tc };
        let ebpf = &mut self.programs.ebpf;
        let hook = self.hooks.attach(ebpf, purpose, point, ingress, watched.device.mtu).await?;
        if let Some(slot) = self.registry.slots.get_mut(&point.device) {
            slot.hooks[point.direction as usize] = hook;
            self.unsaved = true;
        }
        Ok(())
    }

    /// The slot of a device: by name, so that a recreated device continues its counts.
    fn slot_of(&mut self, watched: &Watched) -> Result<u16, KernelError> {
        if let Some(slot) = self.registry.slots.get(&watched.device.name) {
            return Ok(slot.index);
        }
        let index = self.registry.slots.len();
        if index >= self.registry.capacities.slots as usize {
            return Err(KernelError::new(
                "watch",
                &watched.device.name,
                format!("all {index} device slots are in use, including those of removed devices"),
                "raise --max-devices",
            ));
        }
        let index = u16::try_from(index).unwrap_or(u16::MAX);
        let slot =
            Slot { index, watched: watched.clone(), present: false, hooks: [Hook::None; 2], losses: [0; 2] };
        self.registry.slots.insert(watched.device.name.clone(), slot);
        Ok(index)
    }

    /// Checks every hook and re-attaches lost ones.
    pub(super) async fn verify(&mut self) {
        let purpose = self.options.purpose;
        let present = self.registry.slots.values().filter(|slot| slot.present);
        for watched in present.map(|slot| slot.watched.clone()).collect::<Vec<_>>() {
            for point in HookPoint::both(&watched.device) {
                match self.hooks.verify(&mut self.programs.ebpf, purpose, &point).await {
                    Ok(true) => continue,
                    Ok(false) => log::warn!("lost the hook on {} {}", point.device, point.direction.label()),
                    // The query failed, which does not mean that the hook is lost.
                    Err(error) => {
                        log::debug!("{error}");
                        continue;
                    }
                }
                self.hooks.detach(purpose, &point);
                self.lost(&point);
                if let Err(error) = self.attach(&point, &watched).await {
                    log::debug!("{error}");
                }
            }
        }
    }

    /// Counts a loss, once. A hook that is re-attached before the next reading must still be reported.
    fn lost(&mut self, point: &HookPoint) {
        if let Some(slot) = self.registry.slots.get_mut(&point.device)
            && slot.hooks[point.direction as usize] != Hook::Lost
        {
            slot.hooks[point.direction as usize] = Hook::Lost;
            slot.losses[point.direction as usize] += 1;
            self.unsaved = true;
        }
    }

    /// Descriptions of hooks that are lost now.
    pub(super) fn lost_hooks(&self) -> impl Iterator<Item = String> {
        self.registry.slots.iter().flat_map(|(name, slot)| {
            let lost = Direction::ALL.into_iter().filter(|d| slot.hooks[*d as usize] == Hook::Lost);
            lost.map(move |direction| format!("the hook on {name} {} is lost", direction.label()))
        })
    }

    /// Removes every hook and restores the devices.
    pub(super) async fn stop(&mut self) {
        self.hooks.detach_all().await;
        self.registry.slots.values_mut().for_each(Slot::lost);
    }
}
