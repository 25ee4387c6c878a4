//! Saves what outlives the process.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use observer_common::abi::BlockKey;

use crate::kernel::error::KernelError;
use crate::kernel::options::Options;
use crate::kernel::pins::Pins;
use crate::kernel::registry::Registry;
use crate::kernel::state::State;
use crate::kernel::sys;
use crate::topology::{Topology, convert};

/// How often the time is saved up to which packets were counted: the resolution of a gap.
const ALIVE: Duration = Duration::from_secs(1);

/// The pin directory, and what the owner keeps there besides the counts. Without pins, nothing is saved.
pub(super) struct Persistence {
    pins: Option<Pins>,
    /// A value of the owner's, restored after a restart.
    pub(super) remembered: serde_json::Value,
    alive_due: Instant,
}

impl Persistence {
    pub(super) fn new(pins: Option<Pins>, remembered: serde_json::Value) -> Self {
        Self { pins, remembered, alive_due: Instant::now() }
    }

    /// Counting starts: adds the gap since the previous owner to the registry. `begun` is when the first
    /// hook was about to be attached; `seamless` if the previous owner's hooks have counted until now.
    pub(super) fn begin(
        &self,
        registry: &mut Registry,
        begun: Duration,
        seamless: bool,
    ) -> Result<(), KernelError> {
        let now = sys::boottime();
        match self.pins.as_ref().map(Pins::alive).transpose()?.flatten() {
            Some(_) if seamless => {}
            Some(last) => {
                registry.unwatched += now.saturating_sub(last);
                registry.gaps += 1;
            }
            None => registry.since = begun,
        }
        self.pins.as_ref().map_or(Ok(()), |pins| pins.set_alive(now))
    }

    /// When [`Self::keep_alive`] is due; `None` without pins.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pins.as_ref().map(|_| self.alive_due)
    }

    /// Saves that packets are counted, if that is due.
    pub(super) fn keep_alive(&mut self, now: Instant) -> Result<(), KernelError> {
        if self.alive_due > now {
            return Ok(());
        }
        self.alive_due = now + ALIVE;
        self.set_alive()
    }

    /// Saves that packets have been counted until now.
    pub(super) fn set_alive(&self) -> Result<(), KernelError> {
        self.pins.as_ref().map_or(Ok(()), |pins| pins.set_alive(sys::boottime()))
    }

    /// Saves the registry.
    pub(super) fn save(&self, registry: &Registry, options: &Options) -> Result<(), KernelError> {
        self.save_with(registry, options, Vec::new())
    }

    /// Saves the registry before blocks move in the maps: until it is saved again, the old attribution applies.
    pub(super) fn save_moving(
        &self,
        registry: &Registry,
        options: &Options,
        topology: &Topology,
    ) -> Result<(), KernelError> {
        let homes = topology.blocks.iter().map(|block| (convert::block_key(block), block.peer)).collect();
        self.save_with(registry, options, registry.attribution.moving(&homes))
    }

    fn save_with(
        &self,
        registry: &Registry,
        options: &Options,
        moving: Vec<(BlockKey, Option<IpAddr>)>,
    ) -> Result<(), KernelError> {
        let Some(pins) = &self.pins else { return Ok(()) };
        pins.save(&State::of(registry, options, moving, &self.remembered))
    }
}
