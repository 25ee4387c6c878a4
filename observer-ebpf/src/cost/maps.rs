//! The maps, and what every program does with them.

use core::arch::asm;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, PerCpuHashMap};
use observer_common::address::Address;
use observer_common::cost::{
    AtWork, COST_SLOTS, CostConfig, Discarded, DropKey, OffloadStats, SpanStats, TcpStats, bucket,
};
use observer_common::remotes::{RemoteFilter, may_be_remote};

/// Offsets and choices.
#[map]
pub static COST_CONFIG: Array<CostConfig> = Array::with_max_entries(1, 0);
/// From a tunnel device's interface index to its slot.
#[map]
pub static COST_TUNNELS: HashMap<u32, u32> = HashMap::with_max_entries(COST_SLOTS * 2, 0);
/// Measured work by slot and direction.
#[map]
pub static SPANS: PerCpuArray<SpanStats> = PerCpuArray::with_max_entries(COST_SLOTS * 2, 0);
/// What became of work for the hardware, by slot.
#[map]
pub static OFFLOADS: PerCpuArray<OffloadStats> = PerCpuArray::with_max_entries(COST_SLOTS, 0);
/// What each CPU is busy with.
#[map]
pub static AT_WORK: PerCpuArray<AtWork> = PerCpuArray::with_max_entries(1, 0);
/// What could not be measured.
#[map]
pub static DISCARDED: PerCpuArray<Discarded> = PerCpuArray::with_max_entries(1, 0);
/// From a remote address, by the longest prefix, to its place in the table of TCP paths. Without
/// preallocation, as the kernel wants it of a trie.
#[map]
pub static REMOTES: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(65_536, 1);
/// What may be in it.
#[map]
pub static REMOTE_FILTER: Array<RemoteFilter> = Array::with_max_entries(1, 0);
/// TCP by path; user space chooses how many fit.
#[map]
pub static TCP_PATHS: PerCpuArray<TcpStats> = PerCpuArray::with_max_entries(64, 0);
/// Drops by path and reason: no sender can make a key, only known peers and the kernel's reasons.
#[map]
pub static DROPS: PerCpuHashMap<DropKey, u64> = PerCpuHashMap::with_max_entries(4_096, 0);
/// Gaps between two programs at one event: when the first ended, and how long the gaps were.
#[map]
pub static GAPS: Array<SpanStats> = Array::with_max_entries(1, 0);

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no arguments.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
pub fn read<T>(base: u64, offset: u32) -> Option<T> {
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
pub fn at_work() -> Option<&'static mut AtWork> {
    // SAFETY: this CPU's own value.
    AT_WORK.get_ptr_mut(0).map(|work| unsafe { &mut *work })
}

#[inline(always)]
pub fn discarded() -> Option<&'static mut Discarded> {
    // SAFETY: as above.
    DISCARDED.get_ptr_mut(0).map(|discarded| unsafe { &mut *discarded })
}

/// Whether a device is in the watched network namespace.
#[inline(always)]
pub fn here(device: u64, config: &CostConfig) -> Option<bool> {
    let net: u64 = read(device, config.dev_net)?;
    Some(read::<u32>(net, config.net_inum)? == config.netns)
}

/// The slot of a device, where it is a tunnel of the watched namespace.
#[inline(always)]
pub fn tunnel(device: u64, config: &CostConfig) -> Option<u32> {
    let ifindex: u32 = read(device, config.dev_ifindex)?;
    // SAFETY: a value of the map; it is copied.
    let slot = unsafe { COST_TUNNELS.get(ifindex) }.copied()?;
    if here(device, config)? { Some(slot) } else { None }
}

/// Packets that a buffer becomes on the wire.
///
/// With zero for what cannot be read, which no pointer is: of two options in one pattern LLVM makes a read
/// of the stack that the verifier of 5.10 cannot follow. A function of its own for the same reason.
#[inline(never)]
pub fn packets(skb: u64, config: &CostConfig) -> u32 {
    let shared = shared(skb, config);
    if shared == 0 {
        return 1;
    }
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

/// Whether a buffer has segments that are still to be cut.
#[inline(never)]
pub fn has_segments(skb: u64, config: &CostConfig) -> bool {
    let shared = shared(skb, config);
    shared != 0 && read::<u16>(shared, config.gso_size).unwrap_or(0) != 0
}

/// Where a buffer's `skb_shared_info` stands; 0 where that cannot be read.
#[inline(always)]
fn shared(skb: u64, config: &CostConfig) -> u64 {
    let head: u64 = read(skb, config.skb_head).unwrap_or(0);
    if head == 0 {
        return 0;
    }
    head + u64::from(read::<u32>(skb, config.skb_end).unwrap_or(0))
}

/// The place of a value in a histogram, as every kernel's verifier understands its bound.
#[inline(always)]
pub fn place(value: u64) -> usize {
    let mut place = u64::from(bucket(value));
    // By hand: the compiler knows the bound and would leave the mask out, and the verifier does not.
    // SAFETY: arithmetic on one register.
    unsafe { asm!("{0} &= 255", inout(reg) place, options(pure, nomem, nostack)) };
    place as usize
}

/// The place of the path that leads to (or comes from) an address, by the longest prefix.
#[inline(always)]
pub fn remote(address: [u32; 4]) -> Option<u32> {
    if !may_be_remote(REMOTE_FILTER.get(0)?, Address(address)) {
        return None;
    }
    REMOTES.get(Key::new(128, address)).copied()
}

/// The place of the path to a far end; `None` where it leads to no pod or node that is known, or the near end is
/// one of those: of another node that shares this kernel, or of traffic between two others.
#[inline(always)]
pub fn path(far: [u32; 4], near: [u32; 4]) -> Option<u32> {
    let place = remote(far)?;
    if remote(near).is_some() { None } else { Some(place) }
}

/// Whether a UDP destination port, in wire order, is a tunnel's.
#[inline(always)]
pub fn is_tunnel_port(port: u16, config: &CostConfig) -> bool {
    config.ports.iter().any(|known| *known != 0 && *known == port)
}
