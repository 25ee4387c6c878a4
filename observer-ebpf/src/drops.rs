//! Drops: what the kernel throws away of packets that are too big, in fragments or on their way through a
//! tunnel, and why.
//!
//! `kfree_skb` is hit in every context. A softirq may come in between, so nothing here shares a value with
//! the programs at TC, and a drop inside a drop is only counted.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_kernel as read_bytes};
use observer_common::abi::{DeviceFacts, link, role};
use observer_common::account::{Observation, Site, account, classify};
use observer_common::drops::{DropConfig, NOREF, PLACES, has};
use observer_common::event::{Event, Fields, UNKNOWN_DIRECTION, Why, tell, whys};
use observer_common::kind::Direction;
use observer_common::packet::{Frame, Packet as _};

use crate::maps::{DROP_CONFIG, DROPPED, FLOWS, SCRATCH_SIZE, SCRATCH_SLACK, TRACE_CONFIG, TracedPacket};
use crate::packet::{Copied, copy_length};
use crate::tables::{config, device};
use crate::trace::{ReadOnlyTables, forget, output, run_filter};

/// Longer than any packet: a length above it is none.
const LONGEST: u64 = 1 << 24;

/// A dropped packet in hand.
#[repr(C)]
pub struct Dropped {
    /// What is sent.
    pub told: TracedPacket,
    /// What the filter looks at.
    pub fields: Fields,
    /// What is known of it.
    pub seen: Observation,
    /// Its device, as it looks from the IP header on.
    pub facts: DeviceFacts,
    /// The filter's results.
    pub stack: u64,
    /// A drop is in hand.
    pub busy: u64,
}

#[inline(always)]
fn read<T>(base: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

/// `kfree_skb(skb, location, reason)`.
#[inline(always)]
pub fn dropped(skb: u64, location: u64, reason: Option<u32>) {
    let Some(config) = DROP_CONFIG.get(0) else { return };
    // What most drops end at costs least.
    let (anywhere, at_tunnels) = match reason {
        Some(reason) if has(&config.vague, reason) => (known_place(location), false),
        Some(reason) => (has(&config.anywhere, reason), has(&config.at_tunnels, reason)),
        None => (known_place(location), false),
    };
    if !anywhere && !at_tunnels {
        return;
    }
    let Some((facts, leaves)) = place(skb, config) else { return };
    if !anywhere && facts.role != role::TUNNEL {
        return;
    }
    let Some(hand) = DROPPED.get_ptr_mut(0) else { return };
    // By pointer: `judge` has the value in hand meanwhile.
    // SAFETY: the value lives as long as the map, and is this CPU's own.
    unsafe {
        if (*hand).busy != 0 {
            return lost();
        }
        (*hand).busy = 1;
        (*hand).facts = *facts;
        (*hand).told.event.location = location;
        (*hand).told.event.reason = reason.unwrap_or(0);
    }
    judge(skb, u64::from(leaves));
    // SAFETY: as above.
    unsafe { (*hand).busy = 0 };
}

/// Whether one of the places dropped it.
#[inline(never)]
fn known_place(location: u64) -> bool {
    let Some(config) = DROP_CONFIG.get(0) else { return false };
    for i in 0..PLACES {
        if i as u32 >= config.places {
            break;
        }
        if config.place[i].start <= location && location < config.place[i].end {
            return true;
        }
    }
    false
}

/// The watched device that a packet was on its way to, or else that it is at; true for the former.
#[inline(always)]
fn place(skb: u64, config: &DropConfig) -> Option<(&'static DeviceFacts, bool)> {
    let route = read::<u64>(skb, config.skb_dst).unwrap_or(0) & !NOREF;
    if route != 0
        && let Some(facts) = watched(read(route, config.dst_dev).unwrap_or(0), config)
    {
        return Some((facts, true));
    }
    Some((watched(read(skb, config.skb_dev).unwrap_or(0), config)?, false))
}

/// A device's facts, where it is one of ours: interface indices are only a network namespace's own.
#[inline(never)]
fn watched(of: u64, config: &DropConfig) -> Option<&'static DeviceFacts> {
    if of == 0 {
        return None;
    }
    let facts = device(read(of, config.dev_ifindex)?)?;
    let net: u64 = read(of, config.dev_net)?;
    (read::<u32>(net, config.net_inum)? == config.netns).then_some(facts)
}

/// Judges the packet in hand, and sends it where it is wanted.
#[inline(never)]
fn judge(skb: u64, leaves: u64) {
    let (Some(drops), Some(wanted)) = (DROP_CONFIG.get(0), TRACE_CONFIG.get(0)) else { return };
    let Some(hand) = DROPPED.get_ptr_mut(0) else { return };
    // SAFETY: as above.
    let hand = unsafe { &mut *hand };
    let Some(length) = copy(skb, drops, hand) else { return };
    hand.facts.ingress_link = link::IP;
    hand.facts.egress_link = link::IP;
    let direction = if leaves != 0 { Direction::Egress } else { Direction::Ingress };
    let site = Site { device: &hand.facts, direction, config: config() };
    let packet = Copied { start: (&raw const hand.told.bytes).cast(), length };
    let seen = &mut hand.seen;
    forget(seen);
    classify(&packet, &site, seen);
    account(&packet, &site, &mut ReadOnlyTables, seen);
    packet.verifier_barrier(seen);
    hand.fields.fill(&packet, seen, &site);
    let event = &mut hand.told.event;
    tell(event, seen, &site, whys(seen) | Why::Drop.bit());
    event.direction = UNKNOWN_DIRECTION;
    event.captured = length;
    if run_filter(wanted.steps, &hand.fields, &raw mut hand.stack) {
        send();
    }
}

/// Copies the packet from its IP header on, as far as it is in the linear part; says how much that is.
#[inline(always)]
fn copy(skb: u64, config: &DropConfig, hand: &mut Dropped) -> Option<u32> {
    let head: u64 = read(skb, config.skb_head)?;
    let data: u64 = read(skb, config.skb_data)?;
    let length: u32 = read(skb, config.skb_len)?;
    let tail: u32 = read(skb, config.skb_tail)?;
    let network = u32::from(read::<u16>(skb, config.skb_network)?);
    let whole = (u64::from(length) + data).wrapping_sub(head + u64::from(network));
    let linear = u64::from(tail).wrapping_sub(u64::from(network));
    // Not set, or behind the data: no IP packet.
    if network == 0 || network == 0xffff || whole == 0 || whole > LONGEST || linear == 0 || linear > LONGEST {
        return None;
    }
    let shared = head + u64::from(read::<u32>(skb, config.skb_end)?);
    hand.seen.frame = Frame {
        length: whole as u32,
        gso_segs: u32::from(read::<u16>(shared, config.gso_segs)?),
        gso_size: u32::from(read::<u16>(shared, config.gso_size)?),
        tag_beside: false,
        zero_length_is_big: true,
    };
    let from = head + u64::from(network);
    let length = fetch(&raw mut hand.told.bytes, from, if linear < whole { linear } else { whole });
    (length != 0).then_some(length)
}

/// Copies `length` bytes, or as many as there is room for; says how many, 0 where they cannot be read.
///
/// Not inlined: with fewer values in hand the length that is compared stays in its register, and the verifier
/// of 6.1 loses the bound of one that does not.
#[inline(never)]
fn fetch(to: *mut [u8; SCRATCH_SIZE + SCRATCH_SLACK], from: u64, length: u64) -> u32 {
    let length = copy_length(length as u32);
    // SAFETY: the buffer has room for so many bytes; the helper checks the address.
    let result = unsafe { read_bytes(to.cast(), length, from as *const core::ffi::c_void) };
    if result == 0 { length } else { 0 }
}

/// Sends the event in hand, as far as the rate allows.
#[inline(never)]
fn send() {
    let (Some(wanted), Some(hand)) = (TRACE_CONFIG.get(0), DROPPED.get_ptr_mut(0)) else { return };
    let Some(flow) = FLOWS.get_ptr_mut(Why::Drop.place()) else { return };
    // SAFETY: as above.
    let flow = unsafe { &mut *flow };
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if !flow.may(now, wanted) {
        return;
    }
    // SAFETY: as above.
    let told = unsafe { &mut (*hand).told };
    told.event.time = now;
    let length = copy_length(told.event.captured);
    told.event.captured = length;
    const { assert!(size_of::<TracedPacket>() >= size_of::<Event>() + SCRATCH_SIZE) };
    // SAFETY: the value has room for so many bytes.
    if unsafe { output((&raw mut *told).cast(), length) } {
        flow.sent += 1;
    } else {
        flow.lost += 1;
    }
}

/// A drop inside a drop.
#[inline(always)]
fn lost() {
    if let Some(flow) = FLOWS.get_ptr_mut(Why::Drop.place()) {
        // SAFETY: as above.
        unsafe { (*flow).lost += 1 };
    }
}
