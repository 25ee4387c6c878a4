//! The kernel as a source: attaches, keeps attached while devices come and go, and reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use observer_common::abi::{DeviceFacts, link, role};
use observer_common::counters::EVENTS;
use observer_common::kind::{Class, Direction};
use observer_common::path::VNI_NONE;

use super::attach::{Hooks, Ingress, Place};
use super::cost::Statistics;
use super::diagnostics;
use super::error::{KernelError, LiveError};
use super::ledger::{Ledger, Names, tunnel_id};
use super::load::{Capacities, Programs};
use super::netlink::{self, Watcher};
use super::sys;
use super::tables::Tables;
use crate::snapshot::{Device, Fill, Hook, Path, PathId, Snapshot, Stranger, Totals, Tunnel, Vni};
use crate::topology::{Block, Choice, LinkLayer, Peer, Role, Scope, Topology, Watched, convert};

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
}

/// A device that is watched, or was.
struct Slot {
    index: u16,
    /// As it was last seen.
    watched: Watched,
    /// It is there now.
    present: bool,
    hooks: [Hook; 2],
    /// How often each was found lost.
    losses: [u64; 2],
}

/// The kernel as a source.
pub struct Live {
    options: Options,
    programs: Programs,
    tables: Tables,
    statistics: Statistics,
    hooks: Hooks,
    topology: Topology,
    slots: BTreeMap<String, Slot>,
    ledger: Ledger,
    size_bounds: Vec<u32>,
    started: Instant,
    node: String,
    kernel: String,
    /// Reasons why devices are not watched, by name.
    troubles: BTreeMap<String, String>,
    watcher: Watcher,
    /// The node has changed since it was read.
    dirty: bool,
    read_due: Instant,
    verify_due: Instant,
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
        let mut programs = Programs::load(options.capacities)?;
        let mut tables = Tables::take(&mut programs.ebpf)?;
        let size_bounds = topology.size_bounds();
        tables.set_size_bounds(&size_bounds)?;
        if let Some(logger) = programs.logger() {
            tokio::task::spawn_local(diagnostics::forward(logger));
        }
        let now = Instant::now();
        let mut live = Self {
            options,
            programs,
            tables,
            statistics: Statistics::default(),
            hooks: Hooks::new(),
            watcher,
            topology: Topology::default(),
            slots: BTreeMap::new(),
            ledger: Ledger::default(),
            size_bounds,
            started: now,
            node: sys::node_name(),
            kernel: sys::release(),
            troubles: BTreeMap::new(),
            dirty: false,
            read_due: now + REREAD,
            verify_due: now + VERIFY,
        };
        if let Err(error) = live.apply(topology, true).await {
            live.stop().await;
            return Err(error.into());
        }
        live.started = Instant::now();
        Ok(live)
    }

    /// Waits until `due`, and meanwhile makes hooks and tables follow the node.
    ///
    /// # Errors
    /// The node could not be read. A hook that cannot be mended is reported as lost instead.
    pub async fn care_until(&mut self, due: Instant) -> Result<(), LiveError> {
        loop {
            let now = Instant::now();
            if self.read_due <= now {
                self.reread().await;
            }
            if self.verify_due <= now {
                self.verify().await;
                self.verify_due = Instant::now() + VERIFY;
            }
            if due <= now {
                return Ok(());
            }
            let next = due.min(self.read_due).min(self.verify_due);
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                change = self.watcher.heard() => {
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
                if topology == self.topology { Ok(()) } else { self.apply(topology, false).await }
            }
            Err(error) => Err(KernelError::new("follow", "the node", error.to_string(), "it is tried again")),
        };
        match result {
            Ok(()) => {
                self.troubles.remove(NODE);
            }
            Err(error) => {
                log::warn!("{error}");
                self.troubles.insert(NODE.to_owned(), error.to_string());
            }
        }
        // Only now: whoever cancels this in the middle has it done again. Nothing is heard meanwhile,
        // as the same task listens.
        self.read_due = Instant::now() + if self.troubles.contains_key(NODE) { RETRY } else { REREAD };
    }

    /// Removes every hook and leaves the devices as they were found.
    pub async fn stop(&mut self) {
        self.hooks.detach_all().await;
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
        self.slots.iter().filter(|(_, slot)| slot.present).map(|(name, _)| name.as_str())
    }

    /// Makes maps and hooks fit a topology.
    async fn apply(&mut self, topology: Topology, strict: bool) -> Result<(), KernelError> {
        if topology.peers != self.topology.peers || topology.blocks != self.topology.blocks || strict {
            let peers = topology.peers.iter().map(Peer::entry).collect();
            let blocks = topology.blocks.iter().map(Block::entry).collect();
            match self.tables.set_peers(&peers, &blocks) {
                Ok(()) => {
                    self.troubles.remove(TABLES);
                    self.assign(&topology)?;
                }
                Err(error) if strict => return Err(error),
                Err(error) => {
                    self.troubles.insert(TABLES.to_owned(), error.to_string());
                }
            }
        }
        let config = topology.config();
        if strict || config != self.topology.config() {
            self.tables.set_config(&config)?;
        }
        let there: BTreeSet<&str> = topology.watched.iter().map(|w| w.device.name.as_str()).collect();
        let gone: Vec<String> = self
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
                    self.troubles.remove(&watched.device.name);
                }
                Err(error) if strict => return Err(error),
                Err(error) => {
                    self.troubles.insert(watched.device.name.clone(), error.to_string());
                }
            }
        }
        self.watcher.set_tunnels(
            topology.watched.iter().filter(|w| w.role == Role::Tunnel).map(|w| w.device.ifindex),
        );
        self.topology = topology;
        Ok(())
    }

    /// Native paths follow their blocks to other nodes.
    fn assign(&mut self, topology: &Topology) -> Result<(), KernelError> {
        let homes = topology.blocks.iter().map(|block| (convert::block_key(block), block.peer)).collect();
        let raw = self.tables.paths()?;
        // The names borrow the slots, and the ledger is changed meanwhile.
        let mut ledger = std::mem::take(&mut self.ledger);
        let gone = ledger.assign(homes, &raw, &self.names());
        self.ledger = ledger;
        gone.iter().try_for_each(|key| self.tables.remove_path(key))
    }

    /// Stops watching a device that is gone; its totals stay.
    fn release(&mut self, name: &str) -> Result<(), KernelError> {
        let Some(slot) = self.slots.get(name) else { return Ok(()) };
        let ifindex = slot.watched.device.ifindex;
        for direction in Direction::ALL {
            let place = Place { device: name.to_owned(), ifindex, direction };
            self.hooks.detach(&place);
            self.lost(&place);
        }
        if let Some(slot) = self.slots.get_mut(name) {
            slot.present = false;
        }
        self.tables.remove_device(ifindex)
    }

    /// Watches a device, newly or with new facts.
    async fn watch(&mut self, watched: &Watched, topology: &Topology) -> Result<(), KernelError> {
        let name = &watched.device.name;
        let known = self.slots.get(name).map(|s| (s.present, s.watched.clone(), s.hooks));
        let recreated =
            matches!(&known, Some((true, old, _)) if old.device.ifindex != watched.device.ifindex);
        if recreated {
            self.release(name)?;
        }
        let index = self.slot_of(watched)?;
        let underlay_slot =
            match watched.underlay.and_then(|i| topology.watched.iter().find(|w| w.device.ifindex == i)) {
                Some(underlay) => self.slot_of(underlay)?,
                None => index,
            };
        let facts = facts(watched, index, underlay_slot);
        self.tables.set_device(&facts)?;
        let ingress = if watched.role == Role::Underlay { self.options.ingress } else { Ingress::Tc };
        for direction in Direction::ALL {
            let place = Place { device: name.clone(), ifindex: watched.device.ifindex, direction };
            if self.hooks.places().any(|p| *p == place) {
                continue;
            }
            let hook = self.hooks.attach(&mut self.programs, &place, ingress, watched.device.mtu).await?;
            self.set_hook(name, direction, hook);
        }
        if let Some(slot) = self.slots.get_mut(name) {
            slot.present = true;
            slot.watched = watched.clone();
        }
        Ok(())
    }

    /// The slot of a device: by its name, so that one that is created again goes on counting.
    fn slot_of(&mut self, watched: &Watched) -> Result<u16, KernelError> {
        if let Some(slot) = self.slots.get(&watched.device.name) {
            return Ok(slot.index);
        }
        let index = self.slots.len();
        if index >= self.programs.capacities.slots as usize {
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
        self.slots.insert(watched.device.name.clone(), slot);
        Ok(index)
    }

    /// Looks at every hook that should be there, and attaches lost ones again.
    async fn verify(&mut self) {
        let present = self.slots.iter().filter(|(_, slot)| slot.present);
        let places: Vec<Place> = present
            .flat_map(|(name, slot)| {
                let ifindex = slot.watched.device.ifindex;
                Direction::ALL.map(|direction| Place { device: name.clone(), ifindex, direction })
            })
            .collect();
        for place in places {
            match self.hooks.verify(&mut self.programs, &place).await {
                Ok(true) => continue,
                Ok(false) => log::warn!("lost the hook on {} {}", place.device, place.direction.label()),
                // It could not be asked: that says nothing of the hook.
                Err(error) => {
                    log::debug!("{error}");
                    continue;
                }
            }
            self.hooks.detach(&place);
            self.lost(&place);
            let Some(slot) = self.slots.get(&place.device) else { continue };
            let ingress =
                if slot.watched.role == Role::Underlay { self.options.ingress } else { Ingress::Tc };
            match self.hooks.attach(&mut self.programs, &place, ingress, slot.watched.device.mtu).await {
                Ok(hook) => self.set_hook(&place.device, place.direction, hook),
                Err(error) => log::debug!("{error}"),
            }
        }
    }

    fn set_hook(&mut self, device: &str, direction: Direction, hook: Hook) {
        if let Some(slot) = self.slots.get_mut(device) {
            slot.hooks[direction as usize] = hook;
        }
    }

    /// Notes a loss, once: even one that is mended before anybody reads must leave a trace.
    fn lost(&mut self, place: &Place) {
        if let Some(slot) = self.slots.get_mut(&place.device)
            && slot.hooks[place.direction as usize] != Hook::Lost
        {
            slot.hooks[place.direction as usize] = Hook::Lost;
            slot.losses[place.direction as usize] += 1;
        }
    }

    /// The state of all counters now.
    ///
    /// # Errors
    /// A map could not be read.
    pub fn read(&self) -> Result<Snapshot, KernelError> {
        let taken = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let names = self.names();
        let raw = self.tables.paths()?;
        let (peers, blocks) = self.tables.known();
        let capacities = self.programs.capacities;
        let mut notes = self.topology.notes.clone();
        notes.extend(self.troubles.values().cloned());
        Ok(Snapshot {
            taken,
            counting: self.started.elapsed(),
            node: self.node.clone(),
            origin: format!("Linux {}", self.kernel),
            devices: self.devices()?,
            fill: Fill {
                paths: raw.len() as u64,
                paths_capacity: u64::from(capacities.paths),
                peers: peers as u64,
                peers_capacity: u64::from(capacities.peers),
                blocks: blocks as u64,
                blocks_capacity: u64::from(capacities.blocks),
            },
            paths: self
                .ledger
                .paths(&raw, &names)
                .into_iter()
                .map(|(id, counters)| Path { scope: self.scope(&id), id, counters })
                .collect(),
            strangers: self
                .tables
                .strangers()?
                .into_iter()
                .filter_map(|stranger| {
                    let mut id = tunnel_id(&stranger.key, &names)?;
                    id.vni = if matches!(id.class, Class::Vxlan | Class::Geneve) {
                        Vni::Own(stranger.key.vni)
                    } else {
                        Vni::None
                    };
                    Some(Stranger { id, packets: stranger.packets, wire_bytes: stranger.wire_bytes })
                })
                .collect(),
            routing: self.topology.routing(),
            programs: self.statistics.read(&self.programs),
            size_bounds: self.size_bounds.clone(),
            notes,
        })
    }

    fn names(&self) -> Names<'_> {
        self.slots.iter().map(|(name, slot)| (slot.index, name.as_str())).collect()
    }

    fn scope(&self, id: &PathId) -> Scope {
        match self.slots.get(&id.device) {
            Some(slot) => self.topology.scope(slot.watched.device.ifindex, id.peer),
            None => Scope::Unknown,
        }
    }

    fn devices(&self) -> Result<Vec<Device>, KernelError> {
        let mut order: Vec<(&String, &Slot)> = self.slots.iter().collect();
        order.sort_by_key(|(name, slot)| (slot.watched.role, name.as_str()));
        let mut devices = Vec::new();
        for (name, slot) in order {
            let mut totals = Vec::new();
            let mut events = [[0; EVENTS]; 2];
            for direction in Direction::ALL {
                events[direction as usize] = self.tables.events(slot.index, direction)?.0;
                for class in Class::ALL {
                    let sum = self.tables.totals(slot.index, direction, class)?;
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

/// What the programs must know of a device.
fn facts(watched: &Watched, slot: u16, underlay_slot: u16) -> DeviceFacts {
    let by_link = match watched.device.link {
        LinkLayer::Ethernet | LinkLayer::Loopback => link::ETHERNET,
        LinkLayer::Ip => link::IP,
        LinkLayer::Other(_) => link::UNKNOWN,
    };
    let old = sys::version().is_some_and(|version| version < INNER_AT_TUNNEL_INGRESS);
    let outer_first = old && watched.device.kind.is_ip_tunnel();
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
        ingress_link: if outer_first { link::NETWORK_HEADER } else { by_link },
        egress_link: by_link,
        class: watched.class as u8,
        reserved: 0,
    }
}
