//! The accounting rule's tables, backed by BPF maps.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use observer_common::abi::{
    BlockFacts, BlockKey, Config, DEVICE_PROBES, DEVICE_TABLE, DeviceFacts, Events, MOST_PATHS, PeerFacts,
    SIZE_CLASSES, SIZE_TABLE, Totals,
};
use observer_common::account::{Observation, Tables};
use observer_common::address::Address;
use observer_common::path::{
    ColdPath, Counters, HOT_COUNTERS, HotPath, PATH_SETS, PathKey, UnknownPeer, path_set, peer_bit,
};

use crate::maps::{
    BLOCKS, CONFIG, DEVICES, EVENTS, FREE_PATHS, OBSERVATION, PATH_CACHE, PATH_COLD, PATH_HOT, PATHS,
    PATHS_ENTERED, PEER_FILTER, PEERS, SIZE_CLASS, TOTALS, UNKNOWN_PEERS,
};

/// Turns the pointer returned by a map look-up into a reference.
macro_rules! reference {
    ($pointer:expr) => {
        match $pointer {
            // SAFETY: the value lives as long as the map and belongs to this CPU, and no hook runs on a
            // CPU while another one is running there.
            Some(pointer) => Some(unsafe { &mut *pointer }),
            None => None,
        }
    };
}

/// The facts of a watched device.
#[inline(always)]
pub fn device(ifindex: u32) -> Option<&'static DeviceFacts> {
    let table = DEVICES.get();
    for probe in 0..DEVICE_PROBES {
        let facts = &table[(ifindex.wrapping_add(probe) & (DEVICE_TABLE - 1)) as usize];
        if facts.ifindex == ifindex {
            return Some(facts);
        }
    }
    None
}

/// The node's configuration.
#[inline(always)]
pub fn config() -> &'static Config {
    CONFIG.get()
}

/// Storage for the observation of the current packet.
#[inline(always)]
pub fn observation() -> Option<&'static mut Observation> {
    reference!(OBSERVATION.get_ptr_mut(0))
}

/// No index: larger than any array.
const NOWHERE: u32 = u32::MAX;
/// The bits of a [`PathSet`](observer_common::path::PathSet) word that hold an index.
const INDEX: u32 = MOST_PATHS - 1;

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: a helper of every program type.
    unsafe { bpf_get_smp_processor_id() }
}

/// The counters of a path on this CPU.
pub struct PathCounters {
    hot: &'static mut HotPath,
    slot: u32,
}

impl PathCounters {
    #[inline(always)]
    fn at(index: u32, config: &Config) -> Option<Self> {
        let slot = cpu() * config.paths + index;
        let hot = reference!(PATH_HOT.get_ptr_mut(slot))?;
        Some(Self { hot, slot })
    }
}

impl Counters for PathCounters {
    #[inline(always)]
    fn hot(&mut self) -> &mut [u64; HOT_COUNTERS] {
        &mut self.hot.counters
    }

    #[inline(always)]
    fn cold(&mut self) -> Option<&mut ColdPath> {
        reference!(PATH_COLD.get_ptr_mut(self.slot))
    }
}

/// The counters of a path from this CPU's cache.
#[inline(always)]
fn cached(key: &PathKey, config: &Config) -> Option<PathCounters> {
    let words = key.words();
    let (set, mark) = path_set(&words);
    let mut index = NOWHERE;
    // From last to first, so that the newest entry wins.
    for word in PATH_CACHE.get(cpu() * PATH_SETS + set)?.iter().rev() {
        if word ^ mark <= INDEX {
            index = word ^ mark;
        }
    }
    if index != NOWHERE
        && let Some(here) = PathCounters::at(index, config)
        && here.hot.is(&words)
    {
        return Some(here);
    }
    None
}

/// The counters of an existing path, from this CPU's cache or else from the hash.
#[inline(always)]
fn known(key: &PathKey, config: &Config) -> Option<PathCounters> {
    if let Some(here) = cached(key, config) {
        return Some(here);
    }
    let index = look_up(key);
    if index == NOWHERE { None } else { PathCounters::at(index, config) }
}

/// Looks a path up in the hash and caches its index. Not inlined: called from many places, rarely.
#[inline(never)]
fn look_up(key: &PathKey) -> u32 {
    // SAFETY: an index is one word, read in one load.
    let Some(index) = PATHS.get_ptr(key).map(|index| unsafe { *index }) else { return NOWHERE };
    let words = key.words();
    let (set, mark) = path_set(&words);
    if let (Some(here), Some(set)) =
        (PathCounters::at(index, config()), reference!(PATH_CACHE.get_ptr_mut(cpu() * PATH_SETS + set)))
    {
        here.hot.key = words;
        let [first, second, third, _] = *set;
        *set = [mark | index & INDEX, first, second, third];
    }
    index
}

/// Adds a path; [`NOWHERE`] if the table is full.
#[inline(never)]
fn enter(key: &PathKey) -> u32 {
    if let Ok(Some(index)) = FREE_PATHS.pop() {
        // Another CPU may have added it meanwhile: the look-up decides, not this result.
        if PATHS.insert(key, index, u64::from(BPF_NOEXIST)).is_err() {
            let _ = FREE_PATHS.push(index, 0);
        } else if let Some(entered) = reference!(PATHS_ENTERED.get_ptr_mut(0)) {
            *entered += 1;
        }
    }
    look_up(key)
}

/// False only if the address was never a peer's (a Bloom filter).
#[inline(always)]
pub fn may_be_peer(address: &Address) -> bool {
    let (word, bit) = peer_bit(address);
    PEER_FILTER.get().get(word).is_some_and(|word| word & bit != 0)
}

/// The facts of a known node, by address.
#[inline(always)]
pub fn peer(address: &Address) -> Option<PeerFacts> {
    // SAFETY: user space may replace the value meanwhile; a torn read mixes two configurations of the
    // same peer at worst.
    PEERS.get_ptr(address).map(|facts| unsafe { *facts })
}

/// The facts of a pod block.
#[inline(always)]
pub fn block(key: &BlockKey) -> Option<BlockFacts> {
    // SAFETY: a replaced value of a preallocated hash is a new element; the old stays readable.
    BLOCKS.get_ptr(key).map(|facts| unsafe { *facts })
}

/// The BPF maps, for counting.
pub struct Maps {
    /// The node's configuration.
    pub config: &'static Config,
}

impl Tables for Maps {
    type Path<'a> = PathCounters;

    #[inline(always)]
    fn totals(&mut self, index: u32) -> Option<&mut Totals> {
        reference!(TOTALS.get_ptr_mut(index))
    }

    #[inline(always)]
    fn events(&mut self, index: u32) -> Option<&mut Events> {
        reference!(EVENTS.get_ptr_mut(index))
    }

    #[inline(always)]
    fn path(&mut self, key: &PathKey) -> Option<PathCounters> {
        known(key, self.config)
    }

    #[inline(always)]
    fn cached_path(&mut self, key: &PathKey) -> Option<PathCounters> {
        cached(key, self.config)
    }

    #[inline(always)]
    fn add_path(&mut self, key: &PathKey) -> Option<PathCounters> {
        let index = enter(key);
        if index == NOWHERE { None } else { PathCounters::at(index, self.config) }
    }

    #[inline(always)]
    fn may_be_peer(&self, address: &Address) -> bool {
        may_be_peer(address)
    }

    #[inline(always)]
    fn peer(&self, address: &Address) -> Option<PeerFacts> {
        peer(address)
    }

    #[inline(always)]
    fn block(&self, key: &BlockKey) -> Option<BlockFacts> {
        block(key)
    }

    #[inline(always)]
    fn unknown_peer(&mut self, slot: u32) -> Option<&mut UnknownPeer> {
        reference!(UNKNOWN_PEERS.get_ptr_mut(slot))
    }

    #[inline(always)]
    fn size_class(&self, length: u32) -> usize {
        let length = if length < SIZE_TABLE as u32 { length } else { SIZE_TABLE as u32 - 1 };
        match SIZE_CLASS.get().get(length as usize) {
            Some(class) => *class as usize & (SIZE_CLASSES - 1),
            None => 0,
        }
    }
}
