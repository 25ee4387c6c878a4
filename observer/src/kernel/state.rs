//! The registry in a form that outlives the process: what a reader needs to interpret the maps, and what the
//! next owner needs so that no total decreases.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use observer_common::abi::{BlockKey, LAYOUT};
use observer_common::path::PathKey;
use serde::{Deserialize, Serialize};

use super::block_attribution::{BlockAttribution, Counters};
use super::error::KernelError;
use super::options::{Capacities, Ingress, Options};
use super::registry::{Registry, Slot};
use super::sys;
use crate::snapshot::{PathId, Routing};
use crate::topology::{Address, Topology};

/// Changes whenever the form of the state changes.
const FORMAT: u32 = 2;

/// The beginning of every form: all that another version may read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    format: u32,
    /// The layout of the maps.
    layout: u32,
    /// Version of the program that wrote it.
    version: String,
}

/// The state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    #[serde(flatten)]
    head: Head,
    capacities: Capacities,
    /// The network namespace, as its inode.
    pub(super) netns: u64,
    node: String,
    /// When counting began, on the clock of [`sys::boottime`].
    pub(super) since: Duration,
    unwatched: Duration,
    gaps: u64,
    known: (usize, usize),
    size_bounds: Vec<u32>,
    slots: Vec<Slot>,
    addresses: Vec<Address>,
    routers: Vec<(u32, IpAddr)>,
    routing: Vec<Routing>,
    notes: Vec<String>,
    base: Vec<(PathKey, Counters)>,
    retired: Vec<(PathId, Counters)>,
    /// Blocks that `BLOCKS` may already attribute to a new node, with the node that still applies.
    moving: Vec<(BlockKey, Option<IpAddr>)>,
    /// What is watched.
    pub(super) watching: Watching,
    remembered: serde_json::Value,
}

/// The part of the options that decides whether an exporter's maps answer another command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watching {
    pub(super) workloads: bool,
    pub(super) xdp: bool,
    pub(super) extra_peers: Vec<IpAddr>,
    pub(super) pod_cidrs: Vec<(IpAddr, u8)>,
}

impl State {
    /// The state of a registry. Exhaustive patterns: a new field must be saved, or left out on purpose.
    pub(super) fn of(
        registry: &Registry,
        options: &Options,
        moving: Vec<(BlockKey, Option<IpAddr>)>,
        remembered: &serde_json::Value,
    ) -> Self {
        let Registry {
            slots,
            attribution: BlockAttribution { homes: _, base, retired },
            topology: Topology { addresses, routers, notes, .. },
            routing,
            size_bounds,
            capacities,
            since,
            unwatched,
            gaps,
            known,
            node,
        } = registry;
        let Options { choice, ingress, capacities: _, pins: _, purpose: _, cost: _ } = options;
        Self {
            head: Head { format: FORMAT, layout: LAYOUT, version: env!("CARGO_PKG_VERSION").to_owned() },
            capacities: *capacities,
            netns: sys::netns().unwrap_or(0),
            node: node.clone(),
            since: *since,
            unwatched: *unwatched,
            gaps: *gaps,
            known: *known,
            size_bounds: size_bounds.clone(),
            slots: slots.values().cloned().collect(),
            addresses: addresses.clone(),
            routers: routers.clone(),
            routing: routing.clone(),
            notes: notes.clone(),
            base: base.iter().map(|(key, counted)| (*key, *counted)).collect(),
            retired: retired.iter().map(|(id, counted)| (id.clone(), *counted)).collect(),
            moving,
            watching: Watching {
                workloads: choice.workloads,
                xdp: *ingress == Ingress::Xdp,
                extra_peers: choice.extra_peers.clone(),
                pod_cidrs: choice.pod_cidrs.clone(),
            },
            remembered: remembered.clone(),
        }
    }

    /// Reads a state of this layout and form.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let head: Head = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if (head.format, head.layout) != (FORMAT, LAYOUT) {
            return Err(format!(
                "observer {} wrote layout {}.{}, but this version ({}) reads {LAYOUT}.{FORMAT}",
                head.version,
                head.layout,
                head.format,
                env!("CARGO_PKG_VERSION"),
            ));
        }
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// Checks that the saved maps have these capacities.
    pub(super) fn fits(&self, directory: &Path, wanted: Capacities) -> Result<(), KernelError> {
        let saved = &self.capacities;
        for (name, wanted, saved) in [
            ("--max-devices", wanted.slots, saved.slots),
            ("--max-paths", wanted.paths, saved.paths),
            ("--max-peers", wanted.peers, saved.peers),
            ("--max-blocks", wanted.blocks, saved.blocks),
        ] {
            if wanted != saved {
                return Err(KernelError::new(
                    "take over the maps in",
                    directory.display().to_string(),
                    format!("they were created with {name} {saved}, not {wanted}"),
                    format!("use {name} {saved}, or remove the directory (`rm -r`), which resets all totals"),
                ));
            }
        }
        Ok(())
    }

    /// The registry for the next owner, before any hook is attached, and the value to remember. `homes` is
    /// the content of `BLOCKS`.
    pub(super) fn restore(self, homes: BTreeMap<BlockKey, IpAddr>) -> (Registry, serde_json::Value) {
        let mut registry = self.registry(homes);
        for slot in registry.slots.values_mut() {
            slot.present = false;
            slot.lost();
        }
        (registry, self.remembered)
    }

    /// The registry as the owner has it. `homes` is the content of `BLOCKS`.
    pub(super) fn registry(&self, mut homes: BTreeMap<BlockKey, IpAddr>) -> Registry {
        for (block, home) in &self.moving {
            match home {
                Some(home) => homes.insert(*block, *home),
                None => homes.remove(block),
            };
        }
        Registry {
            slots: self.slots.iter().map(|slot| (slot.watched.device.name.clone(), slot.clone())).collect(),
            attribution: BlockAttribution {
                homes,
                base: self.base.iter().copied().collect(),
                retired: self.retired.iter().cloned().collect(),
            },
            topology: Topology {
                addresses: self.addresses.clone(),
                routers: self.routers.clone(),
                notes: self.notes.clone(),
                ..Topology::default()
            },
            routing: self.routing.clone(),
            size_bounds: self.size_bounds.clone(),
            capacities: self.capacities,
            since: self.since,
            unwatched: self.unwatched,
            gaps: self.gaps,
            known: self.known,
            node: self.node.clone(),
        }
    }

    /// Names of devices that are watched.
    pub(super) fn devices(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter(|slot| slot.present).map(|slot| slot.watched.device.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Hook, Vni};
    use crate::topology::{Device, DeviceKind, LinkLayer, Role, Watched, convert};
    use observer_common::counters::PATH_COUNTERS;
    use observer_common::kind::{Class, Direction};

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

    fn saved(registry: &Registry, moving: Vec<(BlockKey, Option<IpAddr>)>) -> State {
        let state = State::of(registry, &Options::default(), moving, &serde_json::json!({"a": 1}));
        let text = serde_json::to_vec(&state).expect("JSON");
        assert_eq!(State::parse(&text).as_ref(), Ok(&state));
        state
    }

    #[test]
    fn a_saved_registry_is_restored_without_hooks_and_read_unchanged() {
        let registry = registry();
        let state = saved(&registry, Vec::new());
        let seen = state.registry(registry.attribution.homes.clone());
        assert_eq!(seen.slots, registry.slots, "a reader sees the owner's hooks");
        let (again, remembered) = state.restore(registry.attribution.homes.clone());
        assert_eq!(again.attribution, registry.attribution);
        assert_eq!(again.since, registry.since);
        assert_eq!(remembered, serde_json::json!({"a": 1}));
        assert_eq!(again.slots["eth0"].index, 3);
        assert_eq!(again.slots["eth0"].hooks, [Hook::Lost; 2], "nothing is attached yet");
    }

    #[test]
    fn a_block_that_was_being_moved_keeps_its_old_node() {
        let registry = registry();
        let after: IpAddr = [10, 0, 0, 9].into();
        let new = BlockKey { address: convert::to_wire([10, 244, 9, 0].into()), bits: 122 };
        let homes: BTreeMap<BlockKey, IpAddr> =
            registry.attribution.homes.keys().map(|block| (*block, after)).chain([(new, after)]).collect();
        let state = saved(&registry, registry.attribution.moving(&homes));
        // The map has the new nodes already, the saved attribution does not.
        assert_eq!(state.restore(homes).0.attribution.homes, registry.attribution.homes);
    }

    #[test]
    fn other_layouts_and_capacities_are_refused() {
        let mut state = saved(&registry(), Vec::new());
        state.head.layout += 1;
        let text = serde_json::to_vec(&state).expect("JSON");
        let refused = State::parse(&text).expect_err("another layout");
        assert!(refused.contains("layout 4.2") && refused.contains("reads 3.2"), "{refused}");
        let wanted = Capacities { paths: 7, ..Capacities::default() };
        let refused = state.fits(Path::new("/x"), wanted).expect_err("other capacities").to_string();
        assert!(refused.contains("--max-paths 16384, not 7"), "{refused}");
    }
}
