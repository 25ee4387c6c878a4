//! The accounting rule's tables, in the kernel's maps.

use aya_ebpf::bindings::BPF_NOEXIST;
use observer_common::abi::{
    BlockFacts, BlockKey, Config, DEVICE_PROBES, DEVICE_TABLE, DeviceFacts, Events, PeerFacts, SIZE_CLASSES,
    SIZE_TABLE, Totals,
};
use observer_common::account::{Observation, Tables};
use observer_common::address::Address;
use observer_common::path::{PathKey, PathStats, Stranger};

use crate::maps::{
    BLOCKS, CONFIG, DEVICES, EVENTS, IN_HAND, PATHS, PEERS, SIZE_CLASS, STRANGER_TABLE, TOTALS,
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

/// A value of zeros to enter new paths with.
static NEW_PATH: PathStats = PathStats::ZERO;

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
        reference!(PATHS.get_ptr_mut(key))
    }

    #[inline(always)]
    fn add_path(&mut self, key: &PathKey) -> Option<&mut PathStats> {
        // Another CPU may have entered it meanwhile: the look-up decides, not the result.
        #[expect(
            clippy::needless_borrows_for_generic_args,
            reason = "by value it would be copied to the stack, a quarter of which that is"
        )]
        let _ = PATHS.insert(key, &NEW_PATH, u64::from(BPF_NOEXIST));
        self.path(key)
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
