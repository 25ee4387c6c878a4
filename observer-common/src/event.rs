//! What `observer trace` is told of single packets, and how the kernel side decides which.
//!
//! An [`Event`] says where and why; the packet's first bytes follow it, and user space reads them with
//! the same parser, so that nothing is decoded twice.

use crate::abi::role;
use crate::account::{Observation, Site};
use crate::address::Address;
use crate::kind::{Class, Direction};
use crate::packet::{Ip, Packet, Position, ipproto};

macro_rules! whys {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $label:literal;)*) => {
        /// Why a packet is told of. Several reasons may hold for one packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Why {
            $($(#[$doc])* $name = $number,)*
        }

        impl Why {
            /// Every reason, the most telling first: the first that holds is the one whose rate limit
            /// a packet counts for.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word that every view uses.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }
        }
    };
}

whys! {
    /// The kernel dropped it.
    Drop = 7, "drop";
    /// It must not be fragmented and does not fit through its tunnel.
    WouldDrop = 0, "would-drop";
    /// It does not fit through its tunnel unless it is fragmented.
    WouldFragment = 1, "would-fragment";
    /// It holds an ICMP message "too big".
    Ptb = 2, "ptb";
    /// It is larger than the MTU of the device.
    Oversized = 3, "oversized";
    /// The outer or the inner packet is a fragment.
    Fragment = 4, "fragment";
    /// A tunnel packet whose far end or VNI the node does not know.
    UnknownTunnel = 5, "unknown-tunnel";
    /// It could not be parsed to its end.
    Malformed = 6, "malformed";
}

/// How many reasons there are.
pub const WHYS: usize = Why::ALL.len();

impl Why {
    /// Its bit in a set.
    #[inline(always)]
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Its place among [`Why::ALL`], where its rate is counted.
    #[inline(always)]
    #[must_use]
    pub const fn place(self) -> u32 {
        let mut place = 0;
        while place < WHYS && Self::ALL[place] as u32 != self as u32 {
            place += 1;
        }
        place as u32
    }
}

/// The direction of a packet that the kernel dropped: it was on no device's way.
pub const UNKNOWN_DIRECTION: u8 = 2;

/// Which reasons hold, as a set of [`Why::bit`].
#[inline(always)]
#[must_use]
pub fn whys(seen: &Observation) -> u32 {
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

/// Reasons of which some may hold of a frame that was looked at, before the node's tables are asked: what a
/// frame is counted as is no reason, and of those that need a table most frames can have none.
#[inline(always)]
#[must_use]
pub fn possible(seen: &Observation, site: &Site<'_>) -> u32 {
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

/// Bytes of a packet that follow an event: enough for every header that is read.
pub const SNAP: usize = 512;
/// The same where more are asked for, at most: a jumbo frame and some.
pub const LONGEST_SNAP: usize = 16_384;

/// One packet. Integers in host byte order, but for the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Reasons, by [`Why::bit`].
    pub why: u32,
    /// Interface index.
    pub ifindex: u32,
    /// Length of the skb, all segments together, in bytes.
    pub length: u32,
    /// The skb's segments; 0 where only `gso_size` is known.
    pub gso_segs: u32,
    /// Payload bytes of each segment, 0 where there is one.
    pub gso_size: u32,
    /// Packets on the wire.
    pub segments: u32,
    /// L3 size of the largest of them, bytes.
    pub largest: u32,
    /// MTU of the device, bytes.
    pub mtu: u32,
    /// What fits through the tunnel, bytes; 0 at devices that are none.
    pub tunnel_mtu: u32,
    /// VNI, or [`crate::path::VNI_NONE`].
    pub vni: u32,
    /// Bytes of the packet that follow.
    pub captured: u32,
    /// The device's slot.
    pub slot: u16,
    /// [`Direction`] as a number, or [`UNKNOWN_DIRECTION`].
    pub direction: u8,
    /// [`Class`] as a number.
    pub class: u8,
    /// [`crate::packet::Malformed`] as a number.
    pub malformed: u8,
    /// A VLAN tag stands beside the data.
    pub tag_beside: u8,
    /// One of [`crate::abi::link`]: what the bytes start with.
    pub link: u8,
    /// Bit 0: the far end is no known node. Bit 1: the VNI is none of the node's.
    pub unknown: u8,
    /// The peer node, [`Address::UNSPECIFIED`] where none is known.
    pub peer: Address,
    /// Of a VLAN tag beside the data: its priority and id.
    pub vlan_tci: u16,
    /// See above: its Ethertype, in host byte order.
    pub vlan_protocol: u16,
    /// Where the kernel dropped it; 0 where it did not.
    pub location: u64,
    /// The kernel's number of the reason; its meaning is the running kernel's own.
    pub reason: u32,
    /// Explicit padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Event>() == 96);
const _: () = assert!(Direction::Ingress as u8 == 0 && Direction::Egress as u8 == 1);

/// What user space asks for; without it nothing is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Wanted {
    /// Reasons, by [`Why::bit`].
    pub why: u32,
    /// Bytes of each packet that are wanted, at most [`LONGEST_SNAP`]. What is above [`SNAP`] needs the
    /// larger buffers, one for each CPU.
    pub snap: u32,
    /// Nanoseconds between two events of a reason on a CPU, in the long run; 0 for no limit.
    pub every: u64,
    /// How many may come at once.
    pub burst: u32,
    /// Steps of the filter; 0 for none.
    pub steps: u32,
}

/// What became of events of one reason on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// When the next is due at the earliest if none may come at once: `CLOCK_MONOTONIC`.
    pub due: u64,
    /// Sent.
    pub sent: u64,
    /// Kept back by the rate limit.
    pub suppressed: u64,
    /// Lost: the ring buffer was full.
    pub lost: u64,
}

impl Flow {
    /// Whether one more may be sent at `now`: a token bucket, kept as the time at which it is full again
    /// (the generic cell rate algorithm).
    #[inline(always)]
    pub fn may(&mut self, now: u64, wanted: &Wanted) -> bool {
        if wanted.every == 0 {
            return true;
        }
        let due = if self.due > now { self.due } else { now };
        if due - now > wanted.every * u64::from(wanted.burst.saturating_sub(1)) {
            self.suppressed += 1;
            return false;
        }
        self.due = due + wanted.every;
        true
    }
}

/// Steps of a filter, at most.
pub const STEPS: usize = 64;
/// Values that a filter may look at, four words each.
pub const VALUES: usize = 16;

/// Where values stand among [`Fields`].
pub mod field {
    /// Outer source, destination, then inner.
    pub const OUTER_SOURCE: u8 = 0;
    /// See above.
    pub const OUTER_DESTINATION: u8 = 1;
    /// See above.
    pub const INNER_SOURCE: u8 = 2;
    /// See above.
    pub const INNER_DESTINATION: u8 = 3;
    /// The peer node.
    pub const PEER: u8 = 4;
    /// Ports: outer source, outer destination, inner source, inner destination.
    pub const PORTS: u8 = 5;
    /// Outer protocol, inner protocol, outer version, inner version.
    pub const PROTOCOLS: u8 = 6;
    /// Outer and inner IP id, VNI, class.
    pub const IDS: u8 = 7;
    /// Slot of the device, direction, largest packet, DF (1 or 0).
    pub const PLACE: u8 = 8;
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Fields(pub [[u32; 4]; VALUES]);

/// What a step does.
pub mod step {
    /// Pushes whether `value & mask == operand`, on all four words.
    pub const EQUAL: u32 = 0;
    /// Pushes whether the one word that `mask` leaves is greater than `operand[0]`.
    pub const GREATER: u32 = 1;
    /// The same for less.
    pub const LESS: u32 = 2;
    /// Replaces the two results on top by their conjunction.
    pub const AND: u32 = 3;
    /// The same for the disjunction.
    pub const OR: u32 = 4;
    /// Negates the result on top.
    pub const NOT: u32 = 5;
}

/// One step of a filter: a comparison, or what joins two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Step {
    /// One of [`step`].
    pub what: u32,
    /// One of [`field`].
    pub field: u32,
    /// Which bits count.
    pub mask: [u32; 4],
    /// What they are compared with.
    pub operand: [u32; 4],
}

impl Step {
    /// Carries the step out on a stack of results, one bit each, the topmost lowest.
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
    /// Nothing known.
    pub const NOTHING: Self = Self([[0; 4]; VALUES]);

    /// Reads from a packet that was judged.
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

/// The peer node of a packet: the far end of its tunnel, or where its tunnel will lead.
#[inline(always)]
#[must_use]
pub fn peer(seen: &Observation, site: &Site<'_>) -> Address {
    let into =
        site.device.role == crate::abi::role::TUNNEL && site.direction as u8 == Direction::Egress as u8;
    if into {
        // Set by the rule where a block leads there.
        seen.key.peer
    } else if seen.verdict.class.is_tunnel() {
        seen.far
    } else {
        Address::UNSPECIFIED
    }
}

/// Source and destination port of the packet behind a header; 0 where it has none, or where a later
/// fragment hides them.
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

/// The id that fragments of one packet share; 0 where there is none (an IPv6 packet in one piece).
#[inline(always)]
pub fn id<P: Packet>(packet: &P, ip: &Ip) -> u32 {
    if ip.version == 4 {
        match packet.read::<u32>(u32::from(ip.start) + 4) {
            Some(word) => u32::from_be(word) >> 16,
            None => 0,
        }
    } else if ip.version == 6 && ip.position.is_later() {
        // Behind an offset nothing is parsed: the Fragment header is the last.
        match packet.read::<u32>(u32::from(ip.payload) - 4) {
            Some(word) => u32::from_be(word),
            None => 0,
        }
    } else {
        0
    }
}

/// What is told of a packet that was judged.
#[inline(always)]
pub fn tell(event: &mut Event, seen: &Observation, site: &Site<'_>, why: u32) {
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
    /// Its bytes as the kernel sends them, and those of the packet behind them; `None` where there are
    /// too few.
    #[must_use]
    pub fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = bytes.split_at_checked(size_of::<Self>())?;
        // SAFETY: integers only, so any bytes are one; the size is right.
        let event: Self = unsafe { head.as_ptr().cast::<Self>().read_unaligned() };
        // The kernel rounds no length up, but a copy may be longer than what was captured.
        Some((event, rest.get(..event.captured as usize)?))
    }

    /// Whether a reason holds.
    #[must_use]
    pub const fn is(&self, why: Why) -> bool {
        self.why & why.bit() != 0
    }

    /// The class; [`Class::Malformed`] for a number that no class has.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::from_index(self.class).unwrap_or(Class::Malformed)
    }

    /// The direction; `None` where it is not known.
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
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let wanted = Wanted { every: 100, burst: 3, ..Wanted::default() };
        let mut flow = Flow::default();
        let at = |flow: &mut Flow, now| flow.may(now, &wanted);
        assert!(at(&mut flow, 1_000) && at(&mut flow, 1_000) && at(&mut flow, 1_000));
        assert!(!at(&mut flow, 1_000) && !at(&mut flow, 1_099));
        assert!(at(&mut flow, 1_100) && !at(&mut flow, 1_101));
        assert_eq!(flow.suppressed, 3);
        assert!(Flow::default().may(0, &Wanted::default()), "no limit");
    }

    #[test]
    fn steps_compare_and_join() {
        let mut fields = Fields::NOTHING;
        fields.0[1] = [1, 2, 3, 4];
        let step = |what, mask, operand| Step { what, field: 1, mask, operand };
        let all = [u32::MAX; 4];
        assert_eq!(step(step::EQUAL, all, [1, 2, 3, 4]).run(&fields, 0), 1);
        assert_eq!(step(step::EQUAL, all, [1, 2, 3, 5]).run(&fields, 1), 0b10);
        assert_eq!(step(step::GREATER, [0, 0, u32::MAX, 0], [2, 0, 0, 0]).run(&fields, 0), 1);
        assert_eq!(step(step::LESS, [0, 0, u32::MAX, 0], [3, 0, 0, 0]).run(&fields, 0), 0);
        let join = |what, stack| step(what, [0; 4], [0; 4]).run(&fields, stack);
        assert_eq!(
            (join(step::AND, 0b111), join(step::AND, 0b101), join(step::AND, 0b110)),
            (0b11, 0b10, 0b10)
        );
        assert_eq!((join(step::OR, 0b00), join(step::OR, 0b01), join(step::OR, 0b110)), (0, 1, 0b11));
        assert_eq!(join(step::NOT, 0b10), 0b11);
    }
}
