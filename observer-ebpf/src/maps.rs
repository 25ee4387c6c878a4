//! All BPF maps, with the reason for each type and size.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::zeroed;
use core::ptr::with_exposed_provenance;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf, Stack};
use observer_common::abi::{
    BlockFacts, BlockKey, CLASS_STRIDE, Config, DEFAULT_BLOCKS, DEFAULT_PATHS, DEFAULT_PEERS, DEFAULT_SLOTS,
    DEVICE_TABLE, DeviceFacts, Events, PeerFacts, SIZE_TABLE, Totals, UNKNOWN_PEER_SLOTS,
};
use observer_common::account::Observation;
use observer_common::address::Address;
use observer_common::drops::DropConfig;
use observer_common::event::{Event, Fields, Flow, LONGEST_SNAP, STEPS, Step, TraceConfig, WHYS};
use observer_common::path::{ColdPath, HotPath, PATH_SETS, PEER_WORDS, PathKey, PathSet, UnknownPeer};

/// A single-value map whose address is embedded in the programs, so that reading it needs no look-up (Linux 5.2,
/// commit d8eca5bbb2be). The map is named after its section; see [`observer_common::abi::map_name`].
#[repr(transparent)]
pub struct Single<T>(UnsafeCell<T>);

// SAFETY: programs only read it.
unsafe impl<T> Sync for Single<T> {}

impl<T: Copy> Single<T> {
    /// Zeros until user space has written it. For integers only.
    const fn new() -> Self {
        // SAFETY: used in this file only, for structs and arrays of integers.
        Self(UnsafeCell::new(unsafe { zeroed() }))
    }

    /// The value, which user space may write meanwhile.
    #[inline(always)]
    pub fn get(&'static self) -> &'static T {
        let mut address = self.0.get().expose_provenance();
        // Hide the origin of the address: LLVM sees no writer and would assume zeros.
        // SAFETY: it copies a register to itself.
        unsafe { asm!("{0} = {0}", inout(reg) address, options(pure, nomem, nostack)) };
        // SAFETY: the map lives as long as the programs.
        unsafe { &*with_exposed_provenance(address) }
    }
}

/// Facts of watched devices by interface index: open addressing with linear probing, four entries per device to
/// keep probe sequences short.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.devices")]
pub static DEVICES: Single<[DeviceFacts; DEVICE_TABLE as usize]> = Single::new();

/// The node's configuration.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.config")]
pub static CONFIG: Single<Config> = Single::new();

/// Size class in the histogram by L3 size: one load, exact at every bound.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.size_class")]
pub static SIZE_CLASS: Single<[u8; SIZE_TABLE]> = Single::new();

/// Totals by slot, direction and class. An array, so that no sender's bytes can select an entry.
#[map]
pub static TOTALS: PerCpuArray<Totals> = PerCpuArray::with_max_entries(DEFAULT_SLOTS * 2 * CLASS_STRIDE, 0);

/// Rare events by slot and direction.
#[map]
pub static EVENTS: PerCpuArray<Events> = PerCpuArray::with_max_entries(DEFAULT_SLOTS * 2, 0);

/// Index of a path's counters. A plain hash, because an LRU hash silently evicts peers under a flood. Only
/// known peers are added.
#[map]
pub static PATHS: HashMap<PathKey, u32> = HashMap::with_max_entries(DEFAULT_PATHS, 0);

/// The counters that most packets update, one block of entries per CPU. An array next to the hash, because a CPU
/// that has the index cached does not hash. Not a per-CPU array: those add a pointer look-up, and their values
/// are not aligned to cache lines; a mappable array starts at a page, and user space reads it in place.
#[map]
pub static PATH_HOT: Array<HotPath> = Array::with_max_entries(DEFAULT_PATHS, BPF_F_MMAPABLE);

/// The other counters of paths, at the same indices.
#[map]
pub static PATH_COLD: Array<ColdPath> = Array::with_max_entries(DEFAULT_PATHS, BPF_F_MMAPABLE);

/// Free indices. User space fills it with the lowest on top, so that used entries stay together.
#[map]
pub static FREE_PATHS: Stack<u32> = Stack::with_max_entries(DEFAULT_PATHS, 0);

/// Number of paths added on each CPU. User space reads the keys of `PATHS` again when it grows.
#[map]
pub static PATHS_ENTERED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Cache of recently used paths by [`observer_common::path::path_set`], one block of sets per CPU. A hit avoids the
/// hash look-up.
#[map]
pub static PATH_CACHE: Array<PathSet> = Array::with_max_entries(PATH_SETS, BPF_F_MMAPABLE);

/// Bloom filter of the addresses of peers and paths ([`observer_common::path::peer_bit`]): it avoids fruitless
/// hash look-ups under a flood of spoofed sources.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.peer_filter")]
pub static PEER_FILTER: Single<[u64; PEER_WORDS]> = Single::new();

/// Addresses of known nodes.
#[map]
pub static PEERS: HashMap<Address, PeerFacts> = HashMap::with_max_entries(DEFAULT_PEERS, 0);

/// Pod blocks of other nodes.
#[map]
pub static BLOCKS: HashMap<BlockKey, BlockFacts> = HashMap::with_max_entries(DEFAULT_BLOCKS, 0);

/// Tunnel senders that are not known nodes; a slot belongs to the first sender that claims it.
#[map]
pub static UNKNOWN_PEERS: PerCpuArray<UnknownPeer> = PerCpuArray::with_max_entries(UNKNOWN_PEER_SLOTS, 0);

/// The observation of the current packet. In a map rather than on the stack: the verifier does not track values
/// in maps, which keeps the number of states it must walk small.
#[map]
pub static OBSERVATION: PerCpuArray<Observation> = PerCpuArray::with_max_entries(1, 0);

/// Bytes copied if headers are outside a packet's linear part: at least the longest header chain that is parsed
/// (Ethernet with two tags, IPv4 with options, UDP, Geneve with options, the same again inside: 492).
pub const SCRATCH_SIZE: usize = 512;
/// Slack after the copy, larger than the longest header read at once (40 bytes, IPv6). With it, an offset masked
/// to the size of the copy is a sufficient bound for every verifier.
pub const SCRATCH_SLACK: usize = 64;
/// The copy of a packet's first bytes.
#[map]
pub static SCRATCH: PerCpuArray<[u8; SCRATCH_SIZE + SCRATCH_SLACK]> = PerCpuArray::with_max_entries(1, 0);

/// An event followed by the packet's bytes, as sent to user space. The slack is [`SCRATCH_SLACK`].
#[repr(C)]
pub struct TracedPacket {
    /// Where and why.
    pub event: Event,
    /// The packet's first bytes.
    pub bytes: [u8; SCRATCH_SIZE + SCRATCH_SLACK],
}

/// The current event, which is too large for the stack.
#[map]
pub static TRACE_BUF: PerCpuArray<TracedPacket> = PerCpuArray::with_max_entries(1, 0);

/// An event followed by more of the packet than its headers.
#[repr(C)]
pub struct Longer {
    /// Where and why.
    pub event: Event,
    /// The packet's first bytes.
    pub bytes: [u8; LONGEST_SNAP],
}

/// The current event of this kind, by CPU. A plain array: `observer trace` sizes it by the number of CPUs if it needs
/// more than [`SCRATCH_SIZE`] bytes, and to one unused entry otherwise.
#[map]
pub static LONGER: Array<Longer> = Array::with_max_entries(1, 0);

/// What `observer trace` reports; zeros: nothing.
#[map]
pub static TRACE_CONFIG: Array<TraceConfig> = Array::with_max_entries(1, 0);

/// The filter of `observer trace`. All steps are in one value: one look-up per packet.
#[map]
pub static FILTER: Array<[Step; STEPS]> = Array::with_max_entries(1, 0);

/// The fields the filter reads. In a map, because its steps select them at run time.
#[map]
pub static FIELDS: PerCpuArray<Fields> = PerCpuArray::with_max_entries(1, 0);

/// Rate limit, and events suppressed or lost, by reason.
#[map]
pub static FLOWS: PerCpuArray<Flow> = PerCpuArray::with_max_entries(WHYS as u32, 0);

/// Events for user space. One page; `observer trace` loads it larger.
#[map]
pub static TRACE: RingBuf = RingBuf::with_byte_size(4_096, 0);

/// Which drops are reported, and offsets of the kernel's structs; zeros: none.
#[map]
pub static DROP_CONFIG: Array<DropConfig> = Array::with_max_entries(1, 0);

/// A dropped packet, its observation and its event.
#[repr(C)]
pub struct Dropped {
    /// The event sent to user space.
    pub traced: TracedPacket,
    /// The fields the filter reads.
    pub fields: Fields,
    /// The observation of the packet.
    pub seen: Observation,
    /// Its device, as seen from the IP header on.
    pub facts: DeviceFacts,
    /// Results of the filter's steps.
    pub stack: u64,
    /// Set while a drop is being processed on this CPU.
    pub busy: u64,
}

/// The current dropped packet. Drops happen in every context, so nothing is shared with the programs at TC.
#[map]
pub static DROPPED: PerCpuArray<Dropped> = PerCpuArray::with_max_entries(1, 0);
