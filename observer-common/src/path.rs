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
const _: () = assert!(size_of::<PathStats>() == 128);
const _: () = assert!(size_of::<Stranger>() == 40);
