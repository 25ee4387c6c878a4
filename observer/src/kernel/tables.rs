//! The typed maps: what user space writes for the programs and reads from them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use observer_common::abi::{
    BlockFacts, BlockKey, Config, DEVICE_TABLE, DeviceFacts, Events, PeerFacts, SIZE_TABLE, Totals,
    UNKNOWN_PEER_SLOTS, events_index, map_name, totals_index,
};
use observer_common::address::Address;
use observer_common::counters::{Event, Total};
use observer_common::kind::{Class, Direction};
use observer_common::path::{PEER_WORDS, PathKey, PathStats, UnknownPeer, peer_bit};

use super::error::KernelError;
use super::maps::{Plain, Shared, device_place, failed, possible_cpus};
use super::paths::Paths;
use crate::topology::convert;

/// All maps of one load.
pub struct Tables {
    devices: Array<MapData, Shared<[DeviceFacts; DEVICE_TABLE as usize]>>,
    config: Array<MapData, Shared<Config>>,
    size_class: Array<MapData, Shared<[u8; SIZE_TABLE]>>,
    totals: PerCpuArray<MapData, Shared<Totals>>,
    events: PerCpuArray<MapData, Shared<Events>>,
    paths: Paths,
    /// `None` for a reader.
    peer_filter: Option<Array<MapData, Shared<[u64; PEER_WORDS]>>>,
    peers: HashMap<MapData, Shared<Address>, Shared<PeerFacts>>,
    blocks: HashMap<MapData, Shared<BlockKey>, Shared<BlockFacts>>,
    unknown_peers: PerCpuArray<MapData, Shared<UnknownPeer>>,
    /// The content of `DEVICES`, which is one value.
    table: Box<[DeviceFacts; DEVICE_TABLE as usize]>,
    /// Index in the device table by interface.
    places: BTreeMap<u32, u32>,
    /// Number of peers and blocks in the maps.
    known: (usize, usize),
    /// The content of `PEER_FILTER`. Bits are only added: a former peer may still have paths.
    filter: Box<[u64; PEER_WORDS]>,
}

macro_rules! take {
    ($map:expr, $name:literal) => {
        $map($name).and_then(TryInto::try_into).map_err(failed("open", $name))?
    };
}

impl Tables {
    /// Takes the maps of loaded programs.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let mut map = |name: &'static str| {
            ebpf.take_map(map_name(name)).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
        };
        let mut tables = Self::from(&mut map, true)?;
        tables.peer_filter = Some(take!(map, "PEER_FILTER"));
        let paths = tables.paths.keys()?;
        tables.extend_filter(paths.iter().map(|(key, _)| &key.peer))?;
        Ok(tables)
    }

    /// Opens the maps that another process has pinned in a directory.
    ///
    /// # Errors
    /// A map is missing, has another type or must not be read.
    pub fn open(directory: &Path) -> Result<Self, KernelError> {
        Self::from(|name| Map::from_map_data(MapData::from_pin(directory.join(name))?), false)
    }

    fn from(
        mut map: impl FnMut(&'static str) -> Result<Map, MapError>,
        owner: bool,
    ) -> Result<Self, KernelError> {
        Ok(Self {
            devices: take!(map, "DEVICES"),
            config: take!(map, "CONFIG"),
            size_class: take!(map, "SIZE_CLASS"),
            totals: take!(map, "TOTALS"),
            events: take!(map, "EVENTS"),
            paths: Paths::open(&mut map, owner)?,
            peer_filter: None,
            peers: take!(map, "PEERS"),
            blocks: take!(map, "BLOCKS"),
            unknown_peers: take!(map, "UNKNOWN_PEERS"),
            table: Box::new([DeviceFacts::default(); DEVICE_TABLE as usize]),
            places: BTreeMap::new(),
            known: (0, 0),
            filter: Box::new([0; PEER_WORDS]),
        })
    }

    /// Adds a device or replaces its facts.
    ///
    /// # Errors
    /// The table has no free entry for the device's index or cannot be written.
    pub fn set_device(&mut self, facts: &DeviceFacts) -> Result<(), KernelError> {
        let place = device_place(&self.places, facts.ifindex)?;
        self.write_device(place, *facts)?;
        self.places.insert(facts.ifindex, place);
        Ok(())
    }

    /// Removes a device; its totals remain.
    pub fn remove_device(&mut self, ifindex: u32) -> Result<(), KernelError> {
        if let Some(place) = self.places.remove(&ifindex) {
            self.write_device(place, DeviceFacts::default())?;
        }
        Ok(())
    }

    /// All other entries are rewritten with the same bytes, so packets see no difference whatever the order.
    fn write_device(&mut self, place: u32, facts: DeviceFacts) -> Result<(), KernelError> {
        self.table[place as usize] = facts;
        self.devices.set(0, Shared(*self.table), 0).map_err(failed("write", "DEVICES"))
    }

    /// Replaces the node's configuration.
    pub fn set_config(&mut self, config: &Config) -> Result<(), KernelError> {
        let config = Config { paths: self.paths.capacity(), ..config.filtered() };
        self.config.set(0, Shared(config), 0).map_err(failed("write", "CONFIG"))
    }

    /// Adds addresses to the filter in front of the peer and block lookups.
    fn extend_filter<'a>(&mut self, peers: impl Iterator<Item = &'a Address>) -> Result<(), KernelError> {
        let mut changed = false;
        for peer in peers {
            let (word, bit) = peer_bit(peer);
            changed |= self.filter[word] & bit == 0;
            self.filter[word] |= bit;
        }
        match &mut self.peer_filter {
            Some(map) if changed => {
                map.set(0, Shared(*self.filter), 0).map_err(failed("write", "PEER_FILTER"))
            }
            _ => Ok(()),
        }
    }

    /// Sets the bounds of the size classes: ascending, inclusive upper bounds, at most 31.
    pub fn set_size_bounds(&mut self, bounds: &[u32]) -> Result<(), KernelError> {
        let mut table = [0_u8; SIZE_TABLE];
        for (size, class) in table.iter_mut().enumerate() {
            let above = bounds.iter().filter(|bound| (**bound as usize) < size).count();
            *class = u8::try_from(above).unwrap_or(u8::MAX);
        }
        self.set_size_classes(&table)
    }

    /// Sets the class of every size.
    pub fn set_size_classes(&mut self, table: &[u8; SIZE_TABLE]) -> Result<(), KernelError> {
        self.size_class.set(0, Shared(*table), 0).map_err(failed("write", "SIZE_CLASS"))
    }

    /// Replaces the peers and blocks.
    pub fn set_peers(
        &mut self,
        peers: &BTreeMap<Address, PeerFacts>,
        blocks: &BTreeMap<BlockKey, BlockFacts>,
    ) -> Result<(), KernelError> {
        self.paths.recycle()?;
        // Before they are added, so that none is missed.
        self.extend_filter(peers.keys().chain(blocks.values().map(|facts| &facts.peer)))?;
        replace(&mut self.peers, peers, "PEERS")?;
        replace(&mut self.blocks, blocks, "BLOCKS")?;
        self.known = (peers.len(), blocks.len());
        Ok(())
    }

    /// Totals of a slot, direction and class, summed over all CPUs.
    pub fn totals(&self, slot: u16, direction: Direction, class: Class) -> Result<Totals, KernelError> {
        let index = totals_index(slot, direction, class);
        let values = self.totals.get(&index, 0).map_err(failed("read", "TOTALS"))?;
        let mut sum = Totals::ZERO;
        for Shared(value) in values.iter() {
            for counter in Total::ALL {
                counter.merge().add(&mut sum.counters[counter as usize], value.counters[counter as usize]);
            }
            for (sum, size) in sum.sizes.iter_mut().zip(value.sizes) {
                *sum += size;
            }
        }
        Ok(sum)
    }

    /// Events of a slot and direction, summed over all CPUs.
    pub fn events(&self, slot: u16, direction: Direction) -> Result<Events, KernelError> {
        let values = self.events.get(&events_index(slot, direction), 0).map_err(failed("read", "EVENTS"))?;
        let mut sum = Events::ZERO;
        for Shared(value) in values.iter() {
            for event in Event::ALL {
                event.merge().add(&mut sum.0[event as usize], value.0[event as usize]);
            }
        }
        Ok(sum)
    }

    /// All paths, summed over all CPUs.
    pub fn paths(&self) -> Result<Vec<(PathKey, PathStats)>, KernelError> {
        self.paths.read()
    }

    /// Removes paths.
    pub fn remove_paths(&mut self, keys: &[PathKey]) -> Result<(), KernelError> {
        keys.iter().try_for_each(|key| self.paths.remove(key))
    }

    /// The node of each pod block in the map.
    pub fn blocks(&self) -> Result<BTreeMap<BlockKey, IpAddr>, KernelError> {
        let mut blocks = BTreeMap::new();
        for entry in self.blocks.iter() {
            let (Shared(key), Shared(facts)) = entry.map_err(failed("read", "BLOCKS"))?;
            blocks.insert(key, convert::from_wire(facts.peer));
        }
        Ok(blocks)
    }

    /// All unknown peers, summed over all CPUs.
    pub fn unknown_peers(&self) -> Result<Vec<UnknownPeer>, KernelError> {
        let mut unknown_peers: BTreeMap<PathKey, UnknownPeer> = BTreeMap::new();
        for place in 0..UNKNOWN_PEER_SLOTS {
            let values = self.unknown_peers.get(&place, 0).map_err(failed("read", "UNKNOWN_PEERS"))?;
            for Shared(value) in values.iter().filter(|Shared(value)| value.packets != 0) {
                let sum = unknown_peers.entry(value.key).or_insert(UnknownPeer {
                    packets: 0,
                    wire_bytes: 0,
                    ..*value
                });
                sum.packets += value.packets;
                sum.wire_bytes += value.wire_bytes;
            }
        }
        Ok(unknown_peers.into_values().collect())
    }

    /// Clears the counts of these slots, all paths and all unknown peers, for tests and benchmarks.
    pub fn reset(&mut self, slots: &[u16]) -> Result<(), KernelError> {
        let cpus = possible_cpus()? as usize;
        for slot in slots {
            for direction in Direction::ALL {
                let zero = PerCpuValues::try_from(vec![Shared(Events::ZERO); cpus]).map_err(cannot_reset)?;
                self.events
                    .set(events_index(*slot, direction), zero, 0)
                    .map_err(failed("write", "EVENTS"))?;
                for class in Class::ALL {
                    let zero =
                        PerCpuValues::try_from(vec![Shared(Totals::ZERO); cpus]).map_err(cannot_reset)?;
                    let index = totals_index(*slot, direction, class);
                    self.totals.set(index, zero, 0).map_err(failed("write", "TOTALS"))?;
                }
            }
        }
        let paths: Vec<_> = self.paths.keys()?.into_iter().map(|(key, _)| key).collect();
        self.remove_paths(&paths)?;
        self.paths.recycle()?;
        for place in 0..UNKNOWN_PEER_SLOTS {
            let free = Shared(UnknownPeer { key: PathKey::NOBODY, packets: 0, wire_bytes: 0 });
            let free = PerCpuValues::try_from(vec![free; cpus]).map_err(cannot_reset)?;
            self.unknown_peers.set(place, free, 0).map_err(failed("write", "UNKNOWN_PEERS"))?;
        }
        Ok(())
    }

    /// Number of peers and blocks in the maps.
    #[must_use]
    pub const fn known(&self) -> (usize, usize) {
        self.known
    }
}

fn cannot_reset(error: std::io::Error) -> KernelError {
    KernelError::new("clear", "the maps", error.to_string(), "see `dmesg`")
}

/// Makes a hash equal to `wanted` without touching entries that stay, so that the programs never miss them.
fn replace<K, V>(
    map: &mut HashMap<MapData, Shared<K>, Shared<V>>,
    wanted: &BTreeMap<K, V>,
    name: &'static str,
) -> Result<(), KernelError>
where
    K: Plain + Ord,
    V: Plain + PartialEq,
{
    let mut present: BTreeMap<K, V> = BTreeMap::new();
    for entry in map.iter() {
        let (Shared(key), Shared(value)) = entry.map_err(failed("read", name))?;
        present.insert(key, value);
    }
    for key in present.keys().filter(|key| !wanted.contains_key(key)) {
        map.remove(&Shared(*key)).map_err(failed("write", name))?;
    }
    for (key, value) in wanted.iter().filter(|(key, value)| present.get(key) != Some(value)) {
        map.insert(Shared(*key), Shared(*value), 0).map_err(failed("write", name))?;
    }
    Ok(())
}
