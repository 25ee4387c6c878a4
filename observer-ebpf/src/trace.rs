//! Reports single packets to `observer trace`: classified by the same rule as counted packets, but not counted.

use aya_ebpf::helpers::generated::{
    bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_ringbuf_output, bpf_skb_load_bytes,
};
use aya_ebpf::programs::TcContext;
use observer_common::abi::{BlockFacts, BlockKey, Events, PeerFacts, Totals, link};
use observer_common::account::{Observation, Site, Tables, account, classify, is_known_tunnel};
use observer_common::address::Address;
use observer_common::event::{
    Event, Fields, Flow, LONGEST_SNAP, STEPS, TraceConfig, Why, fill_event, possible_reasons, reasons,
};
use observer_common::kind::Direction;
use observer_common::packet::{Packet as _, ip_length};
use observer_common::path::{PathKey, UnknownPeer};

use crate::maps::{
    FIELDS, FILTER, FLOWS, LONGER, Longer, SCRATCH_SIZE, TRACE, TRACE_BUF, TRACE_CONFIG, TracedPacket,
};
use crate::packet::{Copied, Direct, copy_length, copy_length_of};
use crate::tables::{PathCounters, block, config, device, may_be_peer, observation, peer};
use crate::tc::{frame, load, load_from_network_header};

/// The BPF maps for reading only: nothing is counted.
pub struct ReadOnlyTables;

impl Tables for ReadOnlyTables {
    type Path<'a> = PathCounters;

    #[inline(always)]
    fn totals(&mut self, _index: u32) -> Option<&mut Totals> {
        None
    }

    #[inline(always)]
    fn events(&mut self, _index: u32) -> Option<&mut Events> {
        None
    }

    #[inline(always)]
    fn path(&mut self, _key: &PathKey) -> Option<PathCounters> {
        None
    }

    #[inline(always)]
    fn add_path(&mut self, _key: &PathKey) -> Option<PathCounters> {
        None
    }

    #[inline(always)]
    fn may_be_peer(&self, address: &Address) -> bool {
        may_be_peer(address)
    }

    #[inline(always)]
    fn peer(&self, address: &Address) -> Option<PeerFacts> {
        peer(address)
    }

    #[inline(always)]
    fn block(&self, key: &BlockKey) -> Option<BlockFacts> {
        block(key)
    }

    #[inline(always)]
    fn unknown_peer(&mut self, _index: u32) -> Option<&mut UnknownPeer> {
        None
    }

    #[inline(always)]
    fn size_class(&self, _length: u32) -> usize {
        0
    }
}

/// Clears the path left by the previous packet.
#[inline(always)]
pub fn forget(seen: &mut Observation) {
    seen.far = Address::UNSPECIFIED;
    seen.key = PathKey::NOBODY;
}

/// Classifies an skb and reports it if it matches.
#[inline(always)]
pub fn watch(ctx: &TcContext, direction: Direction) {
    let skb = ctx.skb.skb.cast_const();
    // SAFETY: the context of the program; the verifier checks each access.
    let ifindex = unsafe { (*skb).ifindex };
    let Some(trace) = TRACE_CONFIG.get(0) else { return };
    let Some(device) = device(ifindex) else { return };
    let site = Site { device, direction, config: config() };
    if site.link() == link::NETWORK_HEADER {
        return slow_path(ctx, direction);
    }
    let Some(seen) = observation() else { return };
    seen.frame = frame(skb);
    let packet = Direct::new(ctx.data(), ctx.data_end());
    if !classify(&packet, &site, seen) && packet.length() < seen.frame.length {
        return slow_path(ctx, direction);
    }
    // Most packets end here.
    let possible = possible_reasons(seen, &site) & trace.why;
    if possible == 0
        || possible == Why::UnknownTunnel.bit()
            && is_known_tunnel(&packet, &site, &ReadOnlyTables, &seen.parsed)
    {
        return;
    }
    forget(seen);
    account(&packet, &site, &mut ReadOnlyTables, seen);
    packet.verifier_barrier(seen);
    if reasons(seen) & trace.why != 0 {
        slow_path(ctx, direction);
    }
}

/// Classifies an skb from a copy of its first bytes and sends an event if it matches.
///
/// Not inlined: few packets get here. Classifying again costs one parse, and keeps one code path for packets with
/// and without their headers in the linear part.
#[inline(never)]
fn slow_path(ctx: &TcContext, direction: Direction) {
    let skb = ctx.skb.skb;
    // SAFETY: as above.
    let ifindex = unsafe { (*skb).ifindex };
    let Some(trace) = TRACE_CONFIG.get(0) else { return };
    let Some(device) = device(ifindex) else { return };
    let (Some(buffer), Some(seen)) = (TRACE_BUF.get_ptr_mut(0), observation()) else { return };
    let site = Site { device, direction, config: config() };
    seen.frame = frame(skb.cast_const());
    forget(seen);
    // SAFETY: the value lives as long as the map and belongs to this CPU.
    let bytes = unsafe { &raw mut (*buffer).bytes };
    let inner_only = site.link() == link::NETWORK_HEADER;
    let loaded =
        if inner_only { load_from_network_header(skb, bytes) } else { load(skb, bytes, seen.frame.length) };
    let Some(length) = loaded else { return };
    let packet = Copied { start: bytes.cast_const().cast(), length };
    if inner_only {
        // The skb's length counts the outer headers too.
        seen.frame.length = ip_length(&packet, seen.frame.length);
    }
    classify(&packet, &site, seen);
    account(&packet, &site, &mut ReadOnlyTables, seen);
    packet.verifier_barrier(seen);
    let why = reasons(seen) & trace.why;
    if why == 0 {
        return;
    }
    let Some(fields) = FIELDS.get_ptr_mut(0) else { return };
    // SAFETY: as above.
    unsafe { (*fields).fill(&packet, seen, &site) };
    // SAFETY: as above.
    let event = unsafe { &mut (*buffer).event };
    // All reasons, not only the selected ones.
    fill_event(event, seen, &site, reasons(seen));
    event.captured = length;
    event.location = 0;
    event.reason = 0;
    // SAFETY: the context of the program.
    let (tci, protocol) = unsafe { ((*skb).vlan_tci, (*skb).vlan_proto) };
    event.vlan_tci = tci as u16;
    event.vlan_protocol = u16::from_be(protocol as u16);
    if passes(trace.steps) {
        send(ctx, why);
    }
}

/// Whether the filter accepts the current packet.
#[inline(never)]
fn passes(steps: u32) -> bool {
    let (Some(fields), Some(buffer)) = (FIELDS.get(0), TRACE_BUF.get_ptr_mut(0)) else { return false };
    // The results are kept in the time field, which is written later.
    // SAFETY: the value lives as long as the map and belongs to this CPU.
    run_filter(steps, fields, unsafe { &raw mut (*buffer).event.time })
}

/// Runs the filter's steps. Results are kept in a map: in a register the verifier would follow every possible
/// value, which doubles with each step.
#[expect(clippy::needless_range_loop, reason = "the verifier follows a loop over indices")]
#[inline(always)]
pub fn run_filter(steps: u32, fields: &Fields, stack: *mut u64) -> bool {
    if steps == 0 {
        return true;
    }
    let Some(filter) = FILTER.get(0) else { return false };
    // SAFETY: it points into a map's value.
    unsafe { stack.write_volatile(0) };
    for i in 0..STEPS {
        if i as u32 >= steps {
            break;
        }
        // SAFETY: as above.
        unsafe { stack.write_volatile(filter[i].run(fields, stack.read_volatile())) };
    }
    // SAFETY: as above.
    unsafe { stack.read_volatile() & 1 != 0 }
}

/// Sends the current event, within the rate limit.
#[inline(never)]
fn send(ctx: &TcContext, why: u32) {
    let (Some(trace), Some(buffer)) = (TRACE_CONFIG.get(0), TRACE_BUF.get_ptr_mut(0)) else { return };
    let Some(flow) = flow(why) else { return };
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if !flow.admit(now, trace) {
        return;
    }
    // SAFETY: the value lives as long as the map and belongs to this CPU.
    let event = unsafe { &mut (*buffer).event };
    event.time = now;
    let sent = match send_long(ctx, event, trace) {
        Some(sent) => sent,
        None => {
            let length = copy_length(event.captured);
            const { assert!(size_of::<TracedPacket>() >= size_of::<Event>() + SCRATCH_SIZE) };
            // SAFETY: the value has room for that many bytes.
            unsafe { output(buffer.cast(), length) }
        }
    };
    if sent {
        flow.sent += 1;
    } else {
        flow.lost += 1;
    }
}

/// Sends an event with more of the packet than its headers if requested and available; otherwise `None`.
#[inline(always)]
fn send_long(ctx: &TcContext, event: &Event, trace: &TraceConfig) -> Option<bool> {
    let all = event.length;
    if trace.snap <= SCRATCH_SIZE as u32 || all <= SCRATCH_SIZE as u32 || event.link == link::NETWORK_HEADER {
        return None;
    }
    // SAFETY: a helper without arguments.
    let longer = LONGER.get_ptr_mut(unsafe { bpf_get_smp_processor_id() })?;
    let length = copy_length_of::<LONGEST_SNAP>(if all < trace.snap { all } else { trace.snap });
    // SAFETY: the value belongs to this CPU: programs at TC run with softirqs disabled. It has room for `length`
    // bytes.
    let loaded = unsafe {
        bpf_skb_load_bytes(ctx.skb.skb.cast_const().cast(), 0, (&raw mut (*longer).bytes).cast(), length)
    };
    if loaded != 0 {
        return None;
    }
    // SAFETY: as above.
    unsafe {
        (*longer).event = *event;
        (*longer).event.captured = length;
    }
    const { assert!(size_of::<Longer>() >= size_of::<Event>() + LONGEST_SNAP) };
    // SAFETY: as above.
    Some(unsafe { output(longer.cast(), length) })
}

/// Sends an event and the `length` bytes after it; returns whether there was room.
///
/// # Safety
/// `event` points to an `Event` followed by `length` readable bytes.
#[inline(always)]
pub unsafe fn output(event: *mut core::ffi::c_void, length: u32) -> bool {
    let size = size_of::<Event>() as u64 + u64::from(length);
    // SAFETY: see above.
    unsafe { bpf_ringbuf_output((&raw const TRACE).cast_mut().cast(), event, size, 0) == 0 }
}

/// The counters of the first reason in a set.
#[inline(always)]
fn flow(why: u32) -> Option<&'static mut Flow> {
    let mut first = 0;
    for (i, reason) in Why::ALL.iter().enumerate() {
        if why & reason.bit() != 0 {
            first = i as u32;
            break;
        }
    }
    // SAFETY: the value lives as long as the map and belongs to this CPU.
    FLOWS.get_ptr_mut(first).map(|flow| unsafe { &mut *flow })
}
