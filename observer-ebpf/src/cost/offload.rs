//! Segmentation and checksums of traffic through tunnel devices: done by the hardware, or by the kernel if the
//! hardware cannot do it inside a tunnel.
//!
//! The kernel segments an skb right before a device that cannot (`validate_xmit_skb`, net/core/dev.c), and frees the
//! skb (`consume_skb`) before any segment is passed to the device. So an skb that reaches a device's queue and is
//! consumed before it is passed to a device was segmented in software. One that is passed to a device was not, unless
//! that device (a VLAN, a bond) passes it on to one that cannot.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use observer_common::cost::{CostConfig, CpuState, OffloadStats, stage};

use crate::maps::{OFFLOADS, cpu_state, has_segments, here, packets, read, tunnel};

/// `CHECKSUM_PARTIAL` (include/linux/skbuff.h): the checksum is left to the device.
const PARTIAL: u8 = 3;

#[inline(always)]
fn stats(work: &CpuState) -> Option<&'static mut OffloadStats> {
    // SAFETY: the value belongs to this CPU.
    OFFLOADS.get_ptr_mut(work.held_slot).map(|stats| unsafe { &mut *stats })
}

#[inline(always)]
fn lacks_checksum(skb: u64, config: &CostConfig) -> Option<bool> {
    Some(read::<u8>(skb, config.skb_summed)? >> (config.summed_shift & 7) & 3 == PARTIAL)
}

/// Finishes the current skb: its last stage was its final one. Also called after the window has closed.
#[inline(always)]
fn finish(work: &mut CpuState) {
    if let Some(stats) = stats(work) {
        match work.held_stage {
            stage::SEGMENTS_PASSED_ON => stats.whole += 1,
            stage::CHECKSUM_PASSED_ON => stats.left += 1,
            _ => {}
        }
    }
    work.held = 0;
    work.held_stage = stage::NONE;
}

/// An skb reaches a device's queue.
#[inline(always)]
pub fn queued(work: &mut CpuState, skb: u64, config: &CostConfig) -> Option<()> {
    let device: u64 = read(skb, config.skb_dev)?;
    if work.held != 0 && work.held == skb {
        if here(device, config)? {
            goes_on(work);
        } else {
            // The device was one end of a veth pair: this is another network namespace.
            finish(work);
        }
        return None;
    }
    let slot = tunnel(device, config)?;
    let segments = has_segments(skb, config);
    if !segments && !lacks_checksum(skb, config)? {
        return None;
    }
    finish(work);
    work.held = skb;
    work.held_slot = slot;
    if segments {
        work.held_stage = stage::SEGMENTS_QUEUED;
        work.held_packets = packets(skb, config);
    } else {
        work.held_stage = stage::CHECKSUM_PENDING;
    }
    None
}

/// The current skb reaches the next device's queue.
#[inline(always)]
fn goes_on(work: &mut CpuState) {
    work.held_stage = if work.held_stage >= stage::CHECKSUM_PENDING {
        stage::CHECKSUM_PENDING
    } else {
        stage::SEGMENTS_QUEUED
    };
}

/// The current skb is passed to a device.
#[inline(always)]
pub fn sent(work: &mut CpuState, skb: u64, to_tunnel: bool, config: &CostConfig) {
    if work.held_stage < stage::CHECKSUM_PENDING {
        work.held_stage = if to_tunnel { stage::SEGMENTS_IN_TUNNEL } else { stage::SEGMENTS_PASSED_ON };
    } else if lacks_checksum(skb, config) == Some(false) {
        if let Some(stats) = stats(work) {
            stats.summed += 1;
        }
        work.held = 0;
        work.held_stage = stage::NONE;
    } else if !to_tunnel {
        work.held_stage = stage::CHECKSUM_PASSED_ON;
    }
}

/// `consume_skb(skb)`: an skb is freed without being dropped.
#[raw_tracepoint]
pub fn cost_consume(ctx: RawTracePointContext) {
    let _ = consumed(ctx.arg(0));
}

#[inline(always)]
fn consumed(skb: u64) -> Option<()> {
    let work = cpu_state()?;
    if work.held == 0 || work.held != skb {
        return None;
    }
    if work.held_stage == stage::SEGMENTS_QUEUED {
        let stats = stats(work)?;
        stats.cut += 1;
        stats.segments += u64::from(work.held_packets);
    }
    finish(work);
    None
}
