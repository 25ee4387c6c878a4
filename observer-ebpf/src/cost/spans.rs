//! Encapsulation and decapsulation: spans of work between two events on one CPU.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use observer_common::cost::{CostConfig, CpuState, MAX_BATCH, MAX_GAP};

use crate::maps::{
    COST_CONFIG, SPANS, bucket_index, cpu_state, discarded, here, is_tunnel_port, now, packets, read, tunnel,
};
use crate::offload;

const INGRESS: u32 = 0;
const EGRESS: u32 = 1;
/// No slot.
const NO_TUNNEL: u32 = u32::MAX;

/// Adds a measured span: `skbs` skbs, which took `time` in total.
#[inline(always)]
fn enter(slot: u32, direction: u32, skbs: u32, packets: u32, time: u64, gaps: u32, config: &CostConfig) {
    if skbs == 0 {
        return;
    }
    let Some(span) = SPANS.get_ptr_mut(slot * 2 + direction) else { return };
    // SAFETY: the value belongs to this CPU.
    let span = unsafe { &mut *span };
    span.skbs += u64::from(skbs);
    span.packets += u64::from(packets);
    span.time += time;
    span.gaps += u64::from(gaps);
    let own = u64::from(gaps) * u64::from(config.probe);
    let each = time.saturating_sub(own) / u64::from(skbs);
    let index = bucket_index(each);
    if let Some(count) = span.buckets.get_mut(index) {
        *count += u64::from(skbs);
    }
}

/// `net_dev_start_xmit(skb, dev)`: an skb is passed to a device.
#[raw_tracepoint]
pub fn cost_send(ctx: RawTracePointContext) {
    let _ = send(ctx.arg(0), ctx.arg(1));
}

#[inline(always)]
fn send(skb: u64, device: u64) -> Option<()> {
    let work = cpu_state()?;
    let config = COST_CONFIG.get(0)?;
    // A number instead of an option: an option tested twice is partly uninitialised on the stack, which the
    // verifier of 5.10 rejects.
    let slot = tunnel(device, config).unwrap_or(NO_TUNNEL);
    if work.held != 0 && work.held == skb {
        offload::sent(work, skb, slot != NO_TUNNEL, config);
    }
    if slot == NO_TUNNEL {
        return None;
    }
    if work.skb != 0 {
        // Softirqs are disabled during a transmission, so no other skb can come in between.
        discarded()?.unsent += 1;
    }
    work.slot = slot;
    work.sending = packets(skb, config);
    work.skb = skb;
    work.begun = now();
    None
}

/// `net_dev_queue(skb)`: an skb reaches a device's queue. The first such event for the current skb is the tunnel
/// packet on its way to the underlay.
#[raw_tracepoint]
pub fn cost_queue(ctx: RawTracePointContext) {
    let _ = queued(ctx.arg(0));
}

#[inline(always)]
fn queued(skb: u64) -> Option<()> {
    let work = cpu_state()?;
    if work.skb != 0 && work.skb == skb {
        let _ = encapsulated(work);
    }
    offload::queued(work, skb, COST_CONFIG.get(0)?)
}

/// The current tunnel packet reached the queue of the device that carries it.
#[inline(always)]
fn encapsulated(work: &mut CpuState) -> Option<()> {
    let time = now().wrapping_sub(work.begun);
    work.skb = 0;
    if time > MAX_GAP {
        discarded()?.interrupted += 1;
        return None;
    }
    let config = COST_CONFIG.get(0)?;
    enter(work.slot, EGRESS, 1, work.sending, time, 1, config);
    None
}

/// `netif_receive_skb(skb)`: the stack starts processing an skb.
#[raw_tracepoint]
pub fn cost_receive(ctx: RawTracePointContext) {
    let _ = receive(ctx.arg(0));
}

#[inline(always)]
fn receive(skb: u64) -> Option<()> {
    let work = cpu_state()?;
    if work.skbs != 0 {
        stretch_ends(work, now())?;
    }
    let config = COST_CONFIG.get(0)?;
    if !comes_in_tunnel(skb, config).unwrap_or(false) {
        return None;
    }
    work.packets += packets(skb, config);
    work.skbs += 1;
    work.ours = 1;
    let now = now();
    if work.skbs == 1 {
        work.first = now;
    }
    work.last = now;
    None
}

/// Ends the span since the last event; `None` if the batch is abandoned.
#[inline(always)]
fn stretch_ends(work: &mut CpuState, now: u64) -> Option<()> {
    let gap = now.wrapping_sub(work.last);
    if work.ours != 0 {
        work.ours = 0;
        if gap > MAX_GAP {
            discarded()?.interrupted += 1;
            done(work);
            return None;
        }
        work.pending += gap;
        work.gaps += 1;
    }
    if now.wrapping_sub(work.first) > MAX_BATCH {
        discarded()?.undelivered += u64::from(work.skbs);
        done(work);
        return None;
    }
    Some(())
}

#[inline(always)]
fn done(work: &mut CpuState) {
    work.skbs = 0;
    work.packets = 0;
    work.gaps = 0;
    work.pending = 0;
    work.ours = 0;
}

/// The first bytes of IPv4 (without options) and UDP, or of IPv6 and UDP.
type Head = [u32; 11];

/// Whether an skb received in this namespace is a tunnel packet, by its outer headers. On any device: under VLANs and
/// bonds the event names the lowest one.
#[inline(always)]
fn comes_in_tunnel(skb: u64, config: &CostConfig) -> Option<bool> {
    let device: u64 = read(skb, config.skb_dev)?;
    if !here(device, config)? {
        return Some(false);
    }
    let data: u64 = read(skb, config.skb_data)?;
    let head: Head = read(data, 0)?;
    let (protocol, port) = match head[0] & 0xff {
        0x45 => {
            // Fragments are reassembled first, into another skb.
            if (head[1] >> 16) as u16 & 0x3fff_u16.to_be() != 0 {
                return Some(false);
            }
            (head[2] >> 8 & 0xff, (head[5] >> 16) as u16)
        }
        first if first & 0xf0 == 0x60 => (head[1] >> 16 & 0xff, (head[10] >> 16) as u16),
        _ => return Some(false),
    };
    Some(match protocol {
        // IPv4, IPv6 or GRE inside.
        4 | 41 | 47 => true,
        17 => is_tunnel_port(port, config),
        _ => false,
    })
}

/// `napi_gro_receive_entry(skb)`: the inner packet arrives at the tunnel device.
#[raw_tracepoint]
pub fn cost_arrive(ctx: RawTracePointContext) {
    let _ = arrive(ctx.arg(0), false);
}

/// `netif_rx(skb)`: the same on tunnel devices without GRO.
#[raw_tracepoint]
pub fn cost_arrive_rx(ctx: RawTracePointContext) {
    let _ = arrive(ctx.arg(0), true);
}

#[inline(always)]
fn arrive(skb: u64, at_once: bool) -> Option<()> {
    let work = cpu_state()?;
    if work.skbs == 0 {
        return None;
    }
    let now = now();
    let config = COST_CONFIG.get(0)?;
    let device: u64 = read(skb, config.skb_dev)?;
    let Some(slot) = tunnel(device, config) else {
        // A driver continues with its next frame.
        return stretch_ends(work, now);
    };
    if work.ours != 0 {
        work.pending += now.wrapping_sub(work.last);
        work.gaps += 1;
    }
    if work.pending > MAX_BATCH {
        discarded()?.interrupted += 1;
    } else if at_once && work.skbs > 1 {
        // In a list whose packets arrive one by one, only the first one has been processed.
        discarded()?.undelivered += u64::from(work.skbs);
    } else {
        enter(slot, INGRESS, work.skbs, work.packets, work.pending, work.gaps, config);
    }
    done(work);
    None
}
