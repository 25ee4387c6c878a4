//! Events of `observer trace`: single packets, and how the programs select them.
//!
//! An [`Event`] has the device, the direction and the reasons. The packet's first bytes follow it; user
//! space decodes them with the same parser.

use crate::abi::role;
use crate::account::{Observation, Site};
use crate::address::Address;
use crate::kind::{Class, Direction};
use crate::packet::{Ip, Packet, Position, ipproto};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $label:literal;)*) => {
        /// Why a packet is reported. A packet may have several reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Why {
            $($(#[$doc])* $name = $number,)*
        }

        impl Why {
            /// Every reason, the most specific first. A packet counts towards the rate limit of its first
            /// reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The label used by every view.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }
        }
    };
}

reasons! {
    /// The kernel dropped the packet.
    Drop = 7, "drop";
    /// It does not fit through its tunnel and must not be fragmented.
    WouldDrop = 0, "would-drop";
    /// It does not fit through its tunnel without fragmentation.
    WouldFragment = 1, "would-fragment";
    /// It is a PTB message.
    Ptb = 2, "ptb";
    /// It is larger than the MTU of the device.
    Oversized = 3, "oversized";
    /// The outer or the inner packet is a fragment.
    Fragment = 4, "fragment";
    /// A tunnel packet with an unknown peer or VNI.
    UnknownTunnel = 5, "unknown-tunnel";
    /// It could not be parsed completely.
    Malformed = 6, "malformed";
}

/// Number of reasons.
pub const WHYS: usize = Why::ALL.len();

impl Why {
    /// The reason's bit in a set.
    #[inline(always)]
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// The reason's index in [`Why::ALL`], which is also that of its [`Flow`].
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        let mut index = 0;
        while index < WHYS && Self::ALL[index] as u32 != self as u32 {
            index += 1;
        }
        index as u32
    }
}

/// The direction of dropped packets: they did not cross a device.
pub const UNKNOWN_DIRECTION: u8 = 2;

/// The reasons to report an observed packet, as a set of [`Why::bit`].
#[inline(always)]
#[must_use]
pub fn reasons(seen: &Observation) -> u32 {
    let (parsed, verdict) = (&seen.parsed, &seen.verdict);
    let mut set = 0;
    if verdict.too_big_for_tunnel != 0 {
        set |= if parsed.outer.dont_fragment { Why::WouldDrop.bit() } else { Why::WouldFragment.bit() };
    }
    if parsed.ptb_at != 0 {
        set |= Why::Ptb.bit();
    }
    if verdict.oversized != 0 {
        set |= Why::Oversized.bit();
    }
    if parsed.outer.position != Position::Whole || parsed.inner.position != Position::Whole {
        set |= Why::Fragment.bit();
    }
    if verdict.unknown_peer || verdict.unknown_vni {
        set |= Why::UnknownTunnel.bit();
    }
    if verdict.malformed != 0 {
        set |= Why::Malformed.bit();
    }
    set
}

/// A superset of [`reasons`] that is known once a frame has been classified, without any table look-up. It is empty
/// for most frames.
#[inline(always)]
#[must_use]
pub fn possible_reasons(seen: &Observation, site: &Site<'_>) -> u32 {
    let (parsed, device) = (&seen.parsed, site.device);
    let mut set = 0;
    if device.role == role::TUNNEL {
        set |= Why::WouldDrop.bit() | Why::WouldFragment.bit();
    } else if parsed.class.is_tunnel() || parsed.udp_later_fragment {
        set |= Why::UnknownTunnel.bit();
    }
    if parsed.ptb_at != 0 {
        set |= Why::Ptb.bit();
    }
    if device.mtu != 0 && seen.verdict.sizes.above(device.mtu) != 0 {
        set |= Why::Oversized.bit();
    }
    if parsed.outer.position != Position::Whole || parsed.inner.position != Position::Whole {
        set |= Why::Fragment.bit();
    }
    if seen.verdict.malformed != 0 {
        set |= Why::Malformed.bit();
    }
    set
}

/// Bytes of a packet that follow an event by default: enough for all headers.
pub const SNAP: usize = 512;
/// Maximum bytes of a packet that may follow an event: more than a jumbo frame.
pub const LONGEST_SNAP: usize = 16_384;

/// A reported packet. Integers are in host byte order, except in the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Reasons, by [`Why::bit`].
    pub why: u32,
    /// Interface index.
    pub ifindex: u32,
    /// Length of the skb with all its segments, in bytes.
    pub length: u32,
    /// Segments of the skb; 0 if only `gso_size` is known.
    pub gso_segs: u32,
    /// Payload bytes per segment; 0 for a single packet.
    pub gso_size: u32,
    /// Packets on the wire.
    pub segments: u32,
    /// L3 size of the largest packet, in bytes.
    pub largest: u32,
    /// MTU of the device, in bytes.
    pub mtu: u32,
    /// Largest inner packet that fits through the tunnel, in bytes; 0 if not a tunnel device.
    pub tunnel_mtu: u32,
    /// VNI, or [`crate::path::VNI_NONE`].
    pub vni: u32,
    /// Number of packet bytes that follow.
    pub captured: u32,
    /// The device's slot.
    pub slot: u16,
    /// [`Direction`] as a number, or [`UNKNOWN_DIRECTION`].
    pub direction: u8,
    /// [`Class`] as a number.
    pub class: u8,
    /// [`crate::packet::Malformed`] as a number.
    pub malformed: u8,
    /// The skb has an accelerated VLAN tag, which is not in the data.
    pub tag_beside: u8,
    /// What the bytes start with: one of [`crate::abi::link`].
    pub link: u8,
    /// Bit 0: unknown peer. Bit 1: unknown VNI.
    pub unknown: u8,
    /// The peer node, or [`Address::UNSPECIFIED`].
    pub peer: Address,
    /// Priority and id of the accelerated VLAN tag.
    pub vlan_tci: u16,
    /// Ethertype of that tag, in host byte order.
    pub vlan_protocol: u16,
    /// Address of the code that dropped the packet; 0 if it was not dropped.
    pub location: u64,
    /// Drop reason number, which is specific to the running kernel.
    pub reason: u32,
    /// Explicit padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Event>() == 96);
const _: () = assert!(Direction::Ingress as u8 == 0 && Direction::Egress as u8 == 1);

/// What to report. Zeros, the initial value, report nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TraceConfig {
    /// Reasons, by [`Why::bit`].
    pub why: u32,
    /// Bytes of each packet to copy, at most [`LONGEST_SNAP`]. More than [`SNAP`] needs the larger per-CPU
    /// buffers.
    pub snap: u32,
    /// Average nanoseconds between events with the same reason on one CPU; 0 for no limit.
    pub every: u64,
    /// Events that may be sent in a burst.
    pub burst: u32,
    /// Number of filter steps; 0 for no filter.
    pub steps: u32,
}

/// Rate limit and counters for events with one reason on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// When the bucket is full again, in nanoseconds of `CLOCK_MONOTONIC`.
    pub due: u64,
    /// Events sent.
    pub sent: u64,
    /// Events suppressed by the rate limit.
    pub suppressed: u64,
    /// Events lost because the ring buffer was full.
    pub lost: u64,
}

impl Flow {
    /// Whether the rate limit admits another event at `now`: a token bucket that stores the time at which it is full
    /// again (generic cell rate algorithm).
    #[inline(always)]
    pub fn admit(&mut self, now: u64, config: &TraceConfig) -> bool {
        if config.every == 0 {
            return true;
        }
        let due = if self.due > now { self.due } else { now };
        if due - now > config.every * u64::from(config.burst.saturating_sub(1)) {
            self.suppressed += 1;
            return false;
        }
        self.due = due + config.every;
        true
    }
}

/// Maximum filter steps.
pub const STEPS: usize = 64;
/// Values available to a filter, four words each.
pub const VALUES: usize = 16;

/// Indices into [`Fields`].
pub mod field {
    /// Outer source address.
    pub const OUTER_SOURCE: u8 = 0;
    /// Outer destination address.
    pub const OUTER_DESTINATION: u8 = 1;
    /// Inner source address.
    pub const INNER_SOURCE: u8 = 2;
    /// Inner destination address.
    pub const INNER_DESTINATION: u8 = 3;
    /// The peer node.
    pub const PEER: u8 = 4;
    /// Ports: outer source, outer destination, inner source, inner destination.
    pub const PORTS: u8 = 5;
    /// Outer protocol, inner protocol, outer version, inner version.
    pub const PROTOCOLS: u8 = 6;
    /// Outer and inner IP id, VNI, class.
    pub const IDS: u8 = 7;
    /// Device slot, direction, largest L3 size, DF (1 or 0).
    pub const PLACE: u8 = 8;
}

/// The values a filter can test.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Fields(pub [[u32; 4]; VALUES]);

/// Filter operations on a stack of results.
pub mod step {
    /// Pushes whether `value & mask == operand` in all four words.
    pub const EQUAL: u32 = 0;
    /// Pushes whether the word selected by `mask` is greater than `operand[0]`.
    pub const GREATER: u32 = 1;
    /// Pushes whether the word selected by `mask` is less than `operand[0]`.
    pub const LESS: u32 = 2;
    /// Replaces the top two results with their conjunction.
    pub const AND: u32 = 3;
    /// Replaces the top two results with their disjunction.
    pub const OR: u32 = 4;
    /// Negates the top result.
    pub const NOT: u32 = 5;
}

/// One step of a filter: a comparison or a logical operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Step {
    /// The operation: one of [`step`].
    pub what: u32,
    /// The value: one of [`field`].
    pub field: u32,
    /// Bits to compare.
    pub mask: [u32; 4],
    /// Value to compare with.
    pub operand: [u32; 4],
}

impl Step {
    /// Runs the step on a stack of one-bit results; the top is bit 0.
    #[inline(always)]
    #[must_use]
    pub fn run(&self, fields: &Fields, stack: u64) -> u64 {
        let [a, b, c, d] = fields.0[self.field as usize & (VALUES - 1)];
        let (a, b, c, d) = (a & self.mask[0], b & self.mask[1], c & self.mask[2], d & self.mask[3]);
        let word = a | b | c | d;
        let top = stack & 1;
        let below = stack >> 1;
        match self.what {
            step::EQUAL => {
                let o = &self.operand;
                let differs = (a ^ o[0]) | (b ^ o[1]) | (c ^ o[2]) | (d ^ o[3]);
                stack << 1 | u64::from(differs == 0)
            }
            step::GREATER => stack << 1 | u64::from(word > self.operand[0]),
            step::LESS => stack << 1 | u64::from(word < self.operand[0]),
            step::AND => below & (!1 | top),
            step::OR => below | top,
            _ => stack ^ 1,
        }
    }
}

impl Fields {
    /// All zero.
    pub const NOTHING: Self = Self([[0; 4]; VALUES]);

    /// Fills in the values of an observed packet.
    #[inline(always)]
    pub fn fill<P: Packet>(&mut self, packet: &P, seen: &Observation, site: &Site<'_>) {
        let (outer, inner) = (&seen.parsed.outer, &seen.parsed.inner);
        self.0[field::OUTER_SOURCE as usize] = words(outer.source(packet));
        packet.verifier_barrier(self);
        self.0[field::OUTER_DESTINATION as usize] = words(outer.destination(packet));
        packet.verifier_barrier(self);
        self.0[field::INNER_SOURCE as usize] = words(inner.source(packet));
        packet.verifier_barrier(self);
        self.0[field::INNER_DESTINATION as usize] = words(inner.destination(packet));
        packet.verifier_barrier(self);
        self.0[field::PEER as usize] = peer(seen, site).0;
        packet.verifier_barrier(self);
        let (from, to) = ports(packet, outer);
        let (inner_from, inner_to) = ports(packet, inner);
        self.0[field::PORTS as usize] = [from, to, inner_from, inner_to];
        packet.verifier_barrier(self);
        self.0[field::PROTOCOLS as usize] = [
            u32::from(outer.protocol),
            u32::from(inner.protocol),
            u32::from(outer.version),
            u32::from(inner.version),
        ];
        packet.verifier_barrier(self);
        self.0[field::IDS as usize] =
            [id(packet, outer), id(packet, inner), seen.parsed.vni, seen.verdict.class as u32];
        packet.verifier_barrier(self);
        self.0[field::PLACE as usize] = [
            u32::from(site.device.slot),
            site.direction as u32,
            seen.verdict.sizes.largest(),
            u32::from(outer.dont_fragment),
        ];
        packet.verifier_barrier(self);
    }
}

#[inline(always)]
fn words(address: Option<Address>) -> [u32; 4] {
    match address {
        Some(address) => address.0,
        None => [0; 4],
    }
}

/// The peer node of a packet: the remote end of the tunnel it came through or is about to enter.
#[inline(always)]
#[must_use]
pub fn peer(seen: &Observation, site: &Site<'_>) -> Address {
    let into =
        site.device.role == crate::abi::role::TUNNEL && site.direction as u8 == Direction::Egress as u8;
    if into {
        // Set by the accounting rule if the destination is in a known block.
        seen.key.peer
    } else if seen.verdict.class.is_tunnel() {
        seen.far
    } else {
        Address::UNSPECIFIED
    }
}

/// Source and destination port of the packet after an IP header; 0 for protocols without ports and for
/// later fragments.
#[inline(always)]
pub fn ports<P: Packet>(packet: &P, ip: &Ip) -> (u32, u32) {
    let has = ip.protocol == ipproto::TCP || ip.protocol == ipproto::UDP || ip.protocol == ipproto::SCTP;
    if ip.version == 0 || !has || ip.position.is_later() {
        return (0, 0);
    }
    match packet.read::<u32>(u32::from(ip.payload)) {
        Some(word) => {
            let word = u32::from_be(word);
            (word >> 16, word & 0xffff)
        }
        None => (0, 0),
    }
}

/// The identification that fragments of one packet share; 0 for an unfragmented IPv6 packet.
#[inline(always)]
pub fn id<P: Packet>(packet: &P, ip: &Ip) -> u32 {
    if ip.version == 4 {
        match packet.read::<u32>(u32::from(ip.start) + 4) {
            Some(word) => u32::from_be(word) >> 16,
            None => 0,
        }
    } else if ip.version == 6 && ip.position.is_later() {
        // The parser stops at a Fragment header with an offset, so that header is the last one.
        match packet.read::<u32>(u32::from(ip.payload) - 4) {
            Some(word) => u32::from_be(word),
            None => 0,
        }
    } else {
        0
    }
}

/// Fills an event from an observed packet.
#[inline(always)]
pub fn fill_event(event: &mut Event, seen: &Observation, site: &Site<'_>, why: u32) {
    let (frame, verdict, device) = (&seen.frame, &seen.verdict, site.device);
    let through = device.underlay_mtu.saturating_sub(device.overhead);
    event.why = why;
    event.ifindex = device.ifindex;
    event.length = frame.length;
    event.gso_segs = frame.gso_segs;
    event.gso_size = frame.gso_size;
    event.segments = verdict.sizes.segments;
    event.largest = verdict.sizes.largest();
    event.mtu = device.mtu;
    event.tunnel_mtu = if device.underlay_mtu == 0 { 0 } else { through };
    event.vni = seen.parsed.vni;
    event.slot = device.slot;
    event.direction = site.direction as u8;
    event.class = verdict.class as u8;
    event.malformed = verdict.malformed;
    event.tag_beside = u8::from(frame.tag_beside);
    event.link = site.link();
    event.unknown = u8::from(verdict.unknown_peer) | u8::from(verdict.unknown_vni) << 1;
    event.peer = peer(seen, site);
}

impl Event {
    /// Splits a ring buffer record into the event and the packet's bytes; `None` if the record is too
    /// short.
    #[must_use]
    pub fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = bytes.split_at_checked(size_of::<Self>())?;
        // SAFETY: integers only, so any bytes are valid; the size matches.
        let event: Self = unsafe { head.as_ptr().cast::<Self>().read_unaligned() };
        // The record has a fixed size, so it may be longer than what was captured.
        Some((event, rest.get(..event.captured as usize)?))
    }

    /// Whether the packet has this reason.
    #[must_use]
    pub const fn is(&self, why: Why) -> bool {
        self.why & why.bit() != 0
    }

    /// The class; [`Class::Malformed`] for an unknown number.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::from_index(self.class).unwrap_or(Class::Malformed)
    }

    /// The direction, if known.
    #[must_use]
    pub const fn direction(&self) -> Option<Direction> {
        match self.direction {
            0 => Some(Direction::Ingress),
            1 => Some(Direction::Egress),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limit_admits_a_burst_then_the_rate() {
        let config = TraceConfig { every: 100, burst: 3, ..TraceConfig::default() };
        let mut flow = Flow::default();
        let at = |flow: &mut Flow, now| flow.admit(now, &config);
        assert!(at(&mut flow, 1_000) && at(&mut flow, 1_000) && at(&mut flow, 1_000));
        assert!(!at(&mut flow, 1_000) && !at(&mut flow, 1_099));
        assert!(at(&mut flow, 1_100) && !at(&mut flow, 1_101));
        assert_eq!(flow.suppressed, 3);
        assert!(Flow::default().admit(0, &TraceConfig::default()), "no limit");
    }

    #[test]
    fn steps_compare_and_combine() {
        let mut fields = Fields::NOTHING;
        fields.0[1] = [1, 2, 3, 4];
        let step = |what, mask, operand| Step { what, field: 1, mask, operand };
        let all = [u32::MAX; 4];
        assert_eq!(step(step::EQUAL, all, [1, 2, 3, 4]).run(&fields, 0), 1);
        assert_eq!(step(step::EQUAL, all, [1, 2, 3, 5]).run(&fields, 1), 0b10);
        assert_eq!(step(step::GREATER, [0, 0, u32::MAX, 0], [2, 0, 0, 0]).run(&fields, 0), 1);
        assert_eq!(step(step::LESS, [0, 0, u32::MAX, 0], [3, 0, 0, 0]).run(&fields, 0), 0);
        let combine = |what, stack| step(what, [0; 4], [0; 4]).run(&fields, stack);
        assert_eq!(
            (combine(step::AND, 0b111), combine(step::AND, 0b101), combine(step::AND, 0b110)),
            (0b11, 0b10, 0b10)
        );
        assert_eq!(
            (combine(step::OR, 0b00), combine(step::OR, 0b01), combine(step::OR, 0b110)),
            (0, 1, 0b11)
        );
        assert_eq!(combine(step::NOT, 0b10), 0b11);
    }
}
