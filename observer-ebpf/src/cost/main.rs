//! What measures the cost of encapsulation: raw tracepoints, loaded only where it is asked for.
//!
//! Each program sees events of all network namespaces and leaves early: by what the CPU is busy with, then
//! by namespace and device. Those that every packet passes are attached for short windows only
//! (observer/src/kernel/cost/windows.rs). Nothing is ever changed.
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

/// The licence that the kernel asks for; the crate's is wider.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
