//! Paths: underlay device × direction × encapsulation × VNI × peer node.

use crate::abi::MOST_PATHS;
use crate::address::Address;
use crate::counters::{PATH_COUNTERS, PathCounter};
use crate::kind::Direction;

/// The VNI of paths whose encapsulation has none.
pub const VNI_NONE: u32 = 0;
/// Stands for every VNI that none of the node's devices uses, so that a sender who invents VNIs
/// cannot fill the table.
pub const VNI_UNKNOWN: u32 = u32::MAX;

/// Key of the path table: 24 bytes without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct PathKey {
    /// The peer node. Of a native path ([`crate::kind::Class::None`]): the far pod block, because one
    /// look-up then serves for the block and for its counters; user space sums the blocks of a node.
    pub peer: Address,
    /// VNI, [`VNI_NONE`] or [`VNI_UNKNOWN`]. Of a native path: the block's prefix length in the form of
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
    /// Nobody's.
    pub const NOBODY: Self =
        Self { peer: Address::UNSPECIFIED, vni: VNI_NONE, slot: 0, direction: 0, class: 0 };

    /// A key that is written as the words that it is read as: a processor that is to read a word of which parts have
    /// just been written waits until they have reached the cache, which costs as much as all the rest of a
    /// look-up.
    #[inline(always)]
    #[must_use]
    pub const fn new(peer: Address, vni: u32, slot: u16, direction: Direction, class: u8) -> Self {
        let [a, b] = slot.to_ne_bytes();
        let last = u32::from_ne_bytes([a, b, direction as u8, class]);
        let [first, second, third, fourth] = peer.0;
        Self::of_words([joined(first, second), joined(third, fourth), joined(vni, last)])
    }

    /// The same path in another class and VNI, written as above.
    #[inline(always)]
    #[must_use]
    pub const fn of(self, class: u8, vni: u32) -> Self {
        let [first, second, third] = self.words();
        let [.., a, b, direction, _] = third.to_ne_bytes();
        let last = u32::from_ne_bytes([a, b, direction, class]);
        Self::of_words([first, second, joined(vni, last)])
    }

    #[inline(always)]
    const fn of_words(words: [u64; 3]) -> Self {
        // SAFETY: integers only and no padding, of the same size (asserted below).
        unsafe { core::mem::transmute(words) }
    }

    /// The key as words, for those who compare and mix whole keys.
    #[inline(always)]
    #[must_use]
    pub const fn words(&self) -> [u64; 3] {
        // SAFETY: as above.
        unsafe { core::mem::transmute(*self) }
    }
}

/// Two words that follow each other in memory, as one.
#[inline(always)]
const fn joined(first: u32, second: u32) -> u64 {
    let (first, second) = (first as u64, second as u64);
    if cfg!(target_endian = "little") { first | second << 32 } else { first << 32 | second }
}

/// Sets of the cache that leads from the keys of busy paths to their counters. A power of two.
pub const PATH_SETS: u32 = 16_384;
/// Keys of a set.
pub const PATH_WAYS: usize = 4;

/// A set of the cache, what came last first: in the lower bits of each word the place of a path's counters,
/// in the upper ones twelve bits of its key's hash, of which the highest is always set; 0 is nobody.
///
/// Small, because what 16,000 paths touch must fit into a processor's second-level cache; whether the path that
/// stands at that place is really the one, its [`HotPath`] tells, which is needed anyway.
pub type PathSet = [u32; PATH_WAYS];

/// The set that a key belongs to, and its part of a word there.
#[inline(always)]
#[must_use]
pub const fn path_set(key: &[u64; 3]) -> (u32, u32) {
    let hash = mixed(key[0] ^ key[1], key[2]);
    let set = (hash >> (u64::BITS - PATH_SETS.trailing_zeros())) as u32;
    (set, (hash >> 16) as u32 & MARK | 1 << 31)
}

/// The bits of a word that are a hash's.
const MARK: u32 = !(MOST_PATHS - 1);

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

/// Counters of a path that most packets touch, from the first of [`PathCounter`] on.
pub const HOT_COUNTERS: usize = PathCounter::Largest as usize + 1;
/// The others.
pub const COLD_COUNTERS: usize = PATH_COUNTERS - HOT_COUNTERS;

/// What most packets of a path touch on one CPU: one cache line, its key included.
///
/// Places for all CPUs stand in one array, [`crate::abi::Config::paths`] for each CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct HotPath {
    /// [`PathKey::words`] of the path that this CPU counts here; zeros: of none.
    pub key: [u64; 3],
    /// By [`PathCounter`].
    pub counters: [u64; HOT_COUNTERS],
}

impl HotPath {
    /// Whether this is the path of a key.
    #[inline(always)]
    #[must_use]
    pub const fn is(&self, key: &[u64; 3]) -> bool {
        // One comparison, where `==` might become a call that BPF does not have.
        (self.key[0] ^ key[0]) | (self.key[1] ^ key[1]) | (self.key[2] ^ key[2]) == 0
    }
}

/// The other counters of a path on one CPU: by [`PathCounter`], less [`HOT_COUNTERS`].
pub type ColdPath = [u64; COLD_COUNTERS];

/// Where the counters of one path stand.
pub trait Counters {
    /// Those that every packet touches.
    fn hot(&mut self) -> &mut [u64; HOT_COUNTERS];
    /// The others.
    fn cold(&mut self) -> Option<&mut ColdPath>;
}

/// Counters of one path, by [`crate::counters::PathCounter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct PathStats(pub [u64; PATH_COUNTERS]);

impl PathStats {
    /// Nothing counted yet.
    pub const ZERO: Self = Self([0; PATH_COUNTERS]);
}

impl Counters for &mut PathStats {
    fn hot(&mut self) -> &mut [u64; HOT_COUNTERS] {
        let Some((hot, _)) = self.0.split_first_chunk_mut() else { unreachable!("there are more") };
        hot
    }

    fn cold(&mut self) -> Option<&mut ColdPath> {
        self.0.last_chunk_mut()
    }
}

/// A tunnel sender or receiver that is no known node, in a table whose size no sender can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct UnknownPeer {
    /// Who; an unspecified peer marks a free slot.
    pub key: PathKey,
    /// Packets.
    pub packets: u64,
    /// Link-layer bytes.
    pub wire_bytes: u64,
}

const _: () = assert!(size_of::<PathKey>() == 24);
const _: () = assert!(PATH_SETS.is_power_of_two() && MOST_PATHS.is_power_of_two());
const _: () = assert!(size_of::<HotPath>() == 64);
const _: () = assert!(PEER_WORDS * 64 == 1 << 16);
const _: () = assert!(size_of::<UnknownPeer>() == 40);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    /// The keys of `account` nodes in a row, and of as many pod blocks in a row.
    fn keys(count: u32, stride: u32, vni: u32) -> impl Iterator<Item = PathKey> {
        (0..count).map(move |n| {
            let octets = (u32::from_be_bytes([10, 0, 0, 0]) + n * stride).to_be_bytes();
            PathKey { peer: Address::from_v4(octets), vni, slot: 1, direction: 0, class: 0 }
        })
    }

    #[test]
    fn a_key_is_the_sum_of_its_parts() {
        let peer = Address::from_v4([10, 0, 0, 1]);
        let key = PathKey { peer, vni: 4_096, slot: 0x1234, direction: 1, class: 5 };
        assert_eq!(PathKey::new(peer, 4_096, 0x1234, Direction::Egress, 5), key);
        assert_eq!(key.of(9, 7), PathKey { vni: 7, class: 9, ..key });
    }

    #[test]
    fn keys_in_a_row_share_few_sets() {
        for (stride, vni) in [(1, VNI_NONE), (64, 122), (256, 4_096)] {
            let mut sets = [0_u8; PATH_SETS as usize];
            for key in keys(16_000, stride, vni) {
                sets[path_set(&key.words()).0 as usize] += 1;
            }
            let crowded: u32 =
                sets.iter().filter(|n| usize::from(**n) > PATH_WAYS).map(|n| u32::from(*n)).sum();
            assert!(crowded < 1_000, "stride {stride}: {crowded} of 16,000 share a set with more than three");
        }
    }

    #[test]
    fn marks_tell_most_keys_of_a_set_apart_and_are_never_nobody() {
        let mut seen: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut same = 0;
        for key in keys(16_000, 64, 122) {
            let (set, mark) = path_set(&key.words());
            assert!(mark & (MOST_PATHS - 1) == 0 && mark != 0, "{mark:#x}");
            let marks = seen.entry(set).or_default();
            same += u32::from(marks.contains(&mark));
            marks.push(mark);
        }
        assert!(same < 50, "{same} of 16,000 keys look like another of their set");
    }

    #[test]
    fn few_unknown_peers_pass_a_filter_of_many_peers() {
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
        let unknown_peers = (0..10_000_u32).map(|n| Address::from_v4((0xc633_6400 + n * 7).to_be_bytes()));
        let passed = unknown_peers.filter(|unknown_peer| passes(*unknown_peer)).count();
        assert!(passed < 400, "{passed} of 10,000 passed, though 1 of 64 bits is set");
    }
}
