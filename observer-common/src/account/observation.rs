//! What is known about a frame, step by step.

use super::sizes::Sizes;
use crate::abi::BlockKey;
use crate::address::Address;
use crate::kind::Class;
use crate::packet::{Cleared, Frame, Malformed, Parsed};
use crate::path::PathKey;

/// How a frame was counted, for reporting it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Verdict {
    /// Its sizes.
    pub sizes: Sizes,
    /// Its class after the node's tables were consulted.
    pub class: Class,
    /// What is wrong with it: a [`Malformed`] as a number.
    pub malformed: u8,
    /// Packets larger than the device's MTU.
    pub oversized: u32,
    /// Packets larger than the tunnel can carry without fragmentation.
    pub too_big_for_tunnel: u32,
    /// The remote end is not a known node.
    pub unknown_peer: bool,
    /// The VNI is not one of the node's.
    pub unknown_vni: bool,
}

impl Verdict {
    /// Not counted yet.
    pub const NOTHING: Self = Self {
        sizes: Sizes::NOTHING,
        oversized: 0,
        too_big_for_tunnel: 0,
        class: Class::None,
        malformed: Malformed::None as u8,
        unknown_peer: false,
        unknown_vni: false,
    };
}

/// What is known about one frame, filled in step by step. BPF programs keep it in a map
/// ([`crate::packet::Packet::verifier_barrier`]).
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Observation {
    /// Properties that are not in its bytes.
    pub frame: Frame,
    /// Its remote address, on an underlay.
    pub far: Address,
    /// The path it may belong to.
    pub key: PathKey,
    /// The pod block it may belong to.
    pub block: BlockKey,
    /// The parser's result.
    pub parsed: Parsed,
    /// How it was counted.
    pub verdict: Verdict,
}

impl Observation {
    /// Nothing observed yet.
    pub const NOTHING: Self = Self {
        frame: Frame { length: 0, gso_segs: 0, gso_size: 0, tag_beside: false, zero_length_is_big: false },
        far: Address::UNSPECIFIED,
        key: PathKey::NOBODY,
        block: BlockKey { address: Address::UNSPECIFIED, bits: 0 },
        parsed: Parsed::NOTHING,
        verdict: Verdict::NOTHING,
    };

    /// The PTB message in it: offset and protocol.
    #[inline(always)]
    #[must_use]
    pub const fn ptb(&self) -> Option<(u16, u8)> {
        let parsed = &self.parsed;
        let protocol = if parsed.ptb_inner { parsed.inner.protocol } else { parsed.outer.protocol };
        if parsed.ptb_at == 0 { None } else { Some((parsed.ptb_at, protocol)) }
    }
}

const _: () = assert!(size_of::<Verdict>().is_multiple_of(8) && size_of::<Sizes>().is_multiple_of(8));
const _: () = assert!(core::mem::offset_of!(Verdict, sizes) == 0);
// SAFETY: aligned to 8, the size above; integers, booleans, and an enum whose first variant is 0.
unsafe impl Cleared for Verdict {}
