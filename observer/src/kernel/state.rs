//! The books in a form that outlives the process: what a reader needs to make sense of the maps, and what
//! the next owner must know so that no total goes back.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use observer_common::abi::{BlockKey, LAYOUT};
use observer_common::counters::PATH_COUNTERS;
use observer_common::kind::Class;
use observer_common::path::PathKey;
use serde::{Deserialize, Serialize};

use super::attach::Ingress;
use super::block_attribution::BlockAttribution;
use super::error::KernelError;
use super::live::Options;
use super::load::Capacities;
use super::registry::{Registry, Slot};
use super::sys;
use crate::path_name::PathName;
use crate::snapshot::{Hook, PathId, Routing};
use crate::topology::{Address, Device, Role, Scope, Topology, Watched, convert};

/// Changes with the form of the state.
const FORMAT: u32 = 1;

const ROLES: [Role; 4] = [Role::Underlay, Role::Tunnel, Role::Workload, Role::Other];
const SCOPES: [Scope; 3] = [Scope::SameSubnet, Scope::CrossSubnet, Scope::Unknown];
const HOOKS: [Hook; 7] = [Hook::None, Hook::Tcx, Hook::Clsact, Hook::Xdp, Hook::File, Hook::Lost, Hook::Gone];

/// What stands first in every form: all that another version may read.
#[derive(Deserialize)]
struct Head {
    format: u32,
    layout: u32,
    version: String,
}

/// The state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    /// The layout of the maps.
    layout: u32,
    /// Of the program that wrote it.
    version: String,
    /// Slots, paths, peers, blocks.
    capacities: [u32; 4],
    /// The network namespace, as its inode.
    pub(super) netns: u64,
    node: String,
    /// Nanoseconds on the clock of [`sys::boottime`].
    pub(super) since: u64,
    unwatched: u64,
    gaps: u64,
    known: [usize; 2],
    size_bounds: Vec<u32>,
    slots: Vec<SavedSlot>,
    addresses: Vec<Address>,
    routers: Vec<(u32, IpAddr)>,
    routing: Vec<SavedRouting>,
    notes: Vec<String>,
    /// What a kernel path had counted when its block came to its present node.
    base: Vec<(SavedKey, Vec<u64>)>,
    retired: Vec<(PathName, Vec<u64>)>,
    /// Blocks of which `BLOCKS` may already say another home than they still have: address, bits, home.
    moving: Vec<(IpAddr, u32, Option<IpAddr>)>,
    pub(super) options: SavedOptions,
    remembered: serde_json::Value,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedOptions {
    pub(super) workloads: bool,
    pub(super) xdp: bool,
    pub(super) peers: Vec<IpAddr>,
    pub(super) pod_cidrs: Vec<(IpAddr, u8)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedSlot {
    index: u16,
    device: Device,
    role: u8,
    class: u8,
    overhead: u32,
    vni: Option<u32>,
    underlay: Option<u32>,
    underlay_mtu: Option<u32>,
    present: bool,
    hooks: [u8; 2],
    losses: [u64; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedRouting {
    ipv6: bool,
    class: u8,
    scope: u8,
    blocks: u64,
    peers: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedKey {
    peer: IpAddr,
    vni: u32,
    slot: u16,
    direction: u8,
    class: u8,
}

/// Of a time, as the maps hold it.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let found = all.iter().position(|candidate| candidate == one);
    found.and_then(|index| u8::try_from(index).ok()).unwrap_or(u8::MAX)
}

fn at<T: Copy>(all: &[T], index: u8, otherwise: T) -> T {
    all.get(usize::from(index)).copied().unwrap_or(otherwise)
}

impl State {
    /// The state of these books.
    pub(super) fn of(
        registry: &Registry,
        options: &Options,
        moving: Vec<(BlockKey, Option<IpAddr>)>,
        remembered: &serde_json::Value,
    ) -> Self {
        let Capacities { slots, paths, peers, blocks, .. } = registry.capacities;
        let moving = moving.into_iter();
        Self {
            format: FORMAT,
            layout: LAYOUT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacities: [slots, paths, peers, blocks],
            netns: sys::netns().unwrap_or(0),
            node: registry.node.clone(),
            since: nanoseconds(registry.since),
            unwatched: nanoseconds(registry.unwatched),
            gaps: registry.gaps,
            known: [registry.known.0, registry.known.1],
            size_bounds: registry.size_bounds.clone(),
            slots: registry.slots.values().map(SavedSlot::of).collect(),
            addresses: registry.topology.addresses.clone(),
            routers: registry.topology.routers.clone(),
            routing: registry.routing.iter().map(SavedRouting::of).collect(),
            notes: registry.topology.notes.clone(),
            base: registry
                .attribution
                .base
                .iter()
                .map(|(key, counted)| (SavedKey::of(key), counted.to_vec()))
                .collect(),
            retired: registry
                .attribution
                .retired
                .iter()
                .map(|(id, counted)| (id.into(), counted.to_vec()))
                .collect(),
            moving: moving
                .map(|(block, home)| (convert::from_wire(block.address), block.bits, home))
                .collect(),
            options: SavedOptions {
                workloads: options.choice.workloads,
                xdp: options.ingress == Ingress::Xdp,
                peers: options.choice.extra_peers.clone(),
                pod_cidrs: options.choice.pod_cidrs.clone(),
            },
            remembered: remembered.clone(),
        }
    }

    /// Reads one, of this layout and form.
    ///
    /// # Errors
    /// Another version wrote it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let head: Head = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if (head.format, head.layout) != (FORMAT, LAYOUT) {
            return Err(format!(
                "observer {} wrote it in layout {}.{}, this one ({}) reads {LAYOUT}.{FORMAT}",
                head.version,
                head.layout,
                head.format,
                env!("CARGO_PKG_VERSION"),
            ));
        }
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// Whether maps of these capacities are those that are there.
    ///
    /// # Errors
    /// They are not.
    pub(super) fn fits(&self, directory: &Path, wanted: Capacities) -> Result<(), KernelError> {
        let names = ["--max-devices", "--max-paths", "--max-peers", "--max-blocks"];
        let wanted = [wanted.slots, wanted.paths, wanted.peers, wanted.blocks];
        for ((name, wanted), there) in names.into_iter().zip(wanted).zip(self.capacities) {
            if wanted != there {
                return Err(KernelError::new(
                    "take over the maps in",
                    directory.display().to_string(),
                    format!("they were made with {name} {there}, not {wanted}"),
                    "say the same again, or remove the directory (`rm -r`), and totals begin anew",
                ));
            }
        }
        Ok(())
    }

    /// The books, and what the owner wanted to be reminded of. `blocks` is what the map of blocks has.
    /// No hook is attached yet.
    pub(super) fn restore(&self, blocks: &BTreeMap<BlockKey, IpAddr>) -> (Registry, serde_json::Value) {
        let mut homes = blocks.clone();
        for (address, bits, home) in &self.moving {
            let block = BlockKey { address: convert::to_wire(*address), bits: *bits };
            match home {
                Some(home) => homes.insert(block, *home),
                None => homes.remove(&block),
            };
        }
        let mut registry = self.read(homes);
        for slot in registry.slots.values_mut() {
            slot.present = false;
            for hook in slot.hooks.iter_mut().filter(|hook| !matches!(hook, Hook::None | Hook::Gone)) {
                *hook = Hook::Lost;
            }
        }
        (registry, self.remembered.clone())
    }

    /// The books as they stand.
    fn read(&self, homes: BTreeMap<BlockKey, IpAddr>) -> Registry {
        let [slots, paths, peers, blocks] = self.capacities;
        let slots_of = self.slots.iter().filter_map(|slot| Some((slot.device.name.clone(), slot.slot()?)));
        Registry {
            slots: slots_of.collect(),
            attribution: BlockAttribution {
                homes,
                base: self.base.iter().map(|(key, counted)| (key.key(), counters(counted))).collect(),
                retired: self
                    .retired
                    .iter()
                    .filter_map(|(name, counted)| Some((name.id()?, counters(counted))))
                    .collect::<BTreeMap<PathId, _>>(),
            },
            topology: Topology {
                addresses: self.addresses.clone(),
                routers: self.routers.clone(),
                notes: self.notes.clone(),
                ..Topology::default()
            },
            routing: self.routing.iter().filter_map(SavedRouting::routing).collect(),
            size_bounds: self.size_bounds.clone(),
            capacities: Capacities { slots, paths, peers, blocks, ..Capacities::default() },
            since: Duration::from_nanos(self.since),
            unwatched: Duration::from_nanos(self.unwatched),
            gaps: self.gaps,
            known: (self.known[0], self.known[1]),
            node: self.node.clone(),
        }
    }

    /// The books for a reader beside the owner.
    pub(super) fn registry(&self, blocks: &BTreeMap<BlockKey, IpAddr>) -> Registry {
        let (mut registry, _) = self.restore(blocks);
        registry.slots = self.read(BTreeMap::new()).slots;
        registry
    }

    /// Names of devices that are watched.
    pub(super) fn devices(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter(|slot| slot.present).map(|slot| slot.device.name.as_str())
    }
}

fn counters(kept: &[u64]) -> [u64; PATH_COUNTERS] {
    let mut counters = [0; PATH_COUNTERS];
    for (to, from) in counters.iter_mut().zip(kept) {
        *to = *from;
    }
    counters
}

impl SavedSlot {
    fn of(slot: &Slot) -> Self {
        let watched = &slot.watched;
        Self {
            index: slot.index,
            device: watched.device.clone(),
            role: place(&ROLES, &watched.role),
            class: watched.class as u8,
            overhead: watched.overhead,
            vni: watched.vni,
            underlay: watched.underlay,
            underlay_mtu: watched.underlay_mtu,
            present: slot.present,
            hooks: slot.hooks.map(|hook| place(&HOOKS, &hook)),
            losses: slot.losses,
        }
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot {
            index: self.index,
            watched: Watched {
                device: self.device.clone(),
                role: at(&ROLES, self.role, Role::Other),
                class: Class::from_index(self.class)?,
                overhead: self.overhead,
                vni: self.vni,
                underlay: self.underlay,
                underlay_mtu: self.underlay_mtu,
            },
            present: self.present,
            hooks: self.hooks.map(|hook| at(&HOOKS, hook, Hook::Lost)),
            losses: self.losses,
        })
    }
}

impl SavedRouting {
    fn of(routing: &Routing) -> Self {
        Self {
            ipv6: routing.ipv6,
            class: routing.class as u8,
            scope: place(&SCOPES, &routing.scope),
            blocks: routing.blocks,
            peers: routing.peers,
        }
    }

    fn routing(&self) -> Option<Routing> {
        Some(Routing {
            ipv6: self.ipv6,
            class: Class::from_index(self.class)?,
            scope: at(&SCOPES, self.scope, Scope::Unknown),
            blocks: self.blocks,
            peers: self.peers,
        })
    }
}

impl SavedKey {
    fn of(key: &PathKey) -> Self {
        let PathKey { peer, vni, slot, direction, class } = *key;
        Self { peer: convert::from_wire(peer), vni, slot, direction, class }
    }

    fn key(&self) -> PathKey {
        let Self { peer, vni, slot, direction, class } = *self;
        PathKey { peer: convert::to_wire(peer), vni, slot, direction, class }
    }
}

/// Fails to compile where the reader's clock would differ from the writer's.
const _: fn() -> Duration = sys::boottime;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Vni;
    use crate::topology::{DeviceKind, LinkLayer};
    use observer_common::kind::Direction;

    fn registry() -> Registry {
        let mut registry = Registry::new(Capacities::default(), vec![64, 1_500]);
        let device = Device {
            ifindex: 7,
            name: "eth0".to_owned(),
            kind: DeviceKind::Veth,
            link: LinkLayer::Ethernet,
            mtu: 1_500,
            up: true,
            lower: None,
            controller: None,
            vxlan: None,
            local: None,
            remote: None,
            port: None,
        };
        let watched = Watched {
            device,
            role: Role::Underlay,
            class: Class::None,
            overhead: 0,
            vni: None,
            underlay: None,
            underlay_mtu: None,
        };
        let slot = Slot { index: 3, watched, present: true, hooks: [Hook::Tcx, Hook::Lost], losses: [0, 2] };
        registry.slots.insert("eth0".to_owned(), slot);
        let peer: IpAddr = [10, 0, 0, 2].into();
        let block = BlockKey { address: convert::to_wire([10, 244, 3, 64].into()), bits: 122 };
        registry.attribution.homes.insert(block, peer);
        let key = PathKey { peer: block.address, vni: block.bits, slot: 3, direction: 1, class: 0 };
        registry.attribution.base.insert(key, [4; PATH_COUNTERS]);
        let id = PathId {
            device: "eth0".into(),
            direction: Direction::Egress,
            class: Class::Vxlan,
            vni: Vni::Unknown,
            peer: "fd00::2".parse().expect("an address"),
            local: None,
        };
        registry.attribution.retired.insert(id, [u64::MAX; PATH_COUNTERS]);
        registry
    }

    fn written(registry: &Registry, moving: Vec<(BlockKey, Option<IpAddr>)>) -> State {
        let state = State::of(registry, &Options::default(), moving, &serde_json::json!({"a": 1}));
        let text = serde_json::to_vec(&state).expect("JSON");
        assert_eq!(State::parse(&text).as_ref(), Ok(&state));
        state
    }

    #[test]
    fn books_come_back_as_they_were() {
        let registry = registry();
        let state = written(&registry, Vec::new());
        let (again, remembered) = state.restore(&registry.attribution.homes);
        assert_eq!(again.attribution, registry.attribution);
        assert_eq!(again.since, registry.since);
        assert_eq!(remembered, serde_json::json!({"a": 1}));
        assert_eq!(again.slots["eth0"].index, 3);
        assert_eq!(again.slots["eth0"].hooks, [Hook::Lost; 2], "nothing is attached yet");
        let seen = state.registry(&registry.attribution.homes);
        assert_eq!(seen.slots, registry.slots, "a reader sees them as they are");
    }

    #[test]
    fn a_block_that_was_on_its_way_is_still_where_it_was() {
        let registry = registry();
        let after: IpAddr = [10, 0, 0, 9].into();
        let new = BlockKey { address: convert::to_wire([10, 244, 9, 0].into()), bits: 122 };
        let homes: BTreeMap<BlockKey, IpAddr> =
            registry.attribution.homes.keys().map(|block| (*block, after)).chain([(new, after)]).collect();
        let state = written(&registry, registry.attribution.moving(&homes));
        // The map has the new homes already, the ledger does not know it.
        assert_eq!(state.restore(&homes).0.attribution.homes, registry.attribution.homes);
    }

    #[test]
    fn other_layouts_and_capacities_are_refused() {
        let mut state = written(&registry(), Vec::new());
        state.layout += 1;
        let text = serde_json::to_vec(&state).expect("JSON");
        let refused = State::parse(&text).expect_err("another layout");
        assert!(refused.contains("layout 4.1") && refused.contains("reads 3.1"), "{refused}");
        let wanted = Capacities { paths: 7, ..Capacities::default() };
        let refused = state.fits(Path::new("/x"), wanted).expect_err("other capacities").to_string();
        assert!(refused.contains("--max-paths 16384, not 7"), "{refused}");
    }
}
