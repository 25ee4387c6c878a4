//! Round-trip times of all TCP traffic at a hook by TCP timestamps, both local and forwarded.
//!
//! Attached at TC of underlay and tunnel devices. Tunnelled traffic is measured at the tunnel device, where its inner
//! headers are visible; at the underlay it is UDP or another protocol and ignored. See `observer_common::hook_rtt` for
//! the states of a flow's slot, and for why concurrent writers cannot produce a wrong sample.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_skb_load_bytes_relative};
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::{Array, PerCpuArray};
use aya_ebpf::programs::TcContext;
use observer_common::abi::{DEVICE_PROBES, DEVICE_TABLE, link};
use observer_common::address::Address;
use observer_common::hook_rtt::{
    ARMED, Answer, FREE, MAX_ROUND_TRIP, RTT_SLOTS, RUNNING, RttDevice, RttFlow, RttSlot, RttStats, later,
};

use crate::maps::{COST_CONFIG, bucket_index, now, path};

/// The first header of packets, by interface index (probed like `DEVICES` of the counting programs).
#[map]
pub static RTT_DEVICES: Array<RttDevice> = Array::with_max_entries(DEVICE_TABLE, 0);
/// Flows that are being measured.
#[map]
pub static RTT_SLOTS_TABLE: Array<RttSlot> = Array::with_max_entries(RTT_SLOTS, 0);
/// Round trips by path, with the indices of `TCP_PATHS`. Shared by all CPUs, because samples are rare.
#[map]
pub static RTT_PATHS: Array<RttStats> = Array::with_max_entries(64, 0);
/// Segments to skip until the next one is sampled.
#[map]
pub static RTT_SKIP: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// `TC_ACT_UNSPEC`: run the next program, in every case.
const NEXT: i32 = -1;
/// IPv4 header without options plus TCP header with timestamps only, in bytes.
const V4: usize = 20 + TCP;
/// The same with IPv6.
const V6: usize = 40 + TCP;
const TCP: usize = 32;
const ETHERNET: usize = 14;
/// `BPF_HDR_START_NET`.
const NETWORK_HEADER: u32 = 1;
/// Instead of an offset: at the skb's network header.
const AT_NETWORK_HEADER: u32 = u32::MAX;

const PROTOCOL_TCP: u8 = 6;
const SYN_OR_RST: u8 = 0x02 | 0x04;
const ACK: u8 = 0x10;
/// NOP, NOP, timestamps of ten bytes: the first options of a segment on Linux, the BSDs and Windows
/// (RFC 7323, appendix A).
const TIMESTAMPS: u32 = 0x0101_080a_u32.to_be();

/// A TCP segment with timestamps.
#[derive(Clone, Copy, Default)]
struct Segment {
    /// From its source to its destination.
    flow: RttFlow,
    /// TSval.
    ts: u32,
    /// TSecr, valid if `acks`.
    echo: u32,
    acks: bool,
    data: bool,
}

/// Egress: a sampled segment arms its flow's slot; the first with a later timestamp starts the clock.
#[classifier]
pub fn cost_out(ctx: TcContext) -> i32 {
    let _ = leaves(&ctx);
    NEXT
}

/// Ingress: the echoed timestamp stops the clock.
#[classifier]
pub fn cost_in(ctx: TcContext) -> i32 {
    let _ = enters(&ctx);
    NEXT
}

#[inline(always)]
fn leaves(ctx: &TcContext) -> Option<()> {
    let link = device(ctx)?.egress_link;
    let glance = glance::<false>(ctx, link)?;
    let slot = RTT_SLOTS_TABLE.get_ptr_mut(glance.slot)?;
    let (state, ports, ts) = peek(slot);
    // The flow is compared only if its clock may start.
    if state == ARMED && ports == glance.ports && later(glance.ts, ts) {
        return armed(ctx, link);
    }
    if !glance.data {
        return None;
    }
    let skip = RTT_SKIP.get_ptr_mut(0)?;
    // SAFETY: the value belongs to this CPU.
    let skip = unsafe { &mut *skip };
    if *skip > 0 {
        *skip -= 1;
        return None;
    }
    *skip = COST_CONFIG.get(0)?.sample.saturating_sub(1);
    choose(ctx, link)
}

#[inline(always)]
fn enters(ctx: &TcContext) -> Option<()> {
    let link = device(ctx)?.ingress_link;
    let glance = glance::<true>(ctx, link)?;
    let slot = RTT_SLOTS_TABLE.get_ptr_mut(glance.slot)?;
    let (state, ports, ts) = peek(slot);
    // An answer to an earlier segment is ignored, whatever its flow.
    if state != RUNNING || ports != glance.ports || later(ts, glance.echo) {
        return None;
    }
    answered(ctx, link)
}

/// Samples a segment if its peer is known and the slot is free.
///
/// Not inlined and with the headers read again, like the next two functions: they are rare, and the common path keeps
/// only a few words of a segment.
#[inline(never)]
fn choose(ctx: &TcContext, link: u8) -> Option<()> {
    let segment = copied(ctx, offset(link))?;
    let slot = RTT_SLOTS_TABLE.get_ptr_mut(segment.flow.slot())?;
    let now = now();
    if !read(slot).is_over(now) {
        return None;
    }
    let path = path(segment.flow.remote.0, segment.flow.local.0)?;
    write(slot, &RttSlot::armed(segment.flow, path, segment.ts, now));
    None
}

/// Starts the clock of an armed slot if the segment does that.
#[inline(never)]
fn armed(ctx: &TcContext, link: u8) -> Option<()> {
    let segment = copied(ctx, offset(link))?;
    let slot = RTT_SLOTS_TABLE.get_ptr_mut(segment.flow.slot())?;
    let held = held(slot, &segment.flow)?;
    if held.moves(segment.ts) {
        write(slot, &held.moved(segment.ts, segment.data, now()));
    }
    None
}

/// Stops the clock of a running slot.
#[inline(never)]
fn answered(ctx: &TcContext, link: u8) -> Option<()> {
    let segment = copied(ctx, offset(link))?;
    let flow = segment.flow.reversed();
    let slot = RTT_SLOTS_TABLE.get_ptr_mut(flow.slot())?;
    let held = held(slot, &flow)?;
    let answer = held.answered(segment.echo);
    if answer == Answer::Wait || !segment.acks {
        return None;
    }
    // Freed first, so that the second of two CPUs with the same answer finds nothing.
    // SAFETY: the slot lives as long as the map, and a word is written in one store.
    unsafe { (&raw mut (*slot).state).write_volatile(FREE) };
    let time = now().wrapping_sub(held.time);
    if answer == Answer::Back && time <= MAX_ROUND_TRIP {
        enter(held.path, time / 1_000);
    }
    None
}

/// Adds a round trip.
#[inline(always)]
fn enter(path: u32, time: u64) -> Option<()> {
    let stats = RTT_PATHS.get_ptr_mut(path)?;
    // SAFETY: the value lives as long as the map; all writers add atomically.
    unsafe {
        add(&raw mut (*stats).samples, 1);
        add(&raw mut (*stats).sum, time);
        if let Some(count) = (*stats).buckets.get_mut(bucket_index(time)) {
            add(count, 1);
        }
    }
    None
}

/// Adds atomically without returning a value: 5.10 has no other atomic, and `core` has none for this target.
///
/// # Safety
/// `to` is a word of a map.
#[inline(always)]
unsafe fn add(to: *mut u64, value: u64) {
    // SAFETY: guaranteed by the caller.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) to, in(reg) value, options(nostack)) };
}

/// The current state, ports and timestamp of a slot.
#[inline(always)]
fn peek(slot: *mut RttSlot) -> (u32, u32, u32) {
    // SAFETY: the slot lives as long as the map; others may write it meanwhile.
    unsafe {
        (
            (&raw const (*slot).state).read_volatile(),
            (&raw const (*slot).flow.ports).read_volatile(),
            (&raw const (*slot).ts).read_volatile(),
        )
    }
}

/// The slot's measurement if it belongs to this flow and is consistent.
#[inline(always)]
fn held(slot: *mut RttSlot, flow: &RttFlow) -> Option<RttSlot> {
    let held = read(slot);
    (held.flow == *flow && held.is_whole()).then_some(held)
}

/// Copies a slot, reading each word once, so that the value checked is the value used.
#[inline(always)]
fn read(slot: *mut RttSlot) -> RttSlot {
    // SAFETY: as above.
    unsafe { slot.read_volatile() }
}

#[inline(always)]
fn write(slot: *mut RttSlot, value: &RttSlot) {
    // SAFETY: as above.
    unsafe { slot.write_volatile(*value) };
}

/// The device that a packet crosses.
#[inline(always)]
fn device(ctx: &TcContext) -> Option<&'static RttDevice> {
    // SAFETY: the context of the program; the verifier checks each access.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    for probe in 0..DEVICE_PROBES {
        let device = RTT_DEVICES.get(ifindex.wrapping_add(probe) & (DEVICE_TABLE - 1))?;
        if device.ifindex == ifindex {
            return Some(device);
        }
    }
    None
}

/// The fields examined for every segment.
struct Glance {
    /// Index of its flow's slot.
    slot: u32,
    /// Ports in egress order.
    ports: u32,
    ts: u32,
    echo: u32,
    data: bool,
}

impl Segment {
    #[inline(always)]
    fn glance<const REVERSED: bool>(self) -> Glance {
        let flow = if REVERSED { self.flow.reversed() } else { self.flow };
        Glance { slot: flow.slot(), ports: flow.ports, ts: self.ts, echo: self.echo, data: self.data }
    }
}

#[inline(always)]
fn glance<const REVERSED: bool>(ctx: &TcContext, link: u8) -> Option<Glance> {
    match link {
        link::ETHERNET => direct::<ETHERNET, REVERSED>(ctx),
        link::IP => direct::<0, REVERSED>(ctx),
        link::NETWORK_HEADER => copied_glance::<REVERSED>(ctx, AT_NETWORK_HEADER),
        _ => None,
    }
}

/// Offset of the IP header.
#[inline(always)]
fn offset(link: u8) -> u32 {
    match link {
        link::ETHERNET => ETHERNET as u32,
        link::IP => 0,
        _ => AT_NETWORK_HEADER,
    }
}

/// Reads the linear part, with the IP header after `L2` bytes.
#[inline(always)]
fn direct<const L2: usize, const REVERSED: bool>(ctx: &TcContext) -> Option<Glance> {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + L2 + V4 > end {
        // SAFETY: as above.
        let length = unsafe { (*ctx.skb.skb).len } as usize;
        return if length < L2 + V4 { None } else { copied_glance::<REVERSED>(ctx, L2 as u32) };
    }
    let ip = start + L2;
    let version = if L2 == ETHERNET {
        // SAFETY: within the bytes checked above.
        match u16::from_be(unsafe { at(start, 12) }) {
            0x0800 => 4,
            0x86dd => 6,
            _ => return None,
        }
    } else {
        // SAFETY: as above.
        unsafe { at::<u8>(ip, 0) >> 4 }
    };
    match version {
        // SAFETY: as above.
        4 => Some(unsafe { v4(ip) }?.glance::<REVERSED>()),
        6 => {
            // SAFETY: as above.
            if unsafe { at::<u8>(ip, 6) } != PROTOCOL_TCP {
                return None;
            }
            if ip + V6 > end {
                return copied_glance::<REVERSED>(ctx, L2 as u32);
            }
            // SAFETY: within the bytes checked above.
            Some(unsafe { v6(ip) }?.glance::<REVERSED>())
        }
        _ => None,
    }
}

/// The same if the headers are not in the linear part or the IP header has no fixed offset.
#[inline(always)]
fn copied_glance<const REVERSED: bool>(ctx: &TcContext, offset: u32) -> Option<Glance> {
    let mut found = Segment::default();
    if copy(ctx, offset, &mut found) == 1 { Some(found.glance::<REVERSED>()) } else { None }
}

/// Returns 1 if it is a segment. Not inlined: it is the exception. No options in arguments or result: the verifier
/// treats their uninitialised parts as read.
#[inline(never)]
fn copy(ctx: &TcContext, offset: u32, found: &mut Segment) -> u32 {
    match copied(ctx, offset) {
        Some(segment) => {
            *found = segment;
            1
        }
        None => 0,
    }
}

/// A segment from a copy of its headers. Inlined: the callers have room on the stack, and the verifier of 5.10 adds up
/// the stacks of nested calls.
#[inline(always)]
fn copied(ctx: &TcContext, offset: u32) -> Option<Segment> {
    let mut buffer = MaybeUninit::<[u32; V6 / 4]>::uninit();
    let skb = ctx.skb.skb;
    if !load(skb, offset, &mut buffer, V4 as u32) {
        return None;
    }
    let ip = buffer.as_ptr() as usize;
    // SAFETY: that many bytes were copied.
    match unsafe { at::<u8>(ip, 0) } >> 4 {
        // SAFETY: as above.
        4 => unsafe { v4(ip) },
        6 if load(skb, offset, &mut buffer, V6 as u32) => {
            // SAFETY: as above.
            unsafe { v6(ip) }
        }
        _ => None,
    }
}

/// Copies the first `length` bytes of the IP packet; false if it is shorter.
#[inline(always)]
fn load(skb: *mut __sk_buff, offset: u32, to: &mut MaybeUninit<[u32; V6 / 4]>, length: u32) -> bool {
    let (skb, to) = (skb.cast_const().cast(), to.as_mut_ptr().cast());
    // SAFETY: `to` has room for `length` bytes.
    let result = unsafe {
        if offset == AT_NETWORK_HEADER {
            bpf_skb_load_bytes_relative(skb, 0, to, length, NETWORK_HEADER)
        } else {
            bpf_skb_load_bytes(skb, offset, to, length)
        }
    };
    result == 0
}

/// # Safety
/// [`V4`] bytes can be read at `ip`.
#[inline(always)]
unsafe fn v4(ip: usize) -> Option<Segment> {
    // SAFETY: guaranteed by the caller.
    unsafe {
        // Tunnels and UDP return here.
        if at::<u8>(ip, 9) != PROTOCOL_TCP || at::<u8>(ip, 0) != 0x45 {
            return None;
        }
        // Not a fragment.
        if at::<u16>(ip, 6) & 0x3fff_u16.to_be() != 0 {
            return None;
        }
        let length = u16::from_be(at(ip, 2));
        // BIG TCP: the header has no length.
        let length = if length == 0 { u32::MAX } else { u32::from(length).saturating_sub(20) };
        let (source, destination) = (Address::from_v4_wire(at(ip, 12)), Address::from_v4_wire(at(ip, 16)));
        tcp(ip + 20, source, destination, length)
    }
}

/// # Safety
/// [`V6`] bytes can be read at `ip`.
#[inline(always)]
unsafe fn v6(ip: usize) -> Option<Segment> {
    // SAFETY: guaranteed by the caller.
    unsafe {
        if at::<u8>(ip, 6) != PROTOCOL_TCP {
            return None;
        }
        let length = u16::from_be(at(ip, 4));
        let length = if length == 0 { u32::MAX } else { u32::from(length) };
        let address =
            |from: usize| Address([at(ip, from), at(ip, from + 4), at(ip, from + 8), at(ip, from + 12)]);
        tcp(ip + 40, address(8), address(24), length)
    }
}

/// A segment of `length` bytes, header included.
///
/// # Safety
/// [`TCP`] bytes can be read at `start`.
#[inline(always)]
unsafe fn tcp(start: usize, source: Address, destination: Address, length: u32) -> Option<Segment> {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let header = u32::from(at::<u8>(start, 12) >> 4) * 4;
        let flags: u8 = at(start, 13);
        if at::<u32>(start, 20) != TIMESTAMPS || flags & SYN_OR_RST != 0 {
            return None;
        }
        if header < TCP as u32 || length < header {
            return None;
        }
        Some(Segment {
            flow: RttFlow { local: source, remote: destination, ports: at(start, 0) },
            ts: u32::from_be(at(start, 24)),
            echo: u32::from_be(at(start, 28)),
            acks: flags & ACK != 0,
            data: length > header,
        })
    }
}

/// # Safety
/// The bytes can be read; the supported architectures (x86-64, arm64) allow unaligned loads.
#[inline(always)]
unsafe fn at<T: Copy>(start: usize, offset: usize) -> T {
    // SAFETY: guaranteed by the caller.
    unsafe { *((start + offset) as *const T) }
}
