//! The kernel as a source: attaches, keeps attached while devices come and go, and reads.

mod cost;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use observer_common::abi::{BlockKey, DeviceFacts, link, role};
use observer_common::kind::Direction;
use observer_common::path::VNI_NONE;

use super::attach::{HookPoint, Hooks, Ingress, Purpose};
use super::cost::{Measure, Meter};
use super::diagnostics;
use super::error::{KernelError, LiveError};
use super::load::{Capacities, Programs};
use super::netlink::{self, Watcher};
use super::pins::Pins;
use super::program_stats::Statistics;
use super::registry::{Registry, Slot};
use super::state::State;
use super::sys;
use super::tables::Tables;
use crate::snapshot::{Hook, Snapshot};
use crate::topology::{Block, Choice, LinkLayer, Peer, Role, Topology, Watched, convert};

/// Before this kernel tunl0's TC ingress starts at the outer headers.
const INNER_AT_TUNNEL_INGRESS: (u32, u32) = (6, 1);

/// How long changes of the node are collected before it is read again.
const SETTLE: Duration = Duration::from_millis(200);
/// How often the node is read again where nothing was heard of a change.
const REREAD: Duration = Duration::from_secs(60);
/// How soon it is read again where that failed.
const RETRY: Duration = Duration::from_secs(2);
/// Under these names, which no device can have, stand troubles that are no single device's.
const TABLES: &str = "/tables";
/// See above.
const NODE: &str = "/node";
/// See above.
const COST: &str = "/cost";
const STATE: &str = "/state";
/// How often it is written down that we live: a gap is known as exactly.
const ALIVE: Duration = Duration::from_secs(1);
/// How often every hook is looked at: a lost one is mended well within five seconds.
const VERIFY: Duration = Duration::from_secs(2);

/// What to attach to, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which devices, peers and pods.
    pub choice: Choice,
    /// Where an underlay's ingress is counted.
    pub ingress: Ingress,
    /// Capacities of the maps.
    pub capacities: Capacities,
    /// The directory on a BPF file system in which the maps live on when we end.
    pub pins: Option<PathBuf>,
    /// Which programs are attached.
    pub purpose: Purpose,
    /// Measure what encapsulation costs; `None`: not at all.
    pub cost: Option<Measure>,
}

/// The kernel as a source.
pub struct Live {
    options: Options,
    programs: Programs,
    tables: Tables,
    statistics: Statistics,
    hooks: Hooks,
    registry: Registry,
    pins: Option<Pins>,
    /// What the owner wants to find again after a restart.
    remembered: serde_json::Value,
    /// The books have changed since they were written down.
    unsaved: bool,
    /// Reasons why devices are not watched, by name.
    errors: BTreeMap<String, String>,
    watcher: Watcher,
    meter: Option<Meter>,
    /// The node has changed since it was read.
    dirty: bool,
    read_due: Instant,
    verify_due: Instant,
    alive_due: Instant,
}

impl Live {
    /// Loads the programs and attaches them.
    ///
    /// # Errors
    /// What was refused, and what to do. Nothing stays attached then.
    pub async fn start(options: Options) -> Result<Self, LiveError> {
        // Before the first reading, so that no change is missed between the two.
        let watcher = Watcher::new()?;
        let topology = Topology::derive(&netlink::read_node().await?, &options.choice)?;
        if topology.watched.is_empty() {
            return Err(KernelError::new(
                "find",
                "a device to watch",
                "this network namespace has no underlay or tunnel device that is up",
                "name the devices (`observer stat eth0`)",
            )
            .into());
        }
        let pins = options.pins.as_deref().map(Pins::open).transpose()?;
        let kept = match &pins {
            Some(pins) => pins.take_over(options.capacities)?,
            None => None,
        };
        let mut programs = Programs::load_with(options.capacities, pins.as_ref().map(Pins::directory))?;
        let mut tables = Tables::take(&mut programs.ebpf)?;
        let (registry, remembered) = match kept {
            Some(state) => state.restore(&tables.blocks()?),
            None => (Registry::new(options.capacities, topology.size_bounds()), serde_json::Value::Null),
        };
        tables.set_size_bounds(&registry.size_bounds)?;
        if let Some(logger) = programs.logger() {
            tokio::task::spawn_local(diagnostics::forward(logger));
        }
        let now = Instant::now();
        let hooks = Hooks::new();
        let mut live = Self {
            options,
            programs,
            tables,
            statistics: Statistics::default(),
            hooks,
            watcher,
            registry,
            pins,
            remembered,
            unsaved: false,
            errors: BTreeMap::new(),
            meter: None,
            dirty: false,
            read_due: now + REREAD,
            verify_due: now + VERIFY,
            alive_due: now,
        };
        if let Err(error) = live.begin(topology).await {
            live.stop().await;
            return Err(error.into());
        }
        if let Err(error) = live.measure_cost(live.options.cost).await {
            live.stop().await;
            return Err(error.into());
        }
        Ok(live)
    }

    /// Attaches; from the first packet that is counted on, the maps can be read again by whoever comes
    /// after us.
    async fn begin(&mut self, topology: Topology) -> Result<(), KernelError> {
        self.save()?;
        // Before the first hook counts: attaching takes a tenth of a second, and packets of
        // that time over the instant after it would be any rate at all.
        let begun = sys::boottime();
        self.apply(topology, true).await?;
        if let Some(pins) = &self.pins {
            let now = sys::boottime();
            match pins.alive()? {
                // On kernels with clsact the filters of a killed one count until we replace them.
                Some(last) if !self.hooks.took_all_over() => {
                    self.registry.unwatched += now.saturating_sub(last);
                    self.registry.gaps += 1;
                }
                Some(_) => {}
                None => self.registry.since = begun,
            }
            pins.set_alive(now)?;
        } else {
            self.registry.since = begun;
        }
        self.save()
    }

    /// Waits until `due`, and meanwhile makes hooks and tables follow the node.
    ///
    /// # Errors
    /// The node could not be read. A hook that cannot be mended is reported as lost instead.
    pub async fn run_until(&mut self, due: Instant) -> Result<(), LiveError> {
        self.run_while(tokio::time::sleep_until(due.into())).await
    }

    /// Waits for `event`, and meanwhile makes hooks and tables follow the node. What it is about when the
    /// event comes is done first.
    ///
    /// # Errors
    /// As [`Self::run_until`].
    pub async fn run_while<T>(&mut self, event: impl Future<Output = T>) -> Result<T, LiveError> {
        let mut event = std::pin::pin!(event);
        loop {
            let now = Instant::now();
            if self.read_due <= now {
                self.reread().await;
            }
            if self.verify_due <= now {
                self.verify().await;
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

    /// Reads the node again, and makes hooks and tables fit it. What fails is told with the figures, and
    /// tried again: a node in trouble is when they are needed most.
    async fn reread(&mut self) {
        // Set before the reading: what changes during it is heard again.
        self.dirty = false;
        let result = match netlink::read_node().await {
            Ok(node) => {
                let topology = Topology::derive_present(&node, &self.options.choice);
                if topology == self.registry.topology { Ok(()) } else { self.apply(topology, false).await }
            }
            Err(error) => Err(KernelError::new("follow", "the node", error.to_string(), "it is tried again")),
        };
        match result {
            Ok(()) => {
                self.errors.remove(NODE);
            }
            Err(error) => {
                log::warn!("{error}");
                self.errors.insert(NODE.to_owned(), error.to_string());
            }
        }
        // Only now: whoever cancels this in the middle has it done again. Nothing is heard meanwhile,
        // as the same task listens.
        self.read_due = Instant::now() + if self.errors.contains_key(NODE) { RETRY } else { REREAD };
    }

    /// Removes every hook and leaves the devices as they were found.
    pub async fn stop(&mut self) {
        self.meter = None;
        self.hooks.detach_all().await;
        for slot in self.registry.slots.values_mut() {
            for hook in slot.hooks.iter_mut().filter(|hook| !matches!(hook, Hook::None | Hook::Gone)) {
                *hook = Hook::Lost;
            }
        }
        if let Some(pins) = &self.pins
            && let Err(error) = pins.set_alive(sys::boottime()).and_then(|()| self.save())
        {
            log::warn!("{error}");
        }
    }

    /// The state of all counters now.
    ///
    /// # Errors
    /// A map could not be read.
    pub fn read(&self) -> Result<Snapshot, KernelError> {
        let mut snapshot = self.registry.snapshot(&self.tables, self.errors.values().cloned())?;
        let objects = std::iter::once(&self.programs.ebpf).chain(self.meter.as_ref().map(Meter::ebpf));
        snapshot.programs = self.statistics.read(objects);
        snapshot.cost = self.meter.as_ref().map(Meter::read).transpose()?;
        Ok(snapshot)
    }

    /// Time in which nobody counted since counting began, over all who used these maps.
    #[must_use]
    pub fn unwatched(&self) -> Duration {
        self.registry.unwatched
    }

    /// What [`Self::remember`] was given last, by us or by who used these maps before.
    #[must_use]
    pub const fn remembered(&self) -> &serde_json::Value {
        &self.remembered
    }

    /// Keeps a value for who uses these maps after us.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember(&mut self, value: serde_json::Value) -> Result<(), KernelError> {
        self.remembered = value;
        self.save()
    }

    /// Follows other peers and pod networks from now on.
    pub fn set_selection(
        &mut self,
        extra_peers: Vec<std::net::IpAddr>,
        pod_cidrs: Vec<(std::net::IpAddr, u8)>,
    ) {
        self.options.choice.extra_peers = extra_peers;
        self.options.choice.pod_cidrs = pod_cidrs;
        self.read_due = Instant::now();
    }

    /// Writes down what is due, and says when to come again.
    fn keep(&mut self, now: Instant) -> Instant {
        let Some(pins) = &self.pins else { return now + REREAD };
        let due = if self.alive_due <= now {
            self.alive_due = now + ALIVE;
            pins.set_alive(sys::boottime())
        } else {
            Ok(())
        };
        match due.and_then(|()| if self.unsaved { self.save() } else { Ok(()) }) {
            Ok(()) => {
                self.unsaved = false;
                self.errors.remove(STATE);
            }
            Err(error) => {
                self.errors.insert(STATE.to_owned(), error.to_string());
            }
        }
        self.alive_due
    }

    /// Writes the books down.
    fn save(&self) -> Result<(), KernelError> {
        self.save_with(Vec::new())
    }

    /// The same before blocks get new homes in the maps: until the ledger knows it, the old ones count.
    fn save_moving(&self, topology: &Topology) -> Result<(), KernelError> {
        let homes = topology.blocks.iter().map(|block| (convert::block_key(block), block.peer)).collect();
        self.save_with(self.registry.attribution.moving(&homes))
    }

    fn save_with(&self, moving: Vec<(BlockKey, Option<std::net::IpAddr>)>) -> Result<(), KernelError> {
        let Some(pins) = &self.pins else { return Ok(()) };
        pins.save(&State::of(&self.registry, &self.options, moving, &self.remembered))
    }

    /// Places whose hook is lost, and what else is in trouble: sentences.
    pub fn errors(&self) -> Vec<String> {
        let lost = self.registry.slots.iter().flat_map(|(name, slot)| {
            let lost = Direction::ALL.into_iter().filter(|d| slot.hooks[*d as usize] == Hook::Lost);
            lost.map(move |direction| format!("the hook at {name} {} is lost", direction.label()))
        });
        lost.chain(self.errors.values().cloned()).collect()
    }

    /// Whether snapshots say what the programs cost. The kernel's BPF statistics, which cost 20 to 30 ns
    /// per run themselves, are on only so long.
    ///
    /// # Errors
    /// The kernel refused (before 5.8, or without `CAP_SYS_ADMIN`).
    pub fn measure_programs(&mut self, on: bool) -> Result<(), KernelError> {
        self.statistics.want(on)
    }

    /// The devices that are watched now, by name.
    pub fn watched(&self) -> impl Iterator<Item = &str> {
        self.registry.slots.iter().filter(|(_, slot)| slot.present).map(|(name, _)| name.as_str())
    }

    /// The maps, for those who read them besides the figures.
    pub(super) fn ebpf(&mut self) -> &mut aya::Ebpf {
        &mut self.programs.ebpf
    }

    /// The programs, for those that are no hooks.
    pub(super) const fn programs(&mut self) -> &mut Programs {
        &mut self.programs
    }

    /// The topology that the programs know.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.registry.topology
    }

    /// The name of the device of a slot, which it keeps when it is created again.
    #[must_use]
    pub fn name_of(&self, slot: u16) -> Option<&str> {
        self.registry.slots.iter().find(|(_, s)| s.index == slot).map(|(name, _)| name.as_str())
    }

    /// The slot of a device that is or was watched.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<u16> {
        self.registry.slots.get(name).map(|slot| slot.index)
    }

    /// Makes maps and hooks fit a topology.
    async fn apply(&mut self, topology: Topology, strict: bool) -> Result<(), KernelError> {
        if topology.peers != self.registry.topology.peers
            || topology.blocks != self.registry.topology.blocks
            || strict
        {
            self.save_moving(&topology)?;
            let peers = topology.peers.iter().map(Peer::entry).collect();
            let blocks = topology.blocks.iter().map(Block::entry).collect();
            match self.tables.set_peers(&peers, &blocks) {
                Ok(()) => {
                    self.errors.remove(TABLES);
                    self.assign(&topology)?;
                }
                Err(error) if strict => return Err(error),
                Err(error) => {
                    self.errors.insert(TABLES.to_owned(), error.to_string());
                }
            }
        }
        let config = topology.config();
        if strict || config != self.registry.topology.config() {
            self.tables.set_config(&config)?;
        }
        let there: BTreeSet<&str> = topology.watched.iter().map(|w| w.device.name.as_str()).collect();
        let gone: Vec<String> = self
            .registry
            .slots
            .iter()
            .filter(|(n, s)| s.present && !there.contains(n.as_str()))
            .map(|(n, _)| n.clone())
            .collect();
        for name in gone {
            self.release(&name)?;
        }
        for watched in &topology.watched {
            match self.watch(watched, &topology).await {
                Ok(()) => {
                    self.errors.remove(&watched.device.name);
                }
                Err(error) if strict => return Err(error),
                Err(error) => {
                    self.errors.insert(watched.device.name.clone(), error.to_string());
                }
            }
        }
        // Those that were gone before we came are as little lost as those that went now.
        self.registry.slots.values_mut().filter(|slot| !slot.present).for_each(Slot::gone);
        self.watcher.set_tunnels(
            topology.watched.iter().filter(|w| w.role == Role::Tunnel).map(|w| w.device.ifindex),
        );
        if let Some(meter) = &mut self.meter {
            match meter.follow(&topology) {
                Ok(()) => {
                    self.errors.remove(COST);
                }
                Err(error) => {
                    self.errors.insert(COST.to_owned(), error.to_string());
                }
            }
        }
        self.registry.routing = topology.routing();
        self.registry.known = self.tables.known();
        self.registry.topology = topology;
        self.unsaved = true;
        self.hook_cost().await;
        Ok(())
    }

    /// Native paths follow their blocks to other nodes.
    fn assign(&mut self, topology: &Topology) -> Result<(), KernelError> {
        let homes = topology.blocks.iter().map(|block| (convert::block_key(block), block.peer)).collect();
        let raw = self.tables.paths()?;
        // The names borrow the slots, and the ledger is changed meanwhile.
        let mut attribution = std::mem::take(&mut self.registry.attribution);
        let gone = attribution.assign(homes, &raw, &self.registry.names());
        self.registry.attribution = attribution;
        self.tables.remove_paths(&gone)
    }

    /// Stops watching a device that is gone; its totals stay.
    fn release(&mut self, name: &str) -> Result<(), KernelError> {
        let Some(slot) = self.registry.slots.get(name) else { return Ok(()) };
        let ifindex = slot.watched.device.ifindex;
        for direction in Direction::ALL {
            let place = HookPoint { device: name.to_owned(), ifindex, direction };
            self.hooks.detach(self.options.purpose, &place);
            self.lost(&place);
        }
        if let Some(slot) = self.registry.slots.get_mut(name) {
            slot.present = false;
            slot.gone();
        }
        self.tables.remove_device(ifindex)
    }

    /// Watches a device, newly or with new facts.
    async fn watch(&mut self, watched: &Watched, topology: &Topology) -> Result<(), KernelError> {
        let name = &watched.device.name;
        let known = self.registry.slots.get(name).map(|s| (s.present, s.watched.clone(), s.hooks));
        let recreated =
            matches!(&known, Some((true, old, _)) if old.device.ifindex != watched.device.ifindex);
        if recreated {
            self.release(name)?;
        }
        let index = self.slot_of(watched)?;
        if known.is_none() {
            // Before anything is counted in it.
            self.save()?;
        }
        let underlay_slot =
            match watched.underlay.and_then(|i| topology.watched.iter().find(|w| w.device.ifindex == i)) {
                Some(underlay) => self.slot_of(underlay)?,
                None => index,
            };
        let facts = facts(watched, index, underlay_slot);
        self.tables.set_device(&facts)?;
        let ingress = if watched.role == Role::Underlay { self.options.ingress } else { Ingress::Tc };
        let purpose = self.options.purpose;
        for direction in Direction::ALL {
            let place = HookPoint { device: name.clone(), ifindex: watched.device.ifindex, direction };
            if self.hooks.places(purpose).any(|p| *p == place) {
                continue;
            }
            let mtu = watched.device.mtu;
            let hook = self.hooks.attach(&mut self.programs.ebpf, purpose, &place, ingress, mtu).await?;
            self.set_hook(name, direction, hook);
        }
        if let Some(slot) = self.registry.slots.get_mut(name) {
            slot.present = true;
            slot.watched = watched.clone();
        }
        Ok(())
    }

    /// The slot of a device: by its name, so that one that is created again goes on counting.
    fn slot_of(&mut self, watched: &Watched) -> Result<u16, KernelError> {
        if let Some(slot) = self.registry.slots.get(&watched.device.name) {
            return Ok(slot.index);
        }
        let index = self.registry.slots.len();
        if index >= self.registry.capacities.slots as usize {
            return Err(KernelError::new(
                "watch",
                &watched.device.name,
                format!("{index} devices are watched or were, and no more fit"),
                "raise --max-devices",
            ));
        }
        let index = u16::try_from(index).unwrap_or(u16::MAX);
        let slot =
            Slot { index, watched: watched.clone(), present: false, hooks: [Hook::None; 2], losses: [0; 2] };
        self.registry.slots.insert(watched.device.name.clone(), slot);
        Ok(index)
    }

    /// Looks at every hook that should be there, and attaches lost ones again.
    async fn verify(&mut self) {
        let purpose = self.options.purpose;
        let present = self.registry.slots.iter().filter(|(_, slot)| slot.present);
        let places: Vec<HookPoint> = present
            .flat_map(|(name, slot)| {
                let ifindex = slot.watched.device.ifindex;
                Direction::ALL.map(|direction| HookPoint { device: name.clone(), ifindex, direction })
            })
            .collect();
        for place in places {
            match self.hooks.verify(&mut self.programs.ebpf, purpose, &place).await {
                Ok(true) => continue,
                Ok(false) => log::warn!("lost the hook on {} {}", place.device, place.direction.label()),
                // It could not be asked: that says nothing of the hook.
                Err(error) => {
                    log::debug!("{error}");
                    continue;
                }
            }
            self.hooks.detach(purpose, &place);
            self.lost(&place);
            let Some(slot) = self.registry.slots.get(&place.device) else { continue };
            let ingress =
                if slot.watched.role == Role::Underlay { self.options.ingress } else { Ingress::Tc };
            let mtu = slot.watched.device.mtu;
            match self.hooks.attach(&mut self.programs.ebpf, purpose, &place, ingress, mtu).await {
                Ok(hook) => self.set_hook(&place.device, place.direction, hook),
                Err(error) => log::debug!("{error}"),
            }
        }
        self.verify_cost().await;
    }

    fn set_hook(&mut self, device: &str, direction: Direction, hook: Hook) {
        if let Some(slot) = self.registry.slots.get_mut(device) {
            slot.hooks[direction as usize] = hook;
            self.unsaved = true;
        }
    }

    /// Notes a loss, once: even one that is mended before anybody reads must leave a trace.
    fn lost(&mut self, place: &HookPoint) {
        if let Some(slot) = self.registry.slots.get_mut(&place.device)
            && slot.hooks[place.direction as usize] != Hook::Lost
        {
            slot.hooks[place.direction as usize] = Hook::Lost;
            slot.losses[place.direction as usize] += 1;
            self.unsaved = true;
        }
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("books", &self.registry).finish_non_exhaustive()
    }
}

/// What the programs must know of a device.
fn facts(watched: &Watched, slot: u16, underlay_slot: u16) -> DeviceFacts {
    let [ingress_link, egress_link] = links(watched);
    DeviceFacts {
        ifindex: watched.device.ifindex,
        mtu: watched.device.mtu,
        underlay_mtu: watched.underlay_mtu.unwrap_or(0),
        overhead: watched.overhead,
        vni: watched.vni.unwrap_or(VNI_NONE),
        slot,
        underlay_slot,
        role: match watched.role {
            Role::Underlay => role::UNDERLAY,
            Role::Tunnel => role::TUNNEL,
            Role::Workload => role::WORKLOAD,
            Role::Other => role::OTHER,
        },
        ingress_link,
        egress_link,
        class: watched.class as u8,
        reserved: 0,
    }
}

/// What the programs find at the first byte of what enters and leaves a device: of [`link`].
pub(super) fn links(watched: &Watched) -> [u8; 2] {
    let by_link = match watched.device.link {
        LinkLayer::Ethernet | LinkLayer::Loopback => link::ETHERNET,
        LinkLayer::Ip => link::IP,
        LinkLayer::Other(_) => link::UNKNOWN,
    };
    let old = sys::version().is_some_and(|version| version < INNER_AT_TUNNEL_INGRESS);
    let outer_first = old && watched.device.kind.is_ip_tunnel();
    [if outer_first { link::NETWORK_HEADER } else { by_link }, by_link]
}
