//! Time in the network softirqs.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use crate::maps::{COST_CONFIG, cpu_state, now};

/// Network softirqs (include/linux/interrupt.h): NET_TX; NET_RX is the next number.
const NET_TX: u32 = 2;

/// `softirq_entry(vec_nr)`.
#[raw_tracepoint]
pub fn cost_soft_in(ctx: RawTracePointContext) {
    let number: u32 = ctx.arg(0);
    if (NET_TX..NET_TX + 2).contains(&number)
        && let Some(work) = cpu_state()
    {
        work.softirq = now();
    }
}

/// `softirq_exit(vec_nr)`.
#[raw_tracepoint]
pub fn cost_soft_out(ctx: RawTracePointContext) {
    let number: u32 = ctx.arg(0);
    let Some(work) = cpu_state() else { return };
    if work.softirq == 0 {
        return;
    }
    let Some(config) = COST_CONFIG.get(0) else { return };
    let time = now().wrapping_sub(work.softirq) * u64::from(config.sample);
    match number.wrapping_sub(NET_TX) {
        0 => work.softirqs[0] += time,
        1 => work.softirqs[1] += time,
        _ => return,
    }
    work.softirq = 0;
}
