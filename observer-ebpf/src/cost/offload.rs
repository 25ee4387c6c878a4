//! Segmentation and checksums of what goes through tunnel devices: by the hardware, or by the kernel where
//! that cannot do it inside of a tunnel.
//!
//! The kernel cuts a buffer into segments right before a device that cannot (`validate_xmit_skb`,
//! net/core/dev.c), and lets the buffer itself go (`consume_skb`) before any segment is given to the device. So
//! a buffer that comes to a device's queue and is consumed before it is given to one was cut in software. One
//! that is given to a device was not, unless that device hands it on (a VLAN, a bond) to one that cannot.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use observer_common::cost::{AtWork, CostConfig, OffloadStats, stage};

use crate::maps::{OFFLOADS, at_work, has_segments, here, packets, read, tunnel};

/// `CHECKSUM_PARTIAL` (include/linux/skbuff.h): the checksum is left to the device.
const PARTIAL: u8 = 3;

#[inline(always)]
fn stats(work: &AtWork) -> Option<&'static mut OffloadStats> {
    // SAFETY: this CPU's own value.
    OFFLOADS.get_ptr_mut(work.held_slot).map(|stats| unsafe { &mut *stats })
}

#[inline(always)]
fn lacks_checksum(skb: u64, config: &CostConfig) -> Option<bool> {
    Some(read::<u8>(skb, config.skb_summed)? >> (config.summed_shift & 7) & 3 == PARTIAL)
}

/// Lets the buffer in hand go: what it was last seen to do was its end. Also of one whose window is over.
#[inline(always)]
fn settle(work: &mut AtWork) {
    if let Some(stats) = stats(work) {
        match work.held_stage {
            stage::SEGMENTS_GIVEN => stats.whole += 1,
            stage::SUM_LEFT => stats.left += 1,
            _ => {}
        }
    }
    work.held = 0;
    work.held_stage = stage::NONE;
}

/// A buffer comes to a device's queue.
#[inline(always)]
pub fn queued(work: &mut AtWork, skb: u64, config: &CostConfig) -> Option<()> {
    let device: u64 = read(skb, config.skb_dev)?;
    if work.held != 0 && work.held == skb {
        if here(device, config)? {
            goes_on(work);
        } else {
            // The device was one end of a pair, and this is somebody else's network namespace.
            settle(work);
        }
        return None;
    }
    let slot = tunnel(device, config)?;
    let segments = has_segments(skb, config);
    if !segments && !lacks_checksum(skb, config)? {
        return None;
    }
    settle(work);
    work.held = skb;
    work.held_slot = slot;
    if segments {
        work.held_stage = stage::SEGMENTS_QUEUED;
        work.held_packets = packets(skb, config);
    } else {
        work.held_stage = stage::SUM_MISSING;
    }
    None
}

/// The buffer in hand comes to the next device's queue.
#[inline(always)]
fn goes_on(work: &mut AtWork) {
    work.held_stage =
        if work.held_stage >= stage::SUM_MISSING { stage::SUM_MISSING } else { stage::SEGMENTS_QUEUED };
}

/// The buffer in hand is given to a device.
#[inline(always)]
pub fn sent(work: &mut AtWork, skb: u64, to_tunnel: bool, config: &CostConfig) {
    if work.held_stage < stage::SUM_MISSING {
        work.held_stage = if to_tunnel { stage::SEGMENTS_INSIDE } else { stage::SEGMENTS_GIVEN };
    } else if lacks_checksum(skb, config) == Some(false) {
        if let Some(stats) = stats(work) {
            stats.summed += 1;
        }
        work.held = 0;
        work.held_stage = stage::NONE;
    } else if !to_tunnel {
        work.held_stage = stage::SUM_LEFT;
    }
}

/// `consume_skb(skb)`: a buffer has done its duty.
#[raw_tracepoint]
pub fn cost_consume(ctx: RawTracePointContext) {
    let _ = consumed(ctx.arg(0));
}

#[inline(always)]
fn consumed(skb: u64) -> Option<()> {
    let work = at_work()?;
    if work.held == 0 || work.held != skb {
        return None;
    }
    if work.held_stage == stage::SEGMENTS_QUEUED {
        let stats = stats(work)?;
        stats.cut += 1;
        stats.segments += u64::from(work.held_packets);
    }
    settle(work);
    None
}
