//! The one accounting rule: a parsed packet and the facts of the node → what to add where.
//!
//! It runs in the BPF programs over kernel maps and in user space over plain collections; [`Tables`]
//! is the difference.

mod add;
mod fast_path;
mod path;
mod signal;
mod sizes;

use crate::abi::{
    BlockFacts, BlockKey, Config, DeviceFacts, Events, PeerFacts, Totals, events_index, role, totals_index,
};
use crate::address::Address;
use crate::counters::FIRST_REASON;
use crate::kind::{Class, Direction};
use crate::packet::{Cleared, Frame, Malformed, Packet, Parsed, clear, clear_behind, parse};
use crate::path::{Counters, PathKey, UnknownPeer};

pub use fast_path::fast_path;
pub use path::familiar;
pub use signal::signal;
pub use sizes::Sizes;

use add::{add_sizes, add_totals};
use path::{into_tunnel, on_underlay};

/// The tables that the rule reads and adds to.
pub trait Tables {
    /// Where the counters of one path stand.
    type Path<'a>: Counters
    where
        Self: 'a;
    /// Totals at an index of [`totals_index`].
    fn totals(&mut self, index: u32) -> Option<&mut Totals>;
    /// Events at an index of [`events_index`].
    fn events(&mut self, index: u32) -> Option<&mut Events>;
    /// The counters of a path that is known already.
    fn path(&mut self, key: &PathKey) -> Option<Self::Path<'_>>;
    /// The same where it is found at once: `None` says nothing of a path that others were more often than.
    #[inline(always)]
    fn cached_path(&mut self, key: &PathKey) -> Option<Self::Path<'_>> {
        self.path(key)
    }
    /// The counters of a path, entered where there is room.
    fn add_path(&mut self, key: &PathKey) -> Option<Self::Path<'_>>;
    /// False for an address that is surely no known node's. What is asked first of a tunnel's far end: it
    /// spares a flood of unknown senders the look-ups, and them the memory that those would touch.
    #[inline(always)]
    fn may_be_peer(&self, _address: &Address) -> bool {
        true
    }
    /// Whether an address is a known node's.
    fn peer(&self, address: &Address) -> Option<PeerFacts>;
    /// Where a pod block is.
    fn block(&self, key: &BlockKey) -> Option<BlockFacts>;
    /// The place of a unknown peer, below [`UNKNOWN_PEER_SLOTS`].
    fn unknown_peer(&mut self, place: u32) -> Option<&mut UnknownPeer>;
    /// The size class of an L3 size.
    fn size_class(&self, length: u32) -> usize;
    /// The frame in hand belongs to this path. Only those who tell of single frames want to know.
    #[inline(always)]
    fn belongs(&mut self, _key: &PathKey) {}
}

/// What became of a frame, for those who want to tell of it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Verdict {
    /// What it weighs.
    pub sizes: Sizes,
    /// Its class, the node's tables considered.
    pub class: Class,
    /// What was wrong with it: a [`Malformed`] as a number.
    pub malformed: u8,
    /// Packets larger than the device's MTU.
    pub oversized: u32,
    /// Packets larger than the tunnel can carry without fragmentation.
    pub too_big_for_tunnel: u32,
    /// The far end is no known node.
    pub unknown_peer: bool,
    /// The VNI is none of the node's.
    pub unknown_vni: bool,
}

impl Verdict {
    /// Nothing decided yet.
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

/// Where a frame was seen.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The device.
    pub device: &'a DeviceFacts,
    /// The direction.
    pub direction: Direction,
    /// The node.
    pub config: &'a Config,
}

impl Site<'_> {
    #[inline(always)]
    /// One of [`crate::abi::link`], for this direction.
    #[must_use]
    pub const fn link(&self) -> u8 {
        match self.direction {
            Direction::Ingress => self.device.ingress_link,
            Direction::Egress => self.device.egress_link,
        }
    }

    #[inline(always)]
    fn own_vni(&self, vni: u32) -> bool {
        for own in self.config.vnis {
            if own == 0 {
                break;
            }
            if own == vni {
                return true;
            }
        }
        false
    }
}

/// What is known of one frame, step by step. In a BPF program it lies in a map ([`Packet::verifier_barrier`]).
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Observation {
    /// What is known of it besides its bytes.
    pub frame: Frame,
    /// Its far address, on an underlay.
    pub far: Address,
    /// The path that it may belong to.
    pub key: PathKey,
    /// The pod block that it may belong to.
    pub block: BlockKey,
    /// What the parser found.
    pub parsed: Parsed,
    /// What became of it.
    pub verdict: Verdict,
}

impl Observation {
    /// Nothing seen yet.
    pub const NOTHING: Self = Self {
        frame: Frame { length: 0, gso_segs: 0, gso_size: 0, tag_beside: false, zero_length_is_big: false },
        far: Address::UNSPECIFIED,
        key: PathKey::NOBODY,
        block: BlockKey { address: Address::UNSPECIFIED, bits: 0 },
        parsed: Parsed::NOTHING,
        verdict: Verdict::NOTHING,
    };

    /// The PTB message in it: where it starts, and the protocol of it.
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

/// Parses the frame that `seen` describes and weighs it, and says whether all headers that were needed
/// could be read.
#[inline(always)]
pub fn classify<P: Packet>(packet: &P, site: &Site<'_>, seen: &mut Observation) -> bool {
    clear(&mut seen.parsed);
    // All but the sizes, which are weighed anyhow.
    clear_behind::<_, Sizes>(&mut seen.verdict);
    parse(packet, &seen.frame, site.link(), site.config, &mut seen.parsed);
    packet.verifier_barrier(seen);
    let short = seen.verdict.sizes.weigh(packet, &seen.frame, &seen.parsed);
    packet.verifier_barrier(seen);
    let malformed = if short as u8 != 0 { short as u8 } else { seen.parsed.malformed };
    seen.verdict.malformed = malformed;
    !ran_out(malformed)
}

/// Parses a frame and counts it, PTB messages included.
#[inline(always)]
pub fn observe<P: Packet, T: Tables>(
    packet: &P,
    frame: &Frame,
    site: &Site<'_>,
    tables: &mut T,
    seen: &mut Observation,
) {
    seen.frame = *frame;
    classify(packet, site, seen);
    account(packet, site, tables, seen);
    if let Some((at, protocol)) = seen.ptb() {
        signal(packet, u32::from(at), protocol, site, tables);
    }
}

/// Whether the parser ran out of bytes; where the frame has more than could be read, that is not the
/// packet's fault.
#[inline(always)]
#[must_use]
pub fn ran_out(malformed: u8) -> bool {
    const TRUNCATED: u32 = 1 << Malformed::TruncatedLink as u8
        | 1 << Malformed::TruncatedIp as u8
        | 1 << Malformed::TruncatedExtension as u8
        | 1 << Malformed::TruncatedTunnel as u8
        | 1 << Malformed::InnerTruncated as u8
        | 1 << Malformed::TruncatedTransport as u8;
    (TRUNCATED >> (malformed & 31)) & 1 != 0
}

/// Counts a frame that was looked at; a PTB message in it is [`signal`]'s.
#[inline(always)]
pub fn account<P: Packet, T: Tables>(packet: &P, site: &Site<'_>, tables: &mut T, seen: &mut Observation) {
    let device = site.device;
    seen.verdict.class = seen.parsed.class;
    if device.mtu != 0 {
        seen.verdict.oversized = seen.verdict.sizes.above(device.mtu);
    }
    if seen.parsed.outer.version != 0 {
        if device.role == role::UNDERLAY {
            on_underlay(packet, site, tables, seen);
        } else if device.role == role::TUNNEL && site.direction == Direction::Egress {
            into_tunnel(packet, site, tables, seen);
        }
        packet.verifier_barrier(seen);
    }
    let Observation { parsed, verdict, .. } = seen;
    let sizes = &verdict.sizes;
    let last = tables.size_class(sizes.last);
    let each = if sizes.segments > 1 { tables.size_class(sizes.each) } else { last };
    if let Some(totals) = tables.totals(totals_index(device.slot, site.direction, verdict.class)) {
        add_totals(totals, parsed, verdict);
        if parsed.outer.version != 0 {
            add_sizes(totals, last, each, sizes);
        }
    }
    if verdict.malformed != 0
        && let Some(events) = tables.events(events_index(device.slot, site.direction))
        && let Some(count) = events.0.get_mut(FIRST_REASON + usize::from(verdict.malformed - 1))
    {
        *count += u64::from(sizes.segments);
    }
}
