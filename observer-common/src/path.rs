//! Paths: underlay device × direction × encapsulation × VNI × peer node.

use crate::abi::MOST_PATHS;
use crate::address::Address;
use crate::counters::{PATH_COUNTERS, PathCounter};
use crate::kind::Direction;

/// The VNI of paths whose encapsulation does not have one.
pub const VNI_NONE: u32 = 0;
/// Replaces every VNI that none of the node's devices uses, so that random VNIs cannot fill the
/// table.
pub const VNI_UNKNOWN: u32 = u32::MAX;

/// Key of the path table: 24 bytes without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct PathKey {
    /// The peer node. For a native path ([`crate::kind::Class::None`]), the remote pod block: one look-up then
    /// finds both the block and its counters, and user space adds up the blocks of a node.
    pub peer: Address,
    /// VNI, [`VNI_NONE`] or [`VNI_UNKNOWN`]. For a native path, the block's prefix length as in
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
    /// No path.
    pub const NOBODY: Self =
        Self { peer: Address::UNSPECIFIED, vni: VNI_NONE, slot: 0, direction: 0, class: 0 };

    /// Builds a key with whole-word stores. Reading a word whose parts have just been written stalls the processor
    /// (failed store forwarding), which costs as much as the rest of a look-up.
    #[inline(always)]
    #[must_use]
    pub const fn new(peer: Address, vni: u32, slot: u16, direction: Direction, class: u8) -> Self {
        let [a, b] = slot.to_ne_bytes();
        let last = u32::from_ne_bytes([a, b, direction as u8, class]);
        let [first, second, third, fourth] = peer.0;
        Self::of_words([joined(first, second), joined(third, fourth), joined(vni, last)])
    }

    /// The same path with another class and VNI, stored as above.
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

    /// The key as words, for comparing and hashing.
    #[inline(always)]
    #[must_use]
    pub const fn words(&self) -> [u64; 3] {
        // SAFETY: as above.
        unsafe { core::mem::transmute(*self) }
    }
}

/// Two words that are adjacent in memory, as one.
#[inline(always)]
const fn joined(first: u32, second: u32) -> u64 {
    let (first, second) = (first as u64, second as u64);
    if cfg!(target_endian = "little") { first | second << 32 } else { first << 32 | second }
}

/// Sets of the cache that maps the keys of busy paths to their counters. A power of two.
pub const PATH_SETS: u32 = 16_384;
/// Entries in a set.
pub const PATH_WAYS: usize = 4;

/// A set of the cache, most recently used first. The lower bits of each word are the index of a path's counters, the
/// upper twelve bits are part of its key's hash with the highest bit always set; 0 is an empty entry.
///
/// Entries are small so that 16,000 paths fit into a processor's L2 cache. The full key is checked in [`HotPath`],
/// which is read anyway.
pub type PathSet = [u32; PATH_WAYS];

/// The set a key belongs to, and its hash bits in an entry.
#[inline(always)]
#[must_use]
pub const fn path_set(key: &[u64; 3]) -> (u32, u32) {
    let hash = mixed(key[0] ^ key[1], key[2]);
    let set = (hash >> (u64::BITS - PATH_SETS.trailing_zeros())) as u32;
    (set, (hash >> 16) as u32 & MARK | 1 << 31)
}

/// The hash bits of an entry.
const MARK: u32 = !(MOST_PATHS - 1);

/// Multiplicative hashing, twice. Only the upper bits depend on all input bits, so the upper half is folded into the
/// lower one in between.
#[inline(always)]
const fn mixed(a: u64, b: u64) -> u64 {
    let once = (a ^ b.rotate_left(16)).wrapping_mul(GOLDEN);
    (once ^ once >> 32).wrapping_mul(GOLDEN)
}

/// 2^64 / φ.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Words of the peer filter.
pub const PEER_WORDS: usize = 1_024;

/// The peer filter's word and bit for an address. If the bit is not set, the address is not a known node's.
#[inline(always)]
#[must_use]
pub const fn peer_bit(address: &Address) -> (usize, u64) {
    // SAFETY: sixteen bytes of integers; a copy has any alignment.
    let words: [u64; 2] = unsafe { core::mem::transmute(*address) };
    let bit = mixed(words[0], words[1]) >> (u64::BITS - 16);
    ((bit >> 6) as usize & (PEER_WORDS - 1), 1 << (bit & 63))
}

/// Counters of a path that most packets update: the first ones of [`PathCounter`].
pub const HOT_COUNTERS: usize = PathCounter::Largest as usize + 1;
/// The remaining counters of a path.
pub const COLD_COUNTERS: usize = PATH_COUNTERS - HOT_COUNTERS;

/// The key and the hot counters of a path on one CPU: one cache line.
///
/// One array holds the entries of all CPUs, [`crate::abi::Config::paths`] for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct HotPath {
    /// [`PathKey::words`] of the path; zeros if the entry is free.
    pub key: [u64; 3],
    /// By [`PathCounter`].
    pub counters: [u64; HOT_COUNTERS],
}

impl HotPath {
    /// Whether this path has the given key.
    #[inline(always)]
    #[must_use]
    pub const fn is(&self, key: &[u64; 3]) -> bool {
        // `==` might compile to a `memcmp` call, which BPF does not have.
        (self.key[0] ^ key[0]) | (self.key[1] ^ key[1]) | (self.key[2] ^ key[2]) == 0
    }
}

/// The cold counters of a path on one CPU, by [`PathCounter`] minus [`HOT_COUNTERS`].
pub type ColdPath = [u64; COLD_COUNTERS];

/// Access to the counters of one path.
pub trait Counters {
    /// Counters that every packet updates.
    fn hot(&mut self) -> &mut [u64; HOT_COUNTERS];
    /// The remaining counters.
    fn cold(&mut self) -> Option<&mut ColdPath>;
}

/// All counters of one path, by [`PathCounter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct PathStats(pub [u64; PATH_COUNTERS]);

impl PathStats {
    /// Nothing counted yet.
    pub const ZERO: Self = Self([0; PATH_COUNTERS]);
}

impl Counters for &mut PathStats {
    fn hot(&mut self) -> &mut [u64; HOT_COUNTERS] {
        let Some((hot, _)) = self.0.split_first_chunk_mut() else {
            unreachable!("PATH_COUNTERS > HOT_COUNTERS")
        };
        hot
    }

    fn cold(&mut self) -> Option<&mut ColdPath> {
        self.0.last_chunk_mut()
    }
}

/// A tunnel endpoint that is not a known node. The table of these has a fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct UnknownPeer {
    /// The endpoint; an unspecified peer marks a free slot.
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

    /// The keys of `count` consecutive nodes or pod blocks.
    fn keys(count: u32, stride: u32, vni: u32) -> impl Iterator<Item = PathKey> {
        (0..count).map(move |n| {
            let octets = (u32::from_be_bytes([10, 0, 0, 0]) + n * stride).to_be_bytes();
            PathKey { peer: Address::from_v4(octets), vni, slot: 1, direction: 0, class: 0 }
        })
    }

    #[test]
    fn keys_equal_their_fields() {
        let peer = Address::from_v4([10, 0, 0, 1]);
        let key = PathKey { peer, vni: 4_096, slot: 0x1234, direction: 1, class: 5 };
        assert_eq!(PathKey::new(peer, 4_096, 0x1234, Direction::Egress, 5), key);
        assert_eq!(key.of(9, 7), PathKey { vni: 7, class: 9, ..key });
    }

    #[test]
    fn consecutive_keys_share_few_sets() {
        for (stride, vni) in [(1, VNI_NONE), (64, 122), (256, 4_096)] {
            let mut sets = [0_u8; PATH_SETS as usize];
            for key in keys(16_000, stride, vni) {
                sets[path_set(&key.words()).0 as usize] += 1;
            }
            let crowded: u32 =
                sets.iter().filter(|n| usize::from(**n) > PATH_WAYS).map(|n| u32::from(*n)).sum();
            assert!(
                crowded < 1_000,
                "stride {stride}: {crowded} of 16,000 are in a set with more than {PATH_WAYS}"
            );
        }
    }

    #[test]
    fn hash_bits_distinguish_most_keys_of_a_set_and_are_never_zero() {
        let mut seen: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut same = 0;
        for key in keys(16_000, 64, 122) {
            let (set, mark) = path_set(&key.words());
            assert!(mark & (MOST_PATHS - 1) == 0 && mark != 0, "{mark:#x}");
            let marks = seen.entry(set).or_default();
            same += u32::from(marks.contains(&mark));
            marks.push(mark);
        }
        assert!(same < 50, "{same} of 16,000 keys have the hash bits of another key in their set");
    }

    #[test]
    fn few_unknown_peers_pass_the_peer_filter() {
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
        let unknown = (0..10_000_u32).map(|n| Address::from_v4((0xc633_6400 + n * 7).to_be_bytes()));
        let passed = unknown.filter(|address| passes(*address)).count();
        assert!(passed < 400, "{passed} of 10,000 passed although 1 of 64 bits is set");
    }
}
