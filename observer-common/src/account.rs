//! The one accounting rule: a parsed packet and the facts of the node → what to add where.
//!
//! It runs in the BPF programs over kernel maps and in user space over plain collections; [`Tables`]
//! is the difference.

use crate::abi::{
    BlockFacts, BlockKey, Config, DeviceFacts, Events, PeerFacts, STRANGERS, Totals, events_index, role,
    totals_index,
};
use crate::address::Address;
use crate::counters::{Event, FIRST_REASON, PathCounter, Total};
use crate::kind::{Class, Direction};
use crate::packet::{
    Cleared, Frame, Ip, Malformed, Packet, Parsed, Position, WIREGUARD_AROUND, clear, clear_behind,
    header_end, parse, too_big,
};
use crate::path::{PathKey, PathStats, Stranger, VNI_FOREIGN, VNI_NONE};

/// Bytes of a VLAN tag.
const TAG: u32 = 4;
/// Bytes of a hop-by-hop header with a jumbo payload option (RFC 2675).
const JUMBO: u32 = 8;

/// The tables that the rule reads and adds to.
pub trait Tables {
    /// Totals at an index of [`totals_index`].
    fn totals(&mut self, index: u32) -> Option<&mut Totals>;
    /// Events at an index of [`events_index`].
    fn events(&mut self, index: u32) -> Option<&mut Events>;
    /// The counters of a path that is known already.
    fn path(&mut self, key: &PathKey) -> Option<&mut PathStats>;
    /// The counters of a path, entered where there is room.
    fn add_path(&mut self, key: &PathKey) -> Option<&mut PathStats>;
    /// Whether an address is a known node's.
    fn peer(&self, address: &Address) -> Option<PeerFacts>;
    /// Where a pod block is.
    fn block(&self, key: &BlockKey) -> Option<BlockFacts>;
    /// The place of a stranger, below [`STRANGERS`].
    fn stranger(&mut self, place: u32) -> Option<&mut Stranger>;
    /// The size class of an L3 size.
    fn size_class(&self, length: u32) -> usize;
    /// The frame in hand belongs to this path. Only those who tell of single frames want to know.
    #[inline(always)]
    fn belongs(&mut self, _key: &PathKey) {}
}

/// What a frame weighs on the wire: all its segments together, and one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Link-layer bytes of all segments.
    pub wire: u64,
    /// L3 bytes of all of them.
    pub l3: u64,
    /// Inner bytes of all of them.
    pub inner: u64,
    /// Packets on the wire.
    pub segments: u32,
    /// L3 size of each but the last.
    pub each: u32,
    /// L3 size of the last.
    pub last: u32,
}

impl Sizes {
    /// Nothing.
    pub const NOTHING: Self = Self { wire: 0, l3: 0, inner: 0, segments: 0, each: 0, last: 0 };

    /// Weighs `frame`; what was missing where its transport header was needed and could not be read.
    ///
    /// Wire bytes = length + (segments − 1) × headers, headers counted from the first byte to the end
    /// of the innermost transport header; `wire_len` of the skb is wrong for VXLAN.
    #[inline(always)]
    fn weigh<P: Packet>(&mut self, packet: &P, frame: &Frame, parsed: &Parsed) -> Malformed {
        let tag = if frame.tag_beside { TAG } else { 0 };
        let length = parsed.outer.length;
        *self = Self {
            wire: u64::from(frame.length) + u64::from(tag),
            l3: u64::from(length),
            inner: u64::from(parsed.inner_length),
            segments: 1,
            each: length,
            last: length,
        };
        if frame.gso_size == 0 || parsed.outer.version == 0 {
            return Malformed::None;
        }
        let Some(end) = header_end(packet, parsed) else {
            return Malformed::TruncatedTransport;
        };
        let segments = if frame.gso_segs == 0 {
            frame.length.saturating_sub(end).div_ceil(frame.gso_size)
        } else {
            frame.gso_segs
        };
        if segments > 1 {
            self.multiply(segments, end, frame.gso_size, u64::from(tag), parsed);
            let jumbo = u64::from(segments) * u64::from(jumbo_header(packet, parsed));
            if jumbo != 0 {
                self.without(segments, jumbo, parsed);
            }
        }
        Malformed::None
    }

    /// From the weight of a super-packet to that of its segments, which repeat the headers before
    /// `end`.
    #[inline(always)]
    fn multiply(&mut self, segments: u32, end: u32, gso_size: u32, tag: u64, parsed: &Parsed) {
        let repeats = u64::from(segments - 1);
        let headers = end.saturating_sub(u32::from(parsed.outer.start));
        let inner_start = if parsed.inner.version == 0 {
            parsed.outer.end().saturating_sub(parsed.inner_length)
        } else {
            u32::from(parsed.inner.start)
        };
        self.segments = segments;
        self.wire += repeats * (u64::from(end) + tag);
        self.l3 += repeats * u64::from(headers);
        self.inner = if parsed.class == Class::Wireguard {
            // Each segment is a message of its own, with all that goes around the packet in it.
            self.inner.saturating_sub(repeats * u64::from(WIREGUARD_AROUND))
        } else {
            self.inner + repeats * u64::from(end.saturating_sub(inner_start))
        };
        self.each = headers + gso_size;
        self.last = self.l3.saturating_sub(repeats * u64::from(self.each)) as u32;
    }

    /// Takes the header away that segmentation takes away, `bytes` in all segments together.
    #[inline(always)]
    fn without(&mut self, segments: u32, bytes: u64, parsed: &Parsed) {
        let each = (bytes / u64::from(segments)) as u32;
        self.wire = self.wire.saturating_sub(bytes);
        self.l3 = self.l3.saturating_sub(bytes);
        if !parsed.class.is_tunnel() {
            self.inner = self.inner.saturating_sub(bytes);
        }
        self.each = self.each.saturating_sub(each);
        self.last = self.last.saturating_sub(each);
    }

    /// How many of the packets exceed `limit` bytes.
    #[inline(always)]
    #[must_use]
    pub const fn above(&self, limit: u32) -> u32 {
        let mut count = 0;
        if self.last > limit {
            count = 1;
        }
        if self.segments > 1 && self.each > limit {
            count += self.segments - 1;
        }
        count
    }

    /// The largest packet's L3 size.
    #[inline(always)]
    #[must_use]
    pub const fn largest(&self) -> u32 {
        if self.segments > 1 && self.each > self.last { self.each } else { self.last }
    }
}

/// The length of the hop-by-hop header that a BIG TCP super-packet has (until kernel commit 741d069aa488)
/// and that segmentation takes away (`ipv6_hopopt_jumbo_remove`); 0 where there is none.
#[inline(always)]
fn jumbo_header<P: Packet>(packet: &P, parsed: &Parsed) -> u32 {
    if parsed.outer.version != 6 {
        return 0;
    }
    // Payload length and next header are 0, behind them stands the hop limit.
    match packet.read::<u32>(u32::from(parsed.outer.start) + 4) {
        Some(word) if u32::from_be(word) >> 8 == 0 => JUMBO,
        _ => 0,
    }
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
    pub foreign_peer: bool,
    /// The VNI is none of the node's.
    pub foreign_vni: bool,
}

impl Verdict {
    /// Nothing decided yet.
    pub const NOTHING: Self = Self {
        sizes: Sizes::NOTHING,
        oversized: 0,
        too_big_for_tunnel: 0,
        class: Class::None,
        malformed: Malformed::None as u8,
        foreign_peer: false,
        foreign_vni: false,
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

/// What is known of one frame, step by step. In a BPF program it lies in a map ([`Packet::settle`]).
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
        key: PathKey { peer: Address::UNSPECIFIED, vni: VNI_NONE, slot: 0, direction: 0, class: 0 },
        block: BlockKey { address: Address::UNSPECIFIED, bits: 0 },
        parsed: Parsed::NOTHING,
        verdict: Verdict::NOTHING,
    };

    /// The too-big message in it: where it starts, and the protocol of it.
    #[inline(always)]
    #[must_use]
    pub const fn too_big(&self) -> Option<(u16, u8)> {
        let parsed = &self.parsed;
        let protocol = if parsed.too_big_inner { parsed.inner.protocol } else { parsed.outer.protocol };
        if parsed.too_big_at == 0 { None } else { Some((parsed.too_big_at, protocol)) }
    }
}

const _: () = assert!(size_of::<Verdict>().is_multiple_of(8) && size_of::<Sizes>().is_multiple_of(8));
const _: () = assert!(core::mem::offset_of!(Verdict, sizes) == 0);
// SAFETY: aligned to 8, the size above; integers, booleans, and an enum whose first variant is 0.
unsafe impl Cleared for Verdict {}

/// Parses the frame that `seen` describes and weighs it, and says whether all headers that were needed
/// could be read.
#[inline(always)]
pub fn look<P: Packet>(packet: &P, site: &Site<'_>, seen: &mut Observation) -> bool {
    clear(&mut seen.parsed);
    // All but the sizes, which are weighed anyhow.
    clear_behind::<_, Sizes>(&mut seen.verdict);
    parse(packet, &seen.frame, site.link(), site.config, &mut seen.parsed);
    packet.settle(seen);
    let short = seen.verdict.sizes.weigh(packet, &seen.frame, &seen.parsed);
    packet.settle(seen);
    let malformed = if short as u8 != 0 { short as u8 } else { seen.parsed.malformed };
    seen.verdict.malformed = malformed;
    !ran_out(malformed)
}

/// Parses a frame and counts it, too-big messages included.
#[inline(always)]
pub fn observe<P: Packet, T: Tables>(
    packet: &P,
    frame: &Frame,
    site: &Site<'_>,
    tables: &mut T,
    seen: &mut Observation,
) {
    seen.frame = *frame;
    look(packet, site, seen);
    count(packet, site, tables, seen);
    if let Some((at, protocol)) = seen.too_big() {
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

/// Counts a frame that was looked at; a too-big message in it is [`signal`]'s.
#[inline(always)]
pub fn count<P: Packet, T: Tables>(packet: &P, site: &Site<'_>, tables: &mut T, seen: &mut Observation) {
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
        packet.settle(seen);
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

#[inline(always)]
fn on_underlay<P: Packet, T: Tables>(packet: &P, site: &Site<'_>, tables: &mut T, seen: &mut Observation) {
    let parsed = &seen.parsed;
    let far = match site.direction {
        Direction::Ingress => parsed.outer.source(packet),
        Direction::Egress => parsed.outer.destination(packet),
    };
    let Some(far) = far else { return };
    // Most of an edge node's packets end here. Whether a later fragment is a tunnel's is not known yet.
    if !(parsed.class.is_tunnel()
        || parsed.udp_later_fragment
        || may_be_pod(&far, parsed.outer.version, site.config))
    {
        seen.verdict.class = Class::External;
        return;
    }
    seen.far = far;
    seen.key = PathKey {
        peer: far,
        vni: parsed.vni,
        slot: site.device.slot,
        direction: site.direction as u8,
        class: parsed.class as u8,
    };
    packet.settle(seen);
    if seen.parsed.udp_later_fragment && later_fragment(site, tables, seen) {
        return;
    }
    if seen.verdict.class.is_tunnel() {
        tunnel_path(site, tables, seen);
    } else if seen.parsed.udp_later_fragment && !may_be_pod(&seen.far, seen.parsed.outer.version, site.config)
    {
        seen.verdict.class = Class::External;
    } else {
        native_path(site, tables, seen);
    }
}

/// A later fragment of UDP has no port: its addresses tell which tunnel it belongs to. Nearly always
/// that is the node's usual one, whose path exists since the first fragment: one look-up. Returns true
/// where that was so, and the fragment is counted.
#[inline(always)]
fn later_fragment<T: Tables>(site: &Site<'_>, tables: &mut T, seen: &mut Observation) -> bool {
    let Observation { parsed, verdict, key, .. } = seen;
    if let Some(class) = udp_tunnel(site.config.usual_udp_class) {
        (key.class, key.vni) = (class as u8, site.config.usual_udp_vni);
        verdict.class = class;
        verdict.sizes.inner = u64::from(parsed.outer.payload_length());
        if let Some(stats) = tables.path(key) {
            add_path(stats, parsed, verdict);
            tables.belongs(key);
            return true;
        }
    }
    match tables.peer(&key.peer).map(|peer| (udp_tunnel(peer.udp_class), peer.vni)) {
        Some((Some(class), vni)) => {
            (key.class, key.vni) = (class as u8, vni);
            verdict.class = class;
            verdict.sizes.inner = u64::from(parsed.outer.payload_length());
        }
        _ => {
            (key.class, key.vni) = (parsed.class as u8, VNI_NONE);
            verdict.class = parsed.class;
            verdict.sizes.inner = u64::from(parsed.inner_length);
        }
    }
    false
}

/// Counts a tunnel packet for its path, or as a stranger's.
#[inline(always)]
fn tunnel_path<T: Tables>(site: &Site<'_>, tables: &mut T, seen: &mut Observation) {
    let Observation { parsed, verdict, key, far, .. } = seen;
    let vni = key.vni;
    if matches!(verdict.class, Class::Vxlan | Class::Geneve)
        // A VNI that could not be read is unknown; one of 0 is foreign like any other.
        && !(vni == VNI_NONE && (parsed.udp_later_fragment || verdict.malformed != 0))
        && !site.own_vni(vni)
    {
        verdict.foreign_vni = true;
        key.vni = VNI_FOREIGN;
    }
    if let Some(stats) = tables.path(key) {
        add_path(stats, parsed, verdict);
        tables.belongs(key);
    } else if tables.peer(far).is_some() {
        enter_path(site, tables, parsed, verdict, key);
    } else {
        verdict.foreign_peer = true;
    }
    if verdict.foreign_peer || verdict.foreign_vni {
        key.vni = vni;
        stranger(site, tables, key, &verdict.sizes);
    }
}

/// Counts a packet without encapsulation that may be a pod's for the path of its block, or as external.
#[inline(always)]
fn native_path<T: Tables>(site: &Site<'_>, tables: &mut T, seen: &mut Observation) {
    let Observation { parsed, verdict, key, far, block, .. } = seen;
    // One prefix length, as Calico has it unless addresses were borrowed: the block's path is the
    // proof that the block is known, and one look-up is all.
    let [first, second, ..] = &site.config.lengths;
    if second.bits == 0 {
        (key.peer, key.vni) = (far.masked(&first.mask), first.bits);
        if let Some(stats) = tables.path(key) {
            add_path(stats, parsed, verdict);
            tables.belongs(key);
            return;
        }
    }
    if block_of(far, site.config, tables, block).is_none() {
        verdict.class = Class::External;
        return;
    }
    (key.peer, key.vni) = (block.address, block.bits);
    if let Some(stats) = tables.path(key) {
        add_path(stats, parsed, verdict);
        tables.belongs(key);
    } else {
        enter_path(site, tables, parsed, verdict, key);
    }
}

/// Counts for a path that is seen for the first time.
#[inline(always)]
fn enter_path<T: Tables>(site: &Site<'_>, tables: &mut T, parsed: &Parsed, verdict: &Verdict, key: &PathKey) {
    if let Some(stats) = tables.add_path(key) {
        add_path(stats, parsed, verdict);
    } else {
        event(site, tables, Event::PathOverflow, verdict.sizes.segments);
    }
    tables.belongs(key);
}

/// The UDP tunnel of that number. Compared one by one: a look-up table would need a bound that
/// verifiers before Linux 6.2 do not follow.
#[inline(always)]
const fn udp_tunnel(class: u32) -> Option<Class> {
    if class == Class::Vxlan as u32 {
        Some(Class::Vxlan)
    } else if class == Class::Geneve as u32 {
        Some(Class::Geneve)
    } else if class == Class::Wireguard as u32 {
        Some(Class::Wireguard)
    } else {
        None
    }
}

#[inline(always)]
fn event<T: Tables>(site: &Site<'_>, tables: &mut T, event: Event, packets: u32) {
    if let Some(events) = tables.events(events_index(site.device.slot, site.direction)) {
        events.0[event as usize] += u64::from(packets);
    }
}

/// A coarse filter that costs next to nothing for external traffic: false for what is no pod's.
#[inline(always)]
fn may_be_pod(address: &Address, version: u8, config: &Config) -> bool {
    let (word, coarse) =
        if version == 4 { (address.0[3], &config.coarse4) } else { (address.0[0], &config.coarse6) };
    let mut pod = false;
    for prefix in coarse {
        pod |= word & prefix.mask == prefix.net;
    }
    pod
}

/// Finds the block of a pod address, and leaves its key in `key`: one look-up for each prefix length in
/// use, longest first.
#[inline(always)]
fn block_of<T: Tables>(
    address: &Address,
    config: &Config,
    tables: &T,
    key: &mut BlockKey,
) -> Option<BlockFacts> {
    for length in &config.lengths {
        if length.bits == 0 {
            break;
        }
        *key = BlockKey { address: address.masked(&length.mask), bits: length.bits };
        if let Some(block) = tables.block(key) {
            return Some(block);
        }
    }
    None
}

/// The path of packets to or from a pod block: by its peer where the block's route uses a tunnel, by
/// the block itself where it is native.
#[inline(always)]
const fn path_of_block(key: &mut PathKey, block: &BlockKey, facts: &BlockFacts) {
    key.class = facts.class as u8;
    if facts.class == Class::None as u32 {
        (key.peer, key.vni) = (block.address, block.bits);
    } else {
        (key.peer, key.vni) = (facts.peer, facts.vni);
    }
}

#[inline(always)]
fn into_tunnel<P: Packet, T: Tables>(packet: &P, site: &Site<'_>, tables: &mut T, seen: &mut Observation) {
    let device = site.device;
    let Observation { parsed, verdict, key, far, block, .. } = seen;
    if device.underlay_mtu == 0 {
        return;
    }
    let count = verdict.sizes.above(device.underlay_mtu.saturating_sub(device.overhead));
    if count == 0 {
        return;
    }
    verdict.too_big_for_tunnel = count;
    let Some(destination) = parsed.outer.destination(packet) else { return };
    *far = destination;
    let Some(facts) = block_of(far, site.config, tables, block) else { return };
    *key = PathKey {
        peer: facts.peer,
        vni: device.vni,
        slot: device.underlay_slot,
        direction: Direction::Egress as u8,
        class: device.class,
    };
    let counter = would(parsed.outer.dont_fragment).1;
    if let Some(stats) = path_or_new(tables, key) {
        stats.0[counter as usize] += u64::from(count);
    } else {
        event(site, tables, Event::PathOverflow, count);
    }
}

#[inline(always)]
fn path_or_new<'a, T: Tables>(tables: &'a mut T, key: &PathKey) -> Option<&'a mut PathStats> {
    if tables.path(key).is_none() {
        return tables.add_path(key);
    }
    tables.path(key)
}

#[inline(always)]
const fn would(dont_fragment: bool) -> (Total, PathCounter) {
    if dont_fragment {
        (Total::WouldDrop, PathCounter::WouldDrop)
    } else {
        (Total::WouldFragment, PathCounter::WouldFragment)
    }
}

#[inline(always)]
fn stranger<T: Tables>(site: &Site<'_>, tables: &mut T, key: &PathKey, sizes: &Sizes) {
    let words = key.peer.0;
    // Multiplicative hashing: the constant is 2^32 / φ.
    let hash = (words[0] ^ words[1] ^ words[2] ^ words[3] ^ key.vni ^ u32::from(key.direction))
        .wrapping_mul(0x9e37_79b9);
    let place = hash >> (32 - STRANGERS.trailing_zeros());
    let overflow = match tables.stranger(place) {
        None => true,
        Some(entry) => {
            if entry.packets == 0 {
                entry.key = *key;
            }
            if entry.key == *key {
                entry.packets += u64::from(sizes.segments);
                entry.wire_bytes += sizes.wire;
                false
            } else {
                true
            }
        }
    };
    if overflow {
        event(site, tables, Event::StrangerOverflow, sizes.segments);
    }
}

#[inline(always)]
fn add_totals(totals: &mut Totals, parsed: &Parsed, verdict: &Verdict) {
    let sizes = &verdict.sizes;
    let counters = &mut totals.counters;
    counters[Total::Packets as usize] += u64::from(sizes.segments);
    counters[Total::WireBytes as usize] += sizes.wire;
    counters[Total::L3Bytes as usize] += sizes.l3;
    counters[Total::InnerBytes as usize] += sizes.inner;
    if sizes.segments > 1 {
        counters[Total::Aggregates as usize] += 1;
    }
    if verdict.oversized != 0 {
        counters[Total::Oversized as usize] += u64::from(verdict.oversized);
    }
    if verdict.too_big_for_tunnel != 0 {
        counters[would(parsed.outer.dont_fragment).0 as usize] += u64::from(verdict.too_big_for_tunnel);
    }
    let largest = u64::from(sizes.largest());
    if largest > counters[Total::Largest as usize] {
        counters[Total::Largest as usize] = largest;
    }
    if parsed.outer.position != Position::Whole {
        let (v4, v6) = (Total::OuterV4First, Total::OuterV6First);
        add_fragment(counters, &parsed.outer, v4, v6);
    }
    // What follows is only ever found in tunnel packets.
    if !verdict.class.is_tunnel() {
        return;
    }
    if parsed.inner.position != Position::Whole {
        let (v4, v6) = (Total::InnerV4First, Total::InnerV6First);
        add_fragment(counters, &parsed.inner, v4, v6);
    }
    let n = u64::from(sizes.segments);
    for (seen, counter) in [
        (verdict.foreign_peer, Total::ForeignPeer),
        (verdict.foreign_vni, Total::ForeignVni),
        (parsed.nested, Total::Nested),
        (parsed.inner_non_ip, Total::InnerNonIp),
        (parsed.gpe, Total::VxlanGpe),
    ] {
        if seen {
            counters[counter as usize] += n;
        }
    }
}

#[inline(always)]
fn add_fragment(counters: &mut [u64; crate::counters::TOTALS], ip: &Ip, v4: Total, v6: Total) {
    let base = if ip.version == 4 { v4 as usize } else { v6 as usize };
    match ip.position {
        Position::Whole => return,
        Position::First => counters[base] += 1,
        Position::Middle => counters[base + 1] += 1,
        Position::Last => counters[base + 2] += 1,
        Position::Atomic => counters[v6 as usize + 3] += 1,
    }
    counters[Total::FragmentationOverheadBytes as usize] += u64::from(ip.fragmentation_overhead);
}

#[inline(always)]
fn add_sizes(totals: &mut Totals, last: usize, each: usize, sizes: &Sizes) {
    if let Some(count) = totals.sizes.get_mut(last) {
        *count += 1;
    }
    if sizes.segments > 1
        && let Some(count) = totals.sizes.get_mut(each)
    {
        *count += u64::from(sizes.segments - 1);
    }
}

#[inline(always)]
fn add_path(stats: &mut PathStats, parsed: &Parsed, verdict: &Verdict) {
    let sizes = &verdict.sizes;
    let counters = &mut stats.0;
    counters[PathCounter::Packets as usize] += u64::from(sizes.segments);
    counters[PathCounter::WireBytes as usize] += sizes.wire;
    counters[PathCounter::L3Bytes as usize] += sizes.l3;
    counters[PathCounter::InnerBytes as usize] += sizes.inner;
    let largest = u64::from(sizes.largest());
    if largest > counters[PathCounter::Largest as usize] {
        counters[PathCounter::Largest as usize] = largest;
    }
    if verdict.oversized != 0 {
        counters[PathCounter::Oversized as usize] += u64::from(verdict.oversized);
    }
    if sizes.segments > 1 {
        counters[PathCounter::Aggregates as usize] += 1;
    }
    let (outer, inner) = (parsed.outer.position, parsed.inner.position);
    match outer {
        Position::Whole | Position::Atomic => {}
        Position::First => counters[PathCounter::OuterFirst as usize] += 1,
        Position::Middle => counters[PathCounter::OuterMiddle as usize] += 1,
        Position::Last => counters[PathCounter::OuterLast as usize] += 1,
    }
    if inner.is_fragment() {
        counters[PathCounter::Inner as usize] += 1;
    }
    if outer != Position::Whole || inner != Position::Whole {
        counters[PathCounter::FragmentationOverheadBytes as usize] +=
            u64::from(parsed.outer.fragmentation_overhead) + u64::from(parsed.inner.fragmentation_overhead);
    }
}

/// Counts the too-big message at `at`, and attributes it to the path of the packet that it quotes.
#[inline(always)]
pub fn signal<P: Packet, T: Tables>(packet: &P, at: u32, protocol: u8, site: &Site<'_>, tables: &mut T) {
    let Some(message) = too_big(packet, at, protocol, site.config) else { return };
    event(site, tables, if message.version == 4 { Event::TooBigV4 } else { Event::TooBigV6 }, 1);
    // A message that comes out of a tunnel has crossed the underlay before: it belongs to its path once.
    if site.device.role != role::UNDERLAY {
        return;
    }
    let slot = site.device.slot;
    let quoted = message.quoted;
    if quoted.class as u8 == Class::Malformed as u8 {
        return;
    }
    // A message that comes in is about a packet that went out, to its destination.
    let direction = site.direction.reverse();
    let far = match direction {
        Direction::Egress => quoted.destination,
        Direction::Ingress => quoted.source,
    };
    let mut key =
        PathKey { peer: far, vni: quoted.vni, slot, direction: direction as u8, class: quoted.class as u8 };
    if quoted.class.is_tunnel() {
        match tables.peer(&far) {
            None => return,
            // Few routers quote as far as the VNI.
            Some(peer) if peer.udp_class == quoted.class as u32 && quoted.vni == VNI_NONE => {
                key.vni = peer.vni
            }
            Some(_) if quoted.vni == VNI_NONE || site.own_vni(quoted.vni) => {}
            Some(_) => key.vni = VNI_FOREIGN,
        }
    } else {
        let mut block = BlockKey { address: Address::UNSPECIFIED, bits: 0 };
        let Some(facts) = block_of(&far, site.config, tables, &mut block) else { return };
        path_of_block(&mut key, &block, &facts);
    }
    if let Some(stats) = path_or_new(tables, &key) {
        stats.0[PathCounter::TooBig as usize] += 1;
        if message.mtu != 0 {
            stats.0[PathCounter::TooBigMtu as usize] = u64::from(message.mtu);
        }
    } else {
        event(site, tables, Event::PathOverflow, 1);
    }
}
