//! Measures the cost of encapsulation with raw tracepoints, loaded only on request (`--cost`).
//!
//! Each program sees events of all network namespaces and returns early: by the state of the CPU, then by namespace
//! and device. Programs that every packet passes are attached in short windows only
//! (observer/src/kernel/cost/windows.rs). No packet is changed.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod drops;
mod gaps;
mod hook_rtt;
mod maps;
mod offload;
mod soft;
mod spans;
mod tcp;

/// The kernel requires a GPL-compatible licence string; the crate itself is Apache-2.0 OR MIT.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
