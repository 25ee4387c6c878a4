//! The tables of the accounting rule.

use crate::abi::{BlockFacts, BlockKey, Events, PeerFacts, Totals};
use crate::address::Address;
use crate::path::{Counters, PathKey, UnknownPeer};

/// The tables that the rule reads and updates.
pub trait Tables {
    /// The counters of one path.
    type Path<'a>: Counters
    where
        Self: 'a;
    /// Totals at an index of [`totals_index`].
    fn totals(&mut self, index: u32) -> Option<&mut Totals>;
    /// Events at an index of [`events_index`].
    fn events(&mut self, index: u32) -> Option<&mut Events>;
    /// The counters of a path that has an entry.
    fn path(&mut self, key: &PathKey) -> Option<Self::Path<'_>>;
    /// The counters of a path that can be found without a full look-up. `None` does not mean that it has no entry.
    #[inline(always)]
    fn cached_path(&mut self, key: &PathKey) -> Option<Self::Path<'_>> {
        self.path(key)
    }
    /// Adds an entry for a path if there is room.
    fn add_path(&mut self, key: &PathKey) -> Option<Self::Path<'_>>;
    /// False if an address is certainly not a known node's. Checked first for a tunnel's remote address, so that a
    /// flood from unknown senders causes no look-ups and no cache misses.
    #[inline(always)]
    fn may_be_peer(&self, _address: &Address) -> bool {
        true
    }
    /// The facts of a known node.
    fn peer(&self, address: &Address) -> Option<PeerFacts>;
    /// The facts of a pod block.
    fn block(&self, key: &BlockKey) -> Option<BlockFacts>;
    /// The slot of an unknown peer, below [`crate::abi::UNKNOWN_PEER_SLOTS`].
    fn unknown_peer(&mut self, index: u32) -> Option<&mut UnknownPeer>;
    /// The size class of an L3 size.
    fn size_class(&self, length: u32) -> usize;
    /// The current frame belongs to this path. Only used when single frames are reported.
    #[inline(always)]
    fn note_path(&mut self, _key: &PathKey) {}
}
