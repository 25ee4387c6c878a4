//! The accounting rule's tables, in the kernel's maps.

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

/// Turns the pointer that a look-up gave into a reference.
macro_rules! reference {
    ($pointer:expr) => {
        match $pointer {
            // SAFETY: the value lives as long as the map; it is this CPU's own, and neither hook is
            // re-entered on one CPU while the other runs there.
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

/// Room for what is known of the packet in hand.
#[inline(always)]
pub fn observation() -> Option<&'static mut Observation> {
    reference!(OBSERVATION.get_ptr_mut(0))
}

/// Stands for no index: none of an array's.
const NOWHERE: u32 = u32::MAX;
/// The bits of a word of [`PathSet`] that are an index.
const INDEX: u32 = MOST_PATHS - 1;

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: a helper of every program type.
    unsafe { bpf_get_smp_processor_id() }
}

/// The counters of a path on this CPU.
pub struct PathCounters {
    hot: &'static mut HotPath,
    place: u32,
}

impl PathCounters {
    #[inline(always)]
    fn at(index: u32, config: &Config) -> Option<Self> {
        let place = cpu() * config.paths + index;
        let hot = reference!(PATH_HOT.get_ptr_mut(place))?;
        Some(Self { hot, place })
    }
}

impl Counters for PathCounters {
    #[inline(always)]
    fn hot(&mut self) -> &mut [u64; HOT_COUNTERS] {
        &mut self.hot.counters
    }

    #[inline(always)]
    fn cold(&mut self) -> Option<&mut ColdPath> {
        reference!(PATH_COLD.get_ptr_mut(self.place))
    }
}

/// Where the counters of a path stand, as this CPU remembers it.
#[inline(always)]
fn cached(key: &PathKey, config: &Config) -> Option<PathCounters> {
    let words = key.words();
    let (set, mark) = path_set(&words);
    let mut index = NOWHERE;
    // From the last to the first, so that what came last is taken.
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

/// Where the counters of a path stand that is known already: as this CPU remembers it, or by the hash.
#[inline(always)]
fn known(key: &PathKey, config: &Config) -> Option<PathCounters> {
    if let Some(here) = cached(key, config) {
        return Some(here);
    }
    let index = look_up(key);
    if index == NOWHERE { None } else { PathCounters::at(index, config) }
}

/// Looks a path up in the hash, and remembers where it stands. Not inlined: the programs do it in many
/// places, and seldom.
#[inline(never)]
fn look_up(key: &PathKey) -> u32 {
    // SAFETY: an index is one word, and is read at once.
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

/// Enters a path; [`NOWHERE`] where there is no room.
#[inline(never)]
fn enter(key: &PathKey) -> u32 {
    if let Ok(Some(index)) = FREE_PATHS.pop() {
        // Another CPU may have entered it meanwhile: the look-up decides, not the result.
        if PATHS.insert(key, index, u64::from(BPF_NOEXIST)).is_err() {
            let _ = FREE_PATHS.push(index, 0);
        } else if let Some(entered) = reference!(PATHS_ENTERED.get_ptr_mut(0)) {
            *entered += 1;
        }
    }
    look_up(key)
}

/// False for an address that was never a peer's.
#[inline(always)]
pub fn may_be_peer(address: &Address) -> bool {
    let (word, bit) = peer_bit(address);
    PEER_FILTER.get().get(word).is_some_and(|word| word & bit != 0)
}

/// Whether an address is a known node's.
#[inline(always)]
pub fn peer(address: &Address) -> Option<PeerFacts> {
    // SAFETY: user space may replace the value meanwhile; both words are read at once at most
    // torn between two configurations of the same peer.
    PEERS.get_ptr(address).map(|facts| unsafe { *facts })
}

/// Where a pod block is.
#[inline(always)]
pub fn block(key: &BlockKey) -> Option<BlockFacts> {
    // SAFETY: a replaced value of a preallocated hash is a new element; the old stays readable.
    BLOCKS.get_ptr(key).map(|facts| unsafe { *facts })
}

/// The kernel's maps.
pub struct Maps {
    /// The node.
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
    fn unknown_peer(&mut self, place: u32) -> Option<&mut UnknownPeer> {
        reference!(UNKNOWN_PEERS.get_ptr_mut(place))
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
