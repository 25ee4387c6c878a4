//! The maps, and helpers shared by all programs.

use core::arch::asm;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, PerCpuHashMap};
use observer_common::address::Address;
use observer_common::cost::{
    COST_SLOTS, CostConfig, CpuState, Discarded, DropKey, OffloadStats, SpanStats, TcpStats, bucket,
};
use observer_common::remotes::{RemoteFilter, may_be_remote};

/// Struct offsets and settings.
#[map]
pub static COST_CONFIG: Array<CostConfig> = Array::with_max_entries(1, 0);
/// Slot of a tunnel device, by interface index.
#[map]
pub static COST_TUNNELS: HashMap<u32, u32> = HashMap::with_max_entries(COST_SLOTS * 2, 0);
/// Measured work by slot and direction.
#[map]
pub static SPANS: PerCpuArray<SpanStats> = PerCpuArray::with_max_entries(COST_SLOTS * 2, 0);
/// Segmentation and checksum offload, by slot.
#[map]
pub static OFFLOADS: PerCpuArray<OffloadStats> = PerCpuArray::with_max_entries(COST_SLOTS, 0);
/// The state of each CPU.
#[map]
pub static CPU_STATE: PerCpuArray<CpuState> = PerCpuArray::with_max_entries(1, 0);
/// What could not be measured.
#[map]
pub static DISCARDED: PerCpuArray<Discarded> = PerCpuArray::with_max_entries(1, 0);
/// Index in the table of TCP paths, by the longest matching prefix of a remote address. Not preallocated, as the
/// kernel requires for a trie.
#[map]
pub static REMOTES: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(65_536, 1);
/// Filter of the addresses that may be in `REMOTES`.
#[map]
pub static REMOTE_FILTER: Array<RemoteFilter> = Array::with_max_entries(1, 0);
/// TCP figures by path; sized by user space.
#[map]
pub static TCP_PATHS: PerCpuArray<TcpStats> = PerCpuArray::with_max_entries(64, 0);
/// Drops by path and reason. Senders cannot create keys: only known peers and the kernel's reasons can.
#[map]
pub static DROPS: PerCpuHashMap<DropKey, u64> = PerCpuHashMap::with_max_entries(4_096, 0);
/// Gaps between two programs at one event, for calibration.
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
pub fn cpu_state() -> Option<&'static mut CpuState> {
    // SAFETY: the value belongs to this CPU.
    CPU_STATE.get_ptr_mut(0).map(|work| unsafe { &mut *work })
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

/// The slot of a device if it is a tunnel device in the watched namespace.
#[inline(always)]
pub fn tunnel(device: u64, config: &CostConfig) -> Option<u32> {
    let ifindex: u32 = read(device, config.dev_ifindex)?;
    // SAFETY: a value of the map; it is copied.
    let slot = unsafe { COST_TUNNELS.get(ifindex) }.copied()?;
    if here(device, config)? { Some(slot) } else { None }
}

/// Number of packets an skb becomes on the wire.
///
/// Unreadable values are 0, which is not a valid pointer: for two options in one pattern LLVM emits a stack read that
/// the verifier of 5.10 rejects. Not inlined for the same reason.
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

/// Whether an skb is still to be segmented.
#[inline(never)]
pub fn has_segments(skb: u64, config: &CostConfig) -> bool {
    let shared = shared(skb, config);
    shared != 0 && read::<u16>(shared, config.gso_size).unwrap_or(0) != 0
}

/// Address of an skb's `skb_shared_info`; 0 if it cannot be read.
#[inline(always)]
fn shared(skb: u64, config: &CostConfig) -> u64 {
    let head: u64 = read(skb, config.skb_head).unwrap_or(0);
    if head == 0 {
        return 0;
    }
    head + u64::from(read::<u32>(skb, config.skb_end).unwrap_or(0))
}

/// The bucket of a value, bounded in a form that every supported verifier accepts.
#[inline(always)]
pub fn bucket_index(value: u64) -> usize {
    let mut index = u64::from(bucket(value));
    // In assembly: the compiler would optimise the mask away, but the verifier needs it.
    // SAFETY: arithmetic on one register.
    unsafe { asm!("{0} &= 255", inout(reg) index, options(pure, nomem, nostack)) };
    index as usize
}

/// The index of the path to or from an address, by the longest matching prefix.
#[inline(always)]
pub fn remote(address: [u32; 4]) -> Option<u32> {
    if !may_be_remote(REMOTE_FILTER.get(0)?, Address(address)) {
        return None;
    }
    REMOTES.get(Key::new(128, address)).copied()
}

/// The index of the path to a far end; `None` if that is not a known pod or node, or if the near end is a known remote
/// too: another node sharing this kernel, or traffic between two other nodes.
#[inline(always)]
pub fn path(far: [u32; 4], near: [u32; 4]) -> Option<u32> {
    let index = remote(far)?;
    if remote(near).is_some() { None } else { Some(index) }
}

/// Whether a UDP destination port (network byte order) belongs to a tunnel.
#[inline(always)]
pub fn is_tunnel_port(port: u16, config: &CostConfig) -> bool {
    config.ports.iter().any(|known| *known != 0 && *known == port)
}
