//! Packets dropped by the kernel because they are too big, as fragments, or at a tunnel, with the drop reason.
//!
//! `kfree_skb` runs in every context, softirqs included, so nothing here shares a value with the programs at TC,
//! and a drop while another is being processed is only counted.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_kernel as read_bytes};
use observer_common::abi::{DeviceFacts, link, role};
use observer_common::account::{Site, account, classify};
use observer_common::drops::{DropConfig, NOREF, RANGES, has};
use observer_common::event::{Event, UNKNOWN_DIRECTION, Why, fill_event, reasons};
use observer_common::kind::Direction;
use observer_common::packet::{Frame, Packet as _};

use crate::maps::{
    DROP_CONFIG, DROPPED, Dropped, FLOWS, SCRATCH_SIZE, SCRATCH_SLACK, TRACE_CONFIG, TracedPacket,
};
use crate::packet::{Copied, copy_length};
use crate::tables::{config, device};
use crate::trace::{ReadOnlyTables, forget, output, run_filter};

/// Larger than any packet; lengths above it are invalid.
const LONGEST: u64 = 1 << 24;

#[inline(always)]
fn read<T>(base: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

/// `kfree_skb(skb, location, reason)`.
#[inline(always)]
pub fn dropped(skb: u64, location: u64, reason: Option<u32>) {
    let Some(config) = DROP_CONFIG.get(0) else { return };
    // Most drops end here, so this check is the cheapest.
    let (anywhere, at_tunnels) = match reason {
        Some(reason) if has(&config.vague, reason) => (known_location(location), false),
        Some(reason) => (has(&config.anywhere, reason), has(&config.at_tunnels, reason)),
        None => (known_location(location), false),
    };
    if !anywhere && !at_tunnels {
        return;
    }
    let Some((facts, leaves)) = watched_device(skb, config) else { return };
    if !anywhere && facts.role != role::TUNNEL {
        return;
    }
    let Some(drop) = DROPPED.get_ptr_mut(0) else { return };
    // By pointer: `report` borrows the value.
    // SAFETY: the value lives as long as the map and belongs to this CPU.
    unsafe {
        if (*drop).busy != 0 {
            return lost();
        }
        (*drop).busy = 1;
        (*drop).facts = *facts;
        (*drop).traced.event.location = location;
        (*drop).traced.event.reason = reason.unwrap_or(0);
    }
    report(skb, u64::from(leaves));
    // SAFETY: as above.
    unsafe { (*drop).busy = 0 };
}

/// Whether the drop location is in one of the configured functions.
#[inline(never)]
fn known_location(location: u64) -> bool {
    let Some(config) = DROP_CONFIG.get(0) else { return false };
    for i in 0..RANGES {
        if i as u32 >= config.range_count {
            break;
        }
        if config.ranges[i].start <= location && location < config.ranges[i].end {
            return true;
        }
    }
    false
}

/// The watched device the packet was routed to (true), or else the one it is at (false).
#[inline(always)]
fn watched_device(skb: u64, config: &DropConfig) -> Option<(&'static DeviceFacts, bool)> {
    let route = read::<u64>(skb, config.skb_dst).unwrap_or(0) & !NOREF;
    if route != 0
        && let Some(facts) = watched(read(route, config.dst_dev).unwrap_or(0), config)
    {
        return Some((facts, true));
    }
    Some((watched(read(skb, config.skb_dev).unwrap_or(0), config)?, false))
}

/// The facts of a device if it is watched. Interface indices are per network namespace, so that is compared too.
#[inline(never)]
fn watched(of: u64, config: &DropConfig) -> Option<&'static DeviceFacts> {
    if of == 0 {
        return None;
    }
    let facts = device(read(of, config.dev_ifindex)?)?;
    let net: u64 = read(of, config.dev_net)?;
    (read::<u32>(net, config.net_inum)? == config.netns).then_some(facts)
}

/// Classifies the dropped packet and sends an event if the filter accepts it.
#[inline(never)]
fn report(skb: u64, leaves: u64) {
    let (Some(drops), Some(trace)) = (DROP_CONFIG.get(0), TRACE_CONFIG.get(0)) else { return };
    let Some(drop) = DROPPED.get_ptr_mut(0) else { return };
    // SAFETY: as above.
    let drop = unsafe { &mut *drop };
    let Some(length) = copy(skb, drops, drop) else { return };
    drop.facts.ingress_link = link::IP;
    drop.facts.egress_link = link::IP;
    let direction = if leaves != 0 { Direction::Egress } else { Direction::Ingress };
    let site = Site { device: &drop.facts, direction, config: config() };
    let packet = Copied { start: (&raw const drop.traced.bytes).cast(), length };
    let seen = &mut drop.seen;
    forget(seen);
    classify(&packet, &site, seen);
    account(&packet, &site, &mut ReadOnlyTables, seen);
    packet.verifier_barrier(seen);
    drop.fields.fill(&packet, seen, &site);
    let event = &mut drop.traced.event;
    fill_event(event, seen, &site, reasons(seen) | Why::Drop.bit());
    event.direction = UNKNOWN_DIRECTION;
    event.captured = length;
    if run_filter(trace.steps, &drop.fields, &raw mut drop.stack) {
        send();
    }
}

/// Copies the packet from its IP header on, as far as it is in the linear part; returns the length.
#[inline(always)]
fn copy(skb: u64, config: &DropConfig, drop: &mut Dropped) -> Option<u32> {
    let head: u64 = read(skb, config.skb_head)?;
    let data: u64 = read(skb, config.skb_data)?;
    let length: u32 = read(skb, config.skb_len)?;
    let tail: u32 = read(skb, config.skb_tail)?;
    let network = u32::from(read::<u16>(skb, config.skb_network)?);
    let whole = (u64::from(length) + data).wrapping_sub(head + u64::from(network));
    let linear = u64::from(tail).wrapping_sub(u64::from(network));
    // Not set, or after the end of the data: not an IP packet.
    if network == 0 || network == 0xffff || whole == 0 || whole > LONGEST || linear == 0 || linear > LONGEST {
        return None;
    }
    let shared = head + u64::from(read::<u32>(skb, config.skb_end)?);
    drop.seen.frame = Frame {
        length: whole as u32,
        gso_segs: u32::from(read::<u16>(shared, config.gso_segs)?),
        gso_size: u32::from(read::<u16>(shared, config.gso_size)?),
        tag_beside: false,
        zero_length_is_big: true,
    };
    let from = head + u64::from(network);
    let length = fetch(&raw mut drop.traced.bytes, from, if linear < whole { linear } else { whole });
    (length != 0).then_some(length)
}

/// Copies up to `length` bytes; returns the number copied, 0 if they cannot be read.
///
/// Not inlined: with fewer live values the length stays in its register; the verifier of 6.1 loses the bound of a
/// spilled one.
#[inline(never)]
fn fetch(to: *mut [u8; SCRATCH_SIZE + SCRATCH_SLACK], from: u64, length: u64) -> u32 {
    let length = copy_length(length as u32);
    // SAFETY: the buffer has room for that many bytes; the helper checks the address.
    let result = unsafe { read_bytes(to.cast(), length, from as *const core::ffi::c_void) };
    if result == 0 { length } else { 0 }
}

/// Sends the current event, within the rate limit.
#[inline(never)]
fn send() {
    let (Some(trace), Some(drop)) = (TRACE_CONFIG.get(0), DROPPED.get_ptr_mut(0)) else { return };
    let Some(flow) = FLOWS.get_ptr_mut(Why::Drop.index()) else { return };
    // SAFETY: as above.
    let flow = unsafe { &mut *flow };
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if !flow.admit(now, trace) {
        return;
    }
    // SAFETY: as above.
    let traced = unsafe { &mut (*drop).traced };
    traced.event.time = now;
    let length = copy_length(traced.event.captured);
    traced.event.captured = length;
    const { assert!(size_of::<TracedPacket>() >= size_of::<Event>() + SCRATCH_SIZE) };
    // SAFETY: the value has room for that many bytes.
    if unsafe { output((&raw mut *traced).cast(), length) } {
        flow.sent += 1;
    } else {
        flow.lost += 1;
    }
}

/// Counts a drop that happened while another was being processed.
#[inline(always)]
fn lost() {
    if let Some(flow) = FLOWS.get_ptr_mut(Why::Drop.index()) {
        // SAFETY: as above.
        unsafe { (*flow).lost += 1 };
    }
}
