//! Baselines of the benchmark: an empty program (the floor) and the reference (parse to the ports, one update of
//! a per-CPU hash with a 16-byte key). Also a driver that gives each run another sender, and a redirect into a
//! device.
#![no_std]
#![no_main]
#![expect(missing_docs, reason = "the entry points' macros expand to functions without documentation")]

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{classifier, map, raw_tracepoint, xdp};
use aya_ebpf::maps::{DevMap, PerCpuArray, PerCpuHashMap, ProgramArray};
use aya_ebpf::programs::{RawTracePointContext, TcContext, XdpContext};

const NEXT: i32 = -1;
const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800_u16.to_be();
const TCP: u8 = 6;
const UDP: u8 = 17;

#[repr(C)]
struct Ipv4 {
    version_ihl: u8,
    tos: u8,
    length: u16,
    id: u16,
    fragment: u16,
    ttl: u8,
    protocol: u8,
    checksum: u16,
    source: u32,
    destination: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Flow {
    source: u32,
    destination: u32,
    ports: u32,
    protocol: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Count {
    packets: u64,
    bytes: u64,
}

#[map]
static FLOWS: PerCpuHashMap<Flow, Count> = PerCpuHashMap::with_max_entries(16_384, 0);

/// Offset of an IPv4 packet's source address.
const SOURCE: usize = ETHERNET + 12;
/// Programs that a driver can tail-call.
const TARGETS: u32 = 8;

/// The senders a driver assigns to packets: `base + n × stride` for n below `count`, each once before any repeats,
/// in an order that caches cannot predict. `observer-bench` has the same struct.
#[derive(Clone, Copy)]
#[repr(C)]
struct Senders {
    base: u32,
    stride: u32,
    count: u32,
    step: u32,
    next: u32,
    /// The program to tail-call.
    target: u32,
}

#[map]
static SENDERS: PerCpuArray<Senders> = PerCpuArray::with_max_entries(1, 0);

#[map]
static TARGETS_TC: ProgramArray = ProgramArray::with_max_entries(TARGETS, 0);

#[map]
static TARGETS_XDP: ProgramArray = ProgramArray::with_max_entries(TARGETS, 0);

#[map]
static OUT: DevMap = DevMap::with_max_entries(1, 0);

/// Writes the next sender into an IPv4 packet; returns the target's index.
#[inline(always)]
fn next_sender(data: usize, end: usize) -> u32 {
    let Some(senders) = SENDERS.get_ptr_mut(0) else { return 0 };
    // SAFETY: the value belongs to this CPU.
    let senders = unsafe { &mut *senders };
    if data + SOURCE + 4 <= end {
        let sender = senders.base.wrapping_add(senders.next.wrapping_mul(senders.stride));
        // SAFETY: the bytes were checked above.
        unsafe { *((data + SOURCE) as *mut u32) = sender.to_be() };
    }
    let next = senders.next.wrapping_add(senders.step);
    senders.next = if next >= senders.count { next.wrapping_sub(senders.count) } else { next };
    senders.target
}

#[classifier]
pub fn driver_tc(ctx: TcContext) -> i32 {
    let target = next_sender(ctx.data(), ctx.data_end());
    // SAFETY: nothing is left to drop.
    unsafe { TARGETS_TC.tail_call(&ctx, target) };
    NEXT
}

#[xdp]
pub fn driver_xdp(ctx: XdpContext) -> u32 {
    let target = next_sender(ctx.data(), ctx.data_end());
    // SAFETY: as above.
    unsafe { TARGETS_XDP.tail_call(&ctx, target) };
    // Makes a missing target visible.
    xdp_action::XDP_ABORTED
}

/// Sends live frames into a device, each from the next sender.
#[xdp]
pub fn redirect(ctx: XdpContext) -> u32 {
    next_sender(ctx.data(), ctx.data_end());
    OUT.redirect(0, 0).unwrap_or(xdp_action::XDP_ABORTED)
}

#[classifier]
pub fn floor_tc(_ctx: TcContext) -> i32 {
    NEXT
}

#[xdp]
pub fn floor_xdp(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[raw_tracepoint]
pub fn floor_raw(_ctx: RawTracePointContext) {}

#[classifier]
pub fn reference_tc(ctx: TcContext) -> i32 {
    // SAFETY: the context of the program.
    let length = unsafe { (*ctx.skb.skb).len };
    reference(ctx.data(), ctx.data_end(), length);
    NEXT
}

#[xdp]
pub fn reference_xdp(ctx: XdpContext) -> u32 {
    reference(ctx.data(), ctx.data_end(), (ctx.data_end() - ctx.data()) as u32);
    xdp_action::XDP_PASS
}

#[inline(always)]
fn reference(data: usize, end: usize, length: u32) {
    if data + ETHERNET + size_of::<Ipv4>() > end {
        return;
    }
    // SAFETY: the bytes were checked above.
    let (ethertype, ip) = unsafe { (*((data + 12) as *const u16), &*((data + ETHERNET) as *const Ipv4)) };
    if ethertype != IPV4 || ip.version_ihl >> 4 != 4 {
        return;
    }
    let header = usize::from(ip.version_ihl & 0xf) * 4;
    if header < size_of::<Ipv4>() {
        return;
    }
    let mut flow =
        Flow { source: ip.source, destination: ip.destination, ports: 0, protocol: u32::from(ip.protocol) };
    if (ip.protocol == TCP || ip.protocol == UDP) && ip.fragment & 0x1fff_u16.to_be() == 0 {
        let at = data + ETHERNET + header;
        if at + 4 > end {
            return;
        }
        // SAFETY: checked above.
        flow.ports = unsafe { *(at as *const u32) };
    }
    if let Some(count) = FLOWS.get_ptr_mut(flow) {
        // SAFETY: the value belongs to this CPU.
        unsafe {
            (*count).packets += 1;
            (*count).bytes += u64::from(length);
        }
    } else {
        let _ = FLOWS.insert(flow, Count { packets: 1, bytes: u64::from(length) }, 0);
    }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
