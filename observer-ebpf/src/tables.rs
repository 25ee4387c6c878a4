//! The accounting rule's tables, in the kernel's maps.

use aya_ebpf::bindings::BPF_NOEXIST;
use observer_common::abi::{
    BlockFacts, BlockKey, Config, DEVICE_PROBES, DEVICE_TABLE, DeviceFacts, Events, PeerFacts, SIZE_CLASSES,
    SIZE_TABLE, Totals,
};
use observer_common::account::{Observation, Tables};
use observer_common::address::Address;
use observer_common::path::{BusyPath, PathKey, PathStats, Stranger, path_set, peer_bit};

use crate::maps::{
    BLOCKS, CONFIG, DEVICES, EVENTS, FREE_PATHS, IN_HAND, PATH_CACHE, PATH_STATS, PATHS, PATHS_ENTERED,
    PEER_FILTER, PEERS, SIZE_CLASS, STRANGER_TABLE, TOTALS,
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
    for probe in 0..DEVICE_PROBES {
        let facts = DEVICES.get(ifindex.wrapping_add(probe) & (DEVICE_TABLE - 1))?;
        if facts.ifindex == ifindex {
            return Some(facts);
        }
    }
    None
}

/// The node's configuration.
#[inline(always)]
pub fn config() -> Option<&'static Config> {
    CONFIG.get(0)
}

/// Room for what is known of the packet in hand.
#[inline(always)]
pub fn in_hand() -> Option<&'static mut Observation> {
    reference!(IN_HAND.get_ptr_mut(0))
}

/// Stands for no index: none of an array's.
const NOWHERE: u32 = u32::MAX;

/// Where the counters of a path stand that is known already: as this CPU remembers it, or by the hash.
#[inline(always)]
fn index(key: &PathKey) -> Option<u32> {
    let words = key.words();
    let generation = config()?.generation;
    let set = PATH_CACHE.get(path_set(&words))?;
    for busy in set {
        if busy.is(&words, generation) {
            return Some(busy.index);
        }
    }
    let index = look_up(key);
    if index == NOWHERE { None } else { Some(index) }
}

/// Looks a path up in the hash, and remembers where it stands. Not inlined: the programs do it in many
/// places, and seldom.
#[inline(never)]
fn look_up(key: &PathKey) -> u32 {
    // SAFETY: an index is one word, and is read at once.
    let Some(index) = PATHS.get_ptr(key).map(|index| unsafe { *index }) else { return NOWHERE };
    let words = key.words();
    if let (Some(set), Some(config)) = (reference!(PATH_CACHE.get_ptr_mut(path_set(&words))), config()) {
        let [first, second] = set;
        *second = *first;
        *first = BusyPath { key: words, index, generation: config.generation };
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
fn may_be_peer(address: &Address) -> bool {
    let (word, bit) = peer_bit(address);
    PEER_FILTER.get(0).and_then(|filter| filter.get(word)).is_some_and(|word| word & bit != 0)
}

/// The kernel's maps.
pub struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn totals(&mut self, index: u32) -> Option<&mut Totals> {
        reference!(TOTALS.get_ptr_mut(index))
    }

    #[inline(always)]
    fn events(&mut self, index: u32) -> Option<&mut Events> {
        reference!(EVENTS.get_ptr_mut(index))
    }

    #[inline(always)]
    fn path(&mut self, key: &PathKey) -> Option<&mut PathStats> {
        let index = index(key)?;
        reference!(PATH_STATS.get_ptr_mut(index))
    }

    #[inline(always)]
    fn add_path(&mut self, key: &PathKey) -> Option<&mut PathStats> {
        let index = enter(key);
        reference!(PATH_STATS.get_ptr_mut(index))
    }

    #[inline(always)]
    fn may_be_peer(&self, address: &Address) -> bool {
        may_be_peer(address)
    }

    #[inline(always)]
    fn peer(&self, address: &Address) -> Option<PeerFacts> {
        // SAFETY: user space may replace the value meanwhile; both words are read at once at most
        // torn between two configurations of the same peer.
        PEERS.get_ptr(address).map(|facts| unsafe { *facts })
    }

    #[inline(always)]
    fn block(&self, key: &BlockKey) -> Option<BlockFacts> {
        // SAFETY: a replaced value of a preallocated hash is a new element; the old stays readable.
        BLOCKS.get_ptr(key).map(|facts| unsafe { *facts })
    }

    #[inline(always)]
    fn stranger(&mut self, place: u32) -> Option<&mut Stranger> {
        reference!(STRANGER_TABLE.get_ptr_mut(place))
    }

    #[inline(always)]
    fn size_class(&self, length: u32) -> usize {
        let length = if length < SIZE_TABLE as u32 { length } else { SIZE_TABLE as u32 - 1 };
        match SIZE_CLASS.get(0).and_then(|table| table.get(length as usize)) {
            Some(class) => *class as usize & (SIZE_CLASSES - 1),
            None => 0,
        }
    }
}
