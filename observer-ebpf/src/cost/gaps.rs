//! The cost of the measurement itself: two programs at one event that only test runs trigger.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{raw_tracepoint, xdp};
use aya_ebpf::programs::{RawTracePointContext, XdpContext};

use crate::maps::{GAPS, bucket_index, cpu_state, now};

/// The first of two programs at one event, which end and begin like the measuring ones.
#[raw_tracepoint]
pub fn cost_gap_begin(_ctx: RawTracePointContext) {
    let Some(work) = cpu_state() else { return };
    work.skb = 1;
    work.begun = now();
}

/// The second.
#[raw_tracepoint]
pub fn cost_gap_end(_ctx: RawTracePointContext) {
    let Some(work) = cpu_state() else { return };
    if work.skb != 1 {
        return;
    }
    let time = now().wrapping_sub(work.begun);
    work.skb = 0;
    let Some(gaps) = GAPS.get_ptr_mut(0) else { return };
    // SAFETY: user space triggers one event at a time.
    let gaps = unsafe { &mut *gaps };
    gaps.skbs += 1;
    gaps.time += time;
    let index = bucket_index(time);
    if let Some(count) = gaps.buckets.get_mut(index) {
        *count += 1;
    }
}

/// Triggers the event.
#[xdp]
pub fn cost_event(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}
