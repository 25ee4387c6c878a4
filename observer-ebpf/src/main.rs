//! Observer's BPF programs. They count packets and never modify or drop them.
//!
//! Entry points only translate: a context becomes a frame and a packet, and the rule of
//! `observer-common` counts it. Every path of every entry point returns [`NEXT`] or `XDP_PASS`.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(missing_docs, reason = "the entry points' macros expand to functions without documentation")]

mod drops;
mod maps;
mod packet;
mod tables;
mod tc;
mod trace;
mod xdp;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{classifier, raw_tracepoint, xdp};
use aya_ebpf::programs::{RawTracePointContext, TcContext, XdpContext};
use observer_common::kind::Direction;

/// `TC_ACT_UNSPEC`, equal to `TCX_NEXT`: run the next program. Under TCX any other value, including
/// `TC_ACT_OK` and `TC_ACT_PIPE`, skips the programs after this one.
const NEXT: i32 = -1;

/// TC ingress of a watched device.
#[classifier]
#[inline(always)]
pub fn observer_in(ctx: TcContext) -> i32 {
    tc::observe(&ctx, Direction::Ingress);
    NEXT
}

/// TC egress of a watched device.
#[classifier]
#[inline(always)]
pub fn observer_out(ctx: TcContext) -> i32 {
    tc::observe(&ctx, Direction::Egress);
    NEXT
}

/// TC ingress of a device traced by `observer trace`.
#[classifier]
#[inline(always)]
pub fn trace_in(ctx: TcContext) -> i32 {
    trace::watch(&ctx, Direction::Ingress);
    NEXT
}

/// TC egress of a device traced by `observer trace`.
#[classifier]
#[inline(always)]
pub fn trace_out(ctx: TcContext) -> i32 {
    trace::watch(&ctx, Direction::Egress);
    NEXT
}

/// `kfree_skb(skb, location, reason)`: a packet is dropped (kernel ≥ 5.17).
#[raw_tracepoint]
pub fn trace_drop(ctx: RawTracePointContext) {
    drops::dropped(ctx.arg(0), ctx.arg(1), Some(ctx.arg(2)));
}

/// `kfree_skb(skb, location)` on older kernels.
#[raw_tracepoint]
pub fn trace_drop_old(ctx: RawTracePointContext) {
    drops::dropped(ctx.arg(0), ctx.arg(1), None);
}

/// XDP ingress of an underlay device.
#[xdp]
#[inline(always)]
pub fn observer_xdp(ctx: XdpContext) -> u32 {
    xdp::observe(&ctx);
    xdp_action::XDP_PASS
}

/// The same for devices whose MTU makes the driver use several buffers per frame (kernel ≥ 5.18).
#[xdp(frags)]
#[inline(always)]
pub fn observer_xdp_fr(ctx: XdpContext) -> u32 {
    xdp::observe_frags(&ctx);
    xdp_action::XDP_PASS
}

/// The kernel requires a GPL-compatible licence string; the crate itself is Apache-2.0 OR MIT.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Unreachable: slices are accessed with `get` and arithmetic wraps in release builds. The verifier
    // would reject a program that could reach this loop.
    loop {}
}
