//! What measures the price of encapsulation: raw tracepoints, loaded only where it is asked for.
//!
//! Each program sees events of all network namespaces and leaves early: first by the sample, then by
//! what the CPU is busy with, then by namespace and device. Nothing is ever changed.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(missing_docs, reason = "the entry points' macros expand to functions without documentation")]

use core::arch::asm;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::{map, raw_tracepoint, xdp};
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use aya_ebpf::programs::{RawTracePointContext, XdpContext};
use observer_common::address::Address;
use observer_common::price::{
    AtWork, Discarded, LONGEST_BATCH, LONGEST_GAP, PRICE_SLOTS, PriceConfig, SpanStats, TcpStats, bucket,
};

/// Offsets and choices.
#[map]
static PRICE_CONFIG: Array<PriceConfig> = Array::with_max_entries(1, 0);
/// From a tunnel device's interface index to its slot.
#[map]
static PRICE_TUNNELS: HashMap<u32, u32> = HashMap::with_max_entries(PRICE_SLOTS * 2, 0);
/// Measured work by slot and direction.
#[map]
static SPANS: PerCpuArray<SpanStats> = PerCpuArray::with_max_entries(PRICE_SLOTS * 2, 0);
/// What each CPU is busy with.
#[map]
static AT_WORK: PerCpuArray<AtWork> = PerCpuArray::with_max_entries(1, 0);
/// What could not be measured.
#[map]
static DISCARDED: PerCpuArray<Discarded> = PerCpuArray::with_max_entries(1, 0);
/// From a remote address, by the longest prefix, to its place in the table of TCP paths. Without
/// preallocation, as the kernel wants it of a trie.
#[map]
static REMOTES: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(65_536, 1);
/// TCP by path; user space chooses how many fit.
#[map]
static TCP_PATHS: PerCpuArray<TcpStats> = PerCpuArray::with_max_entries(64, 0);
/// Gaps between two programs at one event: when the first ended, and how long the gaps were.
#[map]
static GAPS: Array<SpanStats> = Array::with_max_entries(1, 0);

const INGRESS: u32 = 0;
const EGRESS: u32 = 1;
const SEND: usize = 0;
const RECEIVE: usize = 1;
const PROBE: usize = 2;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Softirqs of the network (include/linux/interrupt.h): NET_TX; NET_RX is the next.
const NET_TX: u32 = 2;

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no arguments.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn read<T>(base: u64, offset: u32) -> Option<T> {
    let at = (base + u64::from(offset)) as *const T;
    // SAFETY: the helper checks the address.
    let value = unsafe { bpf_probe_read_kernel(at) };
    if value.is_err()
        && let Some(discarded) = discarded()
    {
        discarded.unreadable += 1;
    }
    value.ok()
}

#[inline(always)]
fn at_work() -> Option<&'static mut AtWork> {
    // SAFETY: this CPU's own value.
    AT_WORK.get_ptr_mut(0).map(|work| unsafe { &mut *work })
}

#[inline(always)]
fn discarded() -> Option<&'static mut Discarded> {
    // SAFETY: as above.
    DISCARDED.get_ptr_mut(0).map(|discarded| unsafe { &mut *discarded })
}

/// Whether a device is in the watched network namespace.
#[inline(always)]
fn here(device: u64, config: &PriceConfig) -> Option<bool> {
    let net: u64 = read(device, config.dev_net)?;
    Some(read::<u32>(net, config.net_inum)? == config.netns)
}

/// The slot of a device, where it is a tunnel of the watched namespace.
#[inline(always)]
fn tunnel(device: u64, config: &PriceConfig) -> Option<u32> {
    let ifindex: u32 = read(device, config.dev_ifindex)?;
    // SAFETY: a value of the map; it is copied.
    let slot = unsafe { PRICE_TUNNELS.get(ifindex) }.copied()?;
    if here(device, config)? { Some(slot) } else { None }
}

/// Packets that a buffer becomes on the wire.
///
/// With zero for what cannot be read, which no pointer is: of two options in one pattern LLVM makes a read
/// of the stack that the verifier of 5.10 cannot follow. A function of its own for the same reason.
#[inline(never)]
fn packets(skb: u64, config: &PriceConfig) -> u32 {
    let head: u64 = read(skb, config.skb_head).unwrap_or(0);
    if head == 0 {
        return 1;
    }
    let end: u32 = read(skb, config.skb_end).unwrap_or(0);
    let shared = head + u64::from(end);
    let segments: u16 = read(shared, config.gso_segs).unwrap_or(0);
    if segments != 0 {
        return u32::from(segments);
    }
    let size = u32::from(read::<u16>(shared, config.gso_size).unwrap_or(0));
    if size == 0 {
        return 1;
    }
    read::<u32>(skb, config.skb_len).unwrap_or(size).div_ceil(size)
}

/// The place of a value in a histogram, as every kernel's verifier understands its bound.
#[inline(always)]
fn place(value: u64) -> usize {
    let mut place = u64::from(bucket(value));
    // By hand: the compiler knows the bound and would leave the mask out, and the verifier does not.
    // SAFETY: arithmetic on one register.
    unsafe { asm!("{0} &= 255", inout(reg) place, options(pure, nomem, nostack)) };
    place as usize
}

/// Enters measured work: `skbs` buffers, which took `time` together.
#[inline(always)]
fn enter(slot: u32, direction: u32, skbs: u32, packets: u32, time: u64, gaps: u32, config: &PriceConfig) {
    if skbs == 0 {
        return;
    }
    let Some(span) = SPANS.get_ptr_mut(slot * 2 + direction) else { return };
    // SAFETY: this CPU's own value.
    let span = unsafe { &mut *span };
    span.skbs += u64::from(skbs);
    span.packets += u64::from(packets);
    span.time += time;
    span.gaps += u64::from(gaps);
    let own = u64::from(gaps) * u64::from(config.probe);
    let each = time.saturating_sub(own) / u64::from(skbs);
    let place = place(each);
    if let Some(count) = span.buckets.get_mut(place) {
        *count += u64::from(skbs);
    }
}

/// `net_dev_start_xmit(skb, dev)`: a buffer is given to a device.
#[raw_tracepoint]
pub fn price_send(ctx: RawTracePointContext) {
    let _ = send(ctx.arg(0), ctx.arg(1));
}

#[inline(always)]
fn send(skb: u64, device: u64) -> Option<()> {
    let work = at_work()?;
    if work.skip[SEND] > 0 {
        work.skip[SEND] -= 1;
        return None;
    }
    let config = PRICE_CONFIG.get(0)?;
    let slot = tunnel(device, config)?;
    if work.skb != 0 {
        // Softirqs are off during a transmission, so nobody else's can be in between.
        discarded()?.unsent += 1;
    }
    work.skip[SEND] = config.sample.saturating_sub(1);
    work.slot = slot;
    work.sending = packets(skb, config);
    work.skb = skb;
    work.begun = now();
    None
}

/// `net_dev_queue(skb)`: a buffer comes to a device's queue. The first one that is the buffer in hand is
/// the tunnel packet on its way to the underlay.
#[raw_tracepoint]
pub fn price_queue(ctx: RawTracePointContext) {
    let _ = queued(ctx.arg(0));
}

#[inline(always)]
fn queued(skb: u64) -> Option<()> {
    let work = at_work()?;
    if work.skb == 0 || work.skb != skb {
        return None;
    }
    let time = now().wrapping_sub(work.begun);
    work.skb = 0;
    if time > LONGEST_GAP {
        discarded()?.interrupted += 1;
        return None;
    }
    let config = PRICE_CONFIG.get(0)?;
    enter(work.slot, EGRESS, 1, work.sending, time, 1, config);
    None
}

/// `netif_receive_skb(skb)`: the stack begins with a buffer.
#[raw_tracepoint]
pub fn price_receive(ctx: RawTracePointContext) {
    let _ = receive(ctx.arg(0));
}

#[inline(always)]
fn receive(skb: u64) -> Option<()> {
    let work = at_work()?;
    if work.skbs == 0 {
        if work.skip[RECEIVE] > 0 {
            work.skip[RECEIVE] -= 1;
            return None;
        }
    } else {
        stretch_ends(work, now())?;
    }
    let config = PRICE_CONFIG.get(0)?;
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

/// The stretch of work since the last event ends; `None` where the batch is given up.
#[inline(always)]
fn stretch_ends(work: &mut AtWork, now: u64) -> Option<()> {
    let gap = now.wrapping_sub(work.last);
    if work.ours != 0 {
        work.ours = 0;
        if gap > LONGEST_GAP {
            discarded()?.interrupted += 1;
            done(work, 0);
            return None;
        }
        work.pending += gap;
        work.gaps += 1;
    }
    if now.wrapping_sub(work.first) > LONGEST_BATCH {
        discarded()?.undelivered += u64::from(work.skbs);
        done(work, 0);
        return None;
    }
    Some(())
}

#[inline(always)]
fn done(work: &mut AtWork, skip: u32) {
    work.skbs = 0;
    work.packets = 0;
    work.gaps = 0;
    work.pending = 0;
    work.ours = 0;
    work.skip[RECEIVE] = skip;
}

/// The first bytes of IPv4 without options and UDP, or of IPv6 and UDP.
type Head = [u32; 11];

/// Whether a buffer that came to this namespace is a tunnel packet, read from its outer headers. Any
/// device: behind VLANs and bonds the event names the lowest.
#[inline(always)]
fn comes_in_tunnel(skb: u64, config: &PriceConfig) -> Option<bool> {
    let device: u64 = read(skb, config.skb_dev)?;
    if !here(device, config)? {
        return Some(false);
    }
    let data: u64 = read(skb, config.skb_data)?;
    let head: Head = read(data, 0)?;
    let (protocol, port) = match head[0] & 0xff {
        0x45 => {
            // A fragment is put together first, and is then another buffer.
            if (head[1] >> 16) as u16 & 0x3fff_u16.to_be() != 0 {
                return Some(false);
            }
            (head[2] >> 8 & 0xff, (head[5] >> 16) as u16)
        }
        first if first & 0xf0 == 0x60 => (head[1] >> 16 & 0xff, (head[10] >> 16) as u16),
        _ => return Some(false),
    };
    Some(match protocol {
        // IPv4, IPv6 and GRE inside.
        4 | 41 | 47 => true,
        17 => config.ports.iter().any(|known| *known != 0 && *known == port),
        _ => false,
    })
}

/// `napi_gro_receive_entry(skb)`: what was inside arrives at the tunnel device.
#[raw_tracepoint]
pub fn price_arrive(ctx: RawTracePointContext) {
    let _ = arrive(ctx.arg(0), false);
}

/// `netif_rx(skb)`: the same, where the tunnel device has no GRO.
#[raw_tracepoint]
pub fn price_arrive_rx(ctx: RawTracePointContext) {
    let _ = arrive(ctx.arg(0), true);
}

#[inline(always)]
fn arrive(skb: u64, at_once: bool) -> Option<()> {
    let work = at_work()?;
    if work.skbs == 0 {
        return None;
    }
    let now = now();
    let config = PRICE_CONFIG.get(0)?;
    let device: u64 = read(skb, config.skb_dev)?;
    let Some(slot) = tunnel(device, config) else {
        // A driver goes on with its next frame.
        return stretch_ends(work, now);
    };
    if work.ours != 0 {
        work.pending += now.wrapping_sub(work.last);
        work.gaps += 1;
    }
    if work.pending > LONGEST_BATCH {
        discarded()?.interrupted += 1;
    } else if at_once && work.skbs > 1 {
        // Of a list whose packets arrive one by one, only the first one's work is over.
        discarded()?.undelivered += u64::from(work.skbs);
    } else {
        enter(slot, INGRESS, work.skbs, work.packets, work.pending, work.gaps, config);
    }
    done(work, config.sample.saturating_sub(1));
    None
}

/// `softirq_entry(vec_nr)`.
#[raw_tracepoint]
pub fn price_soft_in(ctx: RawTracePointContext) {
    let number: u32 = ctx.arg(0);
    if (NET_TX..NET_TX + 2).contains(&number)
        && let Some(work) = at_work()
    {
        work.softirq = now();
    }
}

/// `softirq_exit(vec_nr)`.
#[raw_tracepoint]
pub fn price_soft_out(ctx: RawTracePointContext) {
    let number: u32 = ctx.arg(0);
    let Some(work) = at_work() else { return };
    if work.softirq == 0 {
        return;
    }
    let time = now().wrapping_sub(work.softirq);
    match number.wrapping_sub(NET_TX) {
        0 => work.softirqs[0] += time,
        1 => work.softirqs[1] += time,
        _ => return,
    }
    work.softirq = 0;
}

/// The TCP path of a socket; `None` where it leads to no pod or node that is known, or belongs to
/// another node whose namespaces share this kernel.
#[inline(always)]
fn tcp_path(sock: u64, config: &PriceConfig) -> Option<&'static mut TcpStats> {
    let (remote, local) = match read::<u16>(sock, config.sk_family)? {
        AF_INET => (
            Address::from_v4_wire(read(sock, config.sk_remote4)?).0,
            Address::from_v4_wire(read(sock, config.sk_local4)?).0,
        ),
        AF_INET6 => (read(sock, config.sk_remote6)?, read(sock, config.sk_local6)?),
        _ => return None,
    };
    let place = *REMOTES.get(Key::new(128, remote))?;
    if REMOTES.get(Key::new(128, local)).is_some() {
        return None;
    }
    // SAFETY: this CPU's own value.
    TCP_PATHS.get_ptr_mut(place).map(|stats| unsafe { &mut *stats })
}

/// `tcp_probe(sk, skb)`: a segment was received.
#[raw_tracepoint]
pub fn price_probe(ctx: RawTracePointContext) {
    let _ = probe(ctx.arg(0));
}

#[inline(always)]
fn probe(sock: u64) -> Option<()> {
    let work = at_work()?;
    if work.skip[PROBE] > 0 {
        work.skip[PROBE] -= 1;
        return None;
    }
    let config = PRICE_CONFIG.get(0)?;
    work.skip[PROBE] = config.sample.saturating_sub(1);
    let stats = tcp_path(sock, config)?;
    // The kernel keeps it times eight; 0: not measured yet.
    let time = read::<u32>(sock, config.tcp_srtt)? >> 3;
    if time == 0 {
        return None;
    }
    stats.samples += 1;
    stats.sum += u64::from(time);
    let place = place(u64::from(time));
    if let Some(count) = stats.buckets.get_mut(place) {
        *count += 1;
    }
    None
}

/// `tcp_retransmit_skb(sk, skb)`: something is sent again.
#[raw_tracepoint]
pub fn price_again(ctx: RawTracePointContext) {
    let _ = again(ctx.arg(0), ctx.arg(1));
}

#[inline(always)]
fn again(sock: u64, skb: u64) -> Option<()> {
    let config = PRICE_CONFIG.get(0)?;
    let stats = tcp_path(sock, config)?;
    stats.retransmits += u64::from(packets(skb, config));
    None
}

/// The first of two programs at one event, which end and begin as those that measure do.
#[raw_tracepoint]
pub fn price_gap_begin(_ctx: RawTracePointContext) {
    let Some(work) = at_work() else { return };
    work.skb = 1;
    work.begun = now();
}

/// The second.
#[raw_tracepoint]
pub fn price_gap_end(_ctx: RawTracePointContext) {
    let Some(work) = at_work() else { return };
    if work.skb != 1 {
        return;
    }
    let time = now().wrapping_sub(work.begun);
    work.skb = 0;
    let Some(gaps) = GAPS.get_ptr_mut(0) else { return };
    // SAFETY: user space brings about one event at a time.
    let gaps = unsafe { &mut *gaps };
    gaps.skbs += 1;
    gaps.time += time;
    let place = place(time);
    if let Some(count) = gaps.buckets.get_mut(place) {
        *count += 1;
    }
}

/// Brings about the event of the two.
#[xdp]
pub fn price_event(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The licence that the kernel asks for; the crate's is wider.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
