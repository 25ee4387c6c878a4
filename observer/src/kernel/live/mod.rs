//! The kernel as a source: attaches, follows changes of the node, and reads.

mod cost_hooks;
mod devices;
mod errors;
mod persist;

use std::time::{Duration, Instant};

use self::cost_hooks::CostHooks;
use self::devices::Devices;
use self::errors::{Errors, Subject};
use self::persist::Persistence;
use super::attach::Hooks;
use super::diagnostics;
use super::error::{KernelError, LiveError};
use super::load::Programs;
use super::netlink::{self, Watcher};
use super::options::{Measure, Options};
use super::pins::Pins;
use super::program_stats::Statistics;
use super::registry::Registry;
use super::sys;
use super::tables::Tables;
use crate::snapshot::Snapshot;
use crate::topology::{Role, Topology};

/// How long to collect changes of the node before reading it again.
const SETTLE: Duration = Duration::from_millis(200);
/// How often to read the node without a notification.
const REREAD: Duration = Duration::from_secs(60);
/// How soon to read the node again after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How often to check every hook: a lost one must be re-attached within five seconds.
const VERIFY: Duration = Duration::from_secs(2);

/// The kernel as a source.
pub struct Live {
    devices: Devices,
    persistence: Persistence,
    cost: CostHooks,
    statistics: Statistics,
    watcher: Watcher,
    errors: Errors,
    /// The node has changed since it was read.
    dirty: bool,
    read_due: Instant,
    verify_due: Instant,
}

impl Live {
    /// Loads the programs and attaches them.
    ///
    /// # Errors
    /// What was refused, and what to do. Nothing stays attached.
    pub async fn start(options: Options) -> Result<Self, LiveError> {
        // Before the first reading, so that no change between the two is missed.
        let watcher = Watcher::new()?;
        let topology = Topology::derive(&netlink::read_node().await?, &options.choice)?;
        if topology.watched.is_empty() {
            return Err(KernelError::new(
                "find",
                "a device to watch",
                "no underlay or tunnel device is up in this network namespace",
                "name the devices (`observer stat eth0`)",
            )
            .into());
        }
        let cost = options.cost;
        let mut live = Self::load(options, watcher, topology.size_bounds())?;
        let started = match live.begin(topology).await {
            Ok(()) => live.measure_cost(cost).await,
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            live.stop().await;
            return Err(error.into());
        }
        Ok(live)
    }

    /// Loads the programs, with the counts of the previous owner if there are any.
    fn load(options: Options, watcher: Watcher, size_bounds: Vec<u32>) -> Result<Self, KernelError> {
        let pins = options.pins.as_deref().map(Pins::open).transpose()?;
        let saved = pins.as_ref().map(|pins| pins.take_over(options.capacities)).transpose()?.flatten();
        let mut programs = Programs::load_with(options.capacities, pins.as_ref().map(Pins::directory))?;
        let mut tables = Tables::take(&mut programs.ebpf)?;
        let (registry, remembered) = match saved {
            Some(state) => state.restore(tables.blocks()?),
            None => (Registry::new(options.capacities, size_bounds), serde_json::Value::Null),
        };
        tables.set_size_bounds(&registry.size_bounds)?;
        if let Some(logger) = programs.logger() {
            tokio::task::spawn_local(diagnostics::forward(logger));
        }
        let now = Instant::now();
        Ok(Self {
            devices: Devices { options, programs, tables, hooks: Hooks::new(), registry, unsaved: false },
            persistence: Persistence::new(pins, remembered),
            cost: CostHooks::default(),
            statistics: Statistics::default(),
            watcher,
            errors: Errors::default(),
            dirty: false,
            read_due: now + REREAD,
            verify_due: now + VERIFY,
        })
    }

    /// Attaches, and saves before and after: whenever this process ends, the next owner can use the maps.
    async fn begin(&mut self, topology: Topology) -> Result<(), KernelError> {
        self.save()?;
        // Before the first hook counts: attaching takes about 0.1 s, and packets of that time divided by the
        // instant after it would give arbitrary rates.
        let begun = sys::boottime();
        self.apply(topology, true).await?;
        // With clsact, a killed owner's filters count until they are replaced.
        let seamless = self.devices.hooks.took_all_over();
        self.persistence.begin(&mut self.devices.registry, begun, seamless)?;
        self.save()
    }

    /// Waits until `due` and meanwhile makes hooks and tables follow the node.
    ///
    /// # Errors
    /// Changes of the node cannot be received. A hook that cannot be re-attached is reported as lost instead.
    pub async fn run_until(&mut self, due: Instant) -> Result<(), LiveError> {
        self.run_while(tokio::time::sleep_until(due.into())).await
    }

    /// Waits for `event` and meanwhile makes hooks and tables follow the node. Work in progress is completed
    /// before it returns.
    pub async fn run_while<T>(&mut self, event: impl Future<Output = T>) -> Result<T, LiveError> {
        let mut event = std::pin::pin!(event);
        loop {
            let now = Instant::now();
            if self.read_due <= now {
                self.reread().await;
            }
            if self.verify_due <= now {
                self.devices.verify().await;
                self.cost.verify(&mut self.devices.hooks, &self.devices.registry.topology).await;
                self.verify_due = Instant::now() + VERIFY;
            }
            let next = self.read_due.min(self.verify_due).min(self.keep(now));
            tokio::select! {
                biased;
                event = &mut event => return Ok(event),
                () = tokio::time::sleep_until(next.into()) => {}
                change = self.watcher.next_event() => {
                    change?;
                    if !self.dirty {
                        self.dirty = true;
                        self.read_due = Instant::now() + SETTLE;
                    }
                }
            }
        }
    }

    /// Reads the node again and makes hooks and tables match it. Errors are reported with the figures, and
    /// the attempt is repeated: figures matter most on a node with problems.
    async fn reread(&mut self) {
        // Before the reading, so that a change during it is noticed.
        self.dirty = false;
        let result = match netlink::read_node().await {
            Ok(node) => {
                let topology = Topology::derive_present(&node, &self.devices.options.choice);
                if topology == *self.topology() { Ok(()) } else { self.apply(topology, false).await }
            }
            Err(error) => Err(KernelError::new(
                "follow",
                "the node",
                error.to_string(),
                format!("the next attempt is in {} s", RETRY.as_secs()),
            )),
        };
        if let Err(error) = &result {
            log::warn!("{error}");
        }
        let done = self.errors.record(Subject::Node, result);
        // Last, so that a cancelled attempt is repeated.
        self.read_due = Instant::now() + if done { REREAD } else { RETRY };
    }

    /// Makes maps, hooks and the cost measurement match a topology.
    async fn apply(&mut self, topology: Topology, strict: bool) -> Result<(), KernelError> {
        self.devices.apply(topology, strict, &self.persistence, &mut self.errors).await?;
        let Devices { hooks, registry, .. } = &mut self.devices;
        let topology = &registry.topology;
        let tunnels = topology.watched.iter().filter(|watched| watched.role == Role::Tunnel);
        self.watcher.set_tunnels(tunnels.map(|watched| watched.device.ifindex));
        let result = self.cost.follow(hooks, topology).await;
        self.errors.record(Subject::Cost, result);
        Ok(())
    }

    /// Removes every hook and restores the devices.
    pub async fn stop(&mut self) {
        self.cost.stop();
        self.devices.stop().await;
        if let Err(error) = self.persistence.set_alive().and_then(|()| self.save()) {
            log::warn!("{error}");
        }
    }

    /// All counters now.
    pub fn read(&self) -> Result<Snapshot, KernelError> {
        let Devices { registry, tables, programs, .. } = &self.devices;
        let mut snapshot = registry.snapshot(tables, self.errors.texts())?;
        snapshot.programs = self.statistics.read(std::iter::once(&programs.ebpf).chain(self.cost.ebpf()));
        snapshot.cost = self.cost.read()?;
        Ok(snapshot)
    }

    /// Starts or stops measuring what encapsulation costs.
    ///
    /// # Errors
    /// The kernel has no BTF or refuses the maps. Hooks that it refuses are reported with the figures.
    pub async fn measure_cost(&mut self, measure: Option<Measure>) -> Result<(), KernelError> {
        let Devices { hooks, registry, .. } = &mut self.devices;
        self.cost.set(measure, hooks, &registry.topology).await?;
        if measure.is_none() {
            self.errors.record(Subject::Cost, Ok(()));
        }
        Ok(())
    }

    /// Total time without counting since counting began, for all owners of these maps.
    #[must_use]
    pub fn unwatched(&self) -> Duration {
        self.devices.registry.unwatched
    }

    /// The value last given to [`Self::remember`], by this owner or the previous one.
    #[must_use]
    pub const fn remembered(&self) -> &serde_json::Value {
        &self.persistence.remembered
    }

    /// Saves a value for the next owner of these maps.
    pub fn remember(&mut self, value: serde_json::Value) -> Result<(), KernelError> {
        self.persistence.remembered = value;
        self.save()
    }

    /// Replaces the additional peers and pod networks.
    pub fn set_selection(
        &mut self,
        extra_peers: Vec<std::net::IpAddr>,
        pod_cidrs: Vec<(std::net::IpAddr, u8)>,
    ) {
        let choice = &mut self.devices.options.choice;
        (choice.extra_peers, choice.pod_cidrs) = (extra_peers, pod_cidrs);
        self.read_due = Instant::now();
    }

    fn save(&self) -> Result<(), KernelError> {
        self.persistence.save(&self.devices.registry, &self.devices.options)
    }

    /// Saves what is due, and returns when to do so again.
    fn keep(&mut self, now: Instant) -> Instant {
        if self.persistence.due().is_none() {
            return now + REREAD;
        }
        let mut result = self.persistence.keep_alive(now);
        if self.devices.unsaved {
            result = result.and_then(|()| self.save());
        }
        if self.errors.record(Subject::State, result) {
            self.devices.unsaved = false;
        }
        self.persistence.due().unwrap_or(now + REREAD)
    }

    /// Lost hooks and other current problems, as sentences.
    pub fn errors(&self) -> Vec<String> {
        self.devices.lost_hooks().chain(self.errors.texts()).collect()
    }

    /// Turns the kernel's BPF statistics on or off. They add 20 to 30 ns to each program run.
    ///
    /// # Errors
    /// The kernel refused (before 5.8, or without `CAP_SYS_ADMIN`).
    pub fn measure_programs(&mut self, on: bool) -> Result<(), KernelError> {
        self.statistics.switch(on)
    }

    /// Names of the devices that are watched now.
    pub fn watched(&self) -> impl Iterator<Item = &str> {
        self.devices.registry.slots.iter().filter(|(_, slot)| slot.present).map(|(name, _)| name.as_str())
    }

    /// The programs and their maps.
    pub(super) const fn programs(&mut self) -> &mut Programs {
        &mut self.devices.programs
    }

    /// The topology in the maps.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.devices.registry.topology
    }

    /// The name of the device in a slot. A recreated device keeps its slot.
    #[must_use]
    pub fn name_of(&self, slot: u16) -> Option<&str> {
        let mut slots = self.devices.registry.slots.iter();
        slots.find(|(_, s)| s.index == slot).map(|(name, _)| name.as_str())
    }

    /// The slot of a device that is or was watched.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<u16> {
        self.devices.registry.slots.get(name).map(|slot| slot.index)
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("registry", &self.devices.registry).finish_non_exhaustive()
    }
}
