//! Paths: underlay device × direction × encapsulation × VNI × peer node.

use crate::address::Address;
use crate::counters::PATH_COUNTERS;

/// The VNI of paths whose encapsulation has none.
pub const VNI_NONE: u32 = 0;
/// Stands for every VNI that none of the node's devices uses, so that a sender who invents VNIs
/// cannot fill the table.
pub const VNI_FOREIGN: u32 = u32::MAX;

/// Key of the path table: 24 bytes without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct PathKey {
    /// The peer node. Of a native path ([`crate::kind::Class::None`]): the far pod block, because one
    /// look-up then serves for the block and for its counters; user space sums the blocks of a node.
    pub peer: Address,
    /// VNI, [`VNI_NONE`] or [`VNI_FOREIGN`]. Of a native path: the block's prefix length in the form of
    /// [`crate::abi::BlockKey`].
    pub vni: u32,
    /// The underlay device's slot.
    pub slot: u16,
    /// [`crate::kind::Direction`] as a number.
    pub direction: u8,
    /// [`crate::kind::Class`] as a number.
    pub class: u8,
}

impl PathKey {
    /// The key as words, for those who compare and mix whole keys.
    #[inline(always)]
    #[must_use]
    pub const fn words(&self) -> [u64; 3] {
        // SAFETY: integers only and no padding, of the same size (asserted below).
        unsafe { core::mem::transmute(*self) }
    }
}

/// Sets of the cache that leads from the keys of busy paths to their counters. A power of two.
pub const PATH_SETS: u32 = 4_096;
/// Keys of a set: together one cache line.
pub const PATH_WAYS: usize = 2;

/// A busy path, as a CPU remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BusyPath {
    /// [`PathKey::words`].
    pub key: [u64; 3],
    /// Where its counters stand.
    pub index: u32,
    /// Of which [`crate::abi::Config::generation`] this is true; 0 in a free place.
    pub generation: u32,
}

impl BusyPath {
    /// Whether this is what is remembered of a key.
    #[inline(always)]
    #[must_use]
    pub const fn is(&self, key: &[u64; 3], generation: u32) -> bool {
        // One comparison, where `==` might become a call that BPF does not have.
        let other = (self.key[0] ^ key[0]) | (self.key[1] ^ key[1]) | (self.key[2] ^ key[2]);
        other | (self.generation ^ generation) as u64 == 0
    }
}

/// A set of the cache, the path that came last first.
pub type PathSet = [BusyPath; PATH_WAYS];

/// The set that a key belongs to.
#[inline(always)]
#[must_use]
pub const fn path_set(key: &[u64; 3]) -> u32 {
    (mixed(key[0] ^ key[1], key[2]) >> (u64::BITS - PATH_SETS.trailing_zeros())) as u32
}

/// Multiplicative hashing, twice; the upper bits are the good ones. Between the two the upper half, where
/// all bits meet, is folded into the lower one, which alone reaches all bits again.
#[inline(always)]
const fn mixed(a: u64, b: u64) -> u64 {
    let once = (a ^ b.rotate_left(16)).wrapping_mul(GOLDEN);
    (once ^ once >> 32).wrapping_mul(GOLDEN)
}

/// 2^64 / φ.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Words of the filter of peers.
pub const PEER_WORDS: usize = 1_024;

/// The filter's word and bit for an address: a bit that is not set is nobody's whom the node ever knew.
#[inline(always)]
#[must_use]
pub const fn peer_bit(address: &Address) -> (usize, u64) {
    // SAFETY: sixteen bytes of integers; a copy has any alignment.
    let words: [u64; 2] = unsafe { core::mem::transmute(*address) };
    let place = mixed(words[0], words[1]) >> (u64::BITS - 16);
    ((place >> 6) as usize & (PEER_WORDS - 1), 1 << (place & 63))
}

/// Counters of one path on one CPU, by [`crate::counters::PathCounter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct PathStats(pub [u64; PATH_COUNTERS]);

impl PathStats {
    /// Nothing counted yet.
    pub const ZERO: Self = Self([0; PATH_COUNTERS]);
}

/// A tunnel sender or receiver that is no known node, in a table whose size no sender can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Stranger {
    /// Who; an unspecified peer marks a free slot.
    pub key: PathKey,
    /// Packets.
    pub packets: u64,
    /// Link-layer bytes.
    pub wire_bytes: u64,
}

const _: () = assert!(size_of::<PathKey>() == 24);
const _: () = assert!(size_of::<PathSet>() == 64 && PATH_SETS.is_power_of_two());
const _: () = assert!(PEER_WORDS * 64 == 1 << 16);
const _: () = assert!(size_of::<PathStats>() == 128);
const _: () = assert!(size_of::<Stranger>() == 40);

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of `count` nodes in a row, and of as many pod blocks in a row.
    fn keys(count: u32, stride: u32, vni: u32) -> impl Iterator<Item = PathKey> {
        (0..count).map(move |n| {
            let octets = (u32::from_be_bytes([10, 0, 0, 0]) + n * stride).to_be_bytes();
            PathKey { peer: Address::from_v4(octets), vni, slot: 1, direction: 0, class: 0 }
        })
    }

    #[test]
    fn keys_in_a_row_share_few_sets() {
        for (stride, vni) in [(1, VNI_NONE), (64, 122), (256, 4_096)] {
            let mut sets = [0_u8; PATH_SETS as usize];
            for key in keys(1_024, stride, vni) {
                sets[path_set(&key.words()) as usize] += 1;
            }
            let crowded: u32 =
                sets.iter().filter(|n| usize::from(**n) > PATH_WAYS).map(|n| u32::from(*n)).sum();
            assert!(crowded < 50, "stride {stride}: {crowded} of 1,024 share a set with more than one other");
        }
    }

    #[test]
    fn a_key_is_remembered_for_its_generation_only() {
        let [first, second] = [0, 1].map(|n| keys(2, 1, VNI_NONE).nth(n).expect("there are two").words());
        let busy = BusyPath { key: first, index: 7, generation: 2 };
        assert!(busy.is(&first, 2));
        assert!(!busy.is(&first, 3) && !busy.is(&second, 2));
    }

    #[test]
    fn few_strangers_pass_a_filter_of_many_peers() {
        let mut filter = [0_u64; PEER_WORDS];
        for key in keys(1_024, 1, VNI_NONE) {
            let (word, bit) = peer_bit(&key.peer);
            filter[word] |= bit;
        }
        let passes = |address: Address| {
            let (word, bit) = peer_bit(&address);
            filter[word] & bit != 0
        };
        assert!(keys(1_024, 1, VNI_NONE).all(|key| passes(key.peer)));
        let strangers = (0..10_000_u32).map(|n| Address::from_v4((0xc633_6400 + n * 7).to_be_bytes()));
        let passed = strangers.filter(|stranger| passes(*stranger)).count();
        assert!(passed < 400, "{passed} of 10,000 passed, though 1 of 64 bits is set");
    }
}
