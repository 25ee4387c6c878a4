//! Every map, with its size and why.

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
use observer_common::event::{Event, Fields, Flow, LONGEST_SNAP, STEPS, Step, WHYS, Wanted};
use observer_common::path::{ColdPath, HotPath, PATH_SETS, PEER_WORDS, PathKey, PathSet, UnknownPeer};

use crate::drops::Dropped;

/// A map of one value whose address is part of the programs, so that reading it is no look-up (Linux 5.2, commit
/// d8eca5bbb2be). The map is called as its section; [`observer_common::abi::map_name`] knows both.
#[repr(transparent)]
pub struct Single<T>(UnsafeCell<T>);

// SAFETY: programs only read it.
unsafe impl<T> Sync for Single<T> {}

impl<T: Copy> Single<T> {
    /// Zeros, until user space has written it. Only of integers.
    const fn new() -> Self {
        // SAFETY: it is used of structs and arrays of integers only, in this file.
        Self(UnsafeCell::new(unsafe { zeroed() }))
    }

    /// The value, which user space may write meanwhile.
    #[inline(always)]
    pub fn get(&'static self) -> &'static T {
        let mut address = self.0.get().expose_provenance();
        // LLVM must not know whose address it is: it sees no writer, and would have zeros there.
        // SAFETY: it copies a register to itself.
        unsafe { asm!("{0} = {0}", inout(reg) address, options(pure, nomem, nostack)) };
        // SAFETY: the map lives as long as the programs.
        unsafe { &*with_exposed_provenance(address) }
    }
}

/// From an interface index, modulo the size and a few places further, to the facts of its device.
/// Four times as many places as devices keep probing short.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.devices")]
pub static DEVICES: Single<[DeviceFacts; DEVICE_TABLE as usize]> = Single::new();

/// What the programs must know of the node.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.config")]
pub static CONFIG: Single<Config> = Single::new();

/// From an L3 size to its class in the histogram: one load, exact at every bound.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.size_class")]
pub static SIZE_CLASS: Single<[u8; SIZE_TABLE]> = Single::new();

/// Totals by slot, direction and class. An array, because no sender may be able to key it.
#[map]
pub static TOTALS: PerCpuArray<Totals> = PerCpuArray::with_max_entries(DEFAULT_SLOTS * 2 * CLASS_STRIDE, 0);

/// Rare events by slot and direction.
#[map]
pub static EVENTS: PerCpuArray<Events> = PerCpuArray::with_max_entries(DEFAULT_SLOTS * 2, 0);

/// From a path to the index of its counters. A plain hash: an LRU would silently evict peers under a
/// flood. Only known peers enter.
#[map]
pub static PATHS: HashMap<PathKey, u32> = HashMap::with_max_entries(DEFAULT_PATHS, 0);

/// What most packets of paths touch: places for each CPU, one CPU behind the other. An array
/// beside the hash, because a CPU that remembers the index need not hash. Not a per-CPU one: those have a table of
/// pointers between, and their values begin anywhere in a cache line; an array that can be mapped begins with
/// a page, and user space reads it where it is.
#[map]
pub static PATH_HOT: Array<HotPath> = Array::with_max_entries(DEFAULT_PATHS, BPF_F_MMAPABLE);

/// The other counters of paths, at the same places.
#[map]
pub static PATH_COLD: Array<ColdPath> = Array::with_max_entries(DEFAULT_PATHS, BPF_F_MMAPABLE);

/// Indices of places that no path has. User space fills it, the lowest on top, so that the used
/// ones stand together.
#[map]
pub static FREE_PATHS: Stack<u32> = Stack::with_max_entries(DEFAULT_PATHS, 0);

/// How many paths these programs have entered on each CPU: user space reads the keys of `PATHS` again when
/// there are more.
#[map]
pub static PATHS_ENTERED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Busy paths by [`observer_common::path::path_set`], all sets of one CPU behind those of another: what is found
/// here costs no look-up of a hash.
#[map]
pub static PATH_CACHE: Array<PathSet> = Array::with_max_entries(PATH_SETS, BPF_F_MMAPABLE);

/// Which addresses may be those of peers or of paths ([`observer_common::path::peer_bit`]): it spares
/// what a flood of spoofed senders would look up in vain.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.peer_filter")]
pub static PEER_FILTER: Single<[u64; PEER_WORDS]> = Single::new();

/// Addresses of known nodes.
#[map]
pub static PEERS: HashMap<Address, PeerFacts> = HashMap::with_max_entries(DEFAULT_PEERS, 0);

/// Pod blocks of other nodes.
#[map]
pub static BLOCKS: HashMap<BlockKey, BlockFacts> = HashMap::with_max_entries(DEFAULT_BLOCKS, 0);

/// Tunnel senders that are no known nodes; a place belongs to the first who takes it.
#[map]
pub static UNKNOWN_PEERS: PerCpuArray<UnknownPeer> = PerCpuArray::with_max_entries(UNKNOWN_PEER_SLOTS, 0);

/// What is known of the packet in hand. In a map rather than on the stack: the verifier forgets what
/// it knew of values in maps, which keeps the number of states it must walk small.
#[map]
pub static OBSERVATION: PerCpuArray<Observation> = PerCpuArray::with_max_entries(1, 0);

/// Bytes that are copied where headers stand outside of a packet's linear part: as much as the
/// longest chain of headers that is read has (Ethernet with two tags, IPv4 with options, UDP, Geneve
/// with options, the same again inside: 492).
pub const SCRATCH_SIZE: usize = 512;
/// Bytes behind the copy that no header reaches: the longest that is read has 40 (IPv6). With them an
/// offset that is masked to the copy is enough of a bound for every verifier.
pub const SCRATCH_SLACK: usize = 64;
/// The copy.
#[map]
pub static SCRATCH: PerCpuArray<[u8; SCRATCH_SIZE + SCRATCH_SLACK]> = PerCpuArray::with_max_entries(1, 0);

/// An event and the packet's bytes behind it, as they are sent. The slack is [`SCRATCH_SLACK`]'s.
#[repr(C)]
pub struct TracedPacket {
    /// Where and why.
    pub event: Event,
    /// The packet's first bytes.
    pub bytes: [u8; SCRATCH_SIZE + SCRATCH_SLACK],
}

/// The event in hand: it is too large for the stack.
#[map]
pub static TRACE_BUF: PerCpuArray<TracedPacket> = PerCpuArray::with_max_entries(1, 0);

/// An event with more of the packet behind it than its headers.
#[repr(C)]
pub struct Longer {
    /// Where and why.
    pub event: Event,
    /// The packet's first bytes.
    pub bytes: [u8; LONGEST_SNAP],
}

/// Such events in hand, by CPU. An array and not one for each CPU: `observer trace` loads it with as many
/// places as there are CPUs where it wants more than [`SCRATCH_SIZE`] bytes, and with one that nobody uses
/// otherwise.
#[map]
pub static LONGER: Array<Longer> = Array::with_max_entries(1, 0);

/// What `observer trace` wants to be told of; zeros: nothing.
#[map]
pub static TRACE_CONFIG: Array<Wanted> = Array::with_max_entries(1, 0);

/// The filter of it, all steps in one value: one look-up a packet.
#[map]
pub static FILTER: Array<[Step; STEPS]> = Array::with_max_entries(1, 0);

/// What the filter looks at. In a map, because its steps choose what they read.
#[map]
pub static FIELDS: PerCpuArray<Fields> = PerCpuArray::with_max_entries(1, 0);

/// Rate limit, and what was kept back or lost, by reason.
#[map]
pub static FLOWS: PerCpuArray<Flow> = PerCpuArray::with_max_entries(WHYS as u32, 0);

/// Events on their way to user space. One page; `observer trace` loads it larger.
#[map]
pub static TRACE: RingBuf = RingBuf::with_byte_size(4_096, 0);

/// Which drops are told of, and how the kernel's structs are read; zeros: none.
#[map]
pub static DROP_CONFIG: Array<DropConfig> = Array::with_max_entries(1, 0);

/// A dropped packet in hand: drops happen in the middle of everything, so nothing of it is shared with the
/// programs at TC.
#[map]
pub static DROPPED: PerCpuArray<Dropped> = PerCpuArray::with_max_entries(1, 0);
