//! What the programs that measure the cost of encapsulation share with user space.

use crate::drops::Reasons;

/// Values below this have a bucket of their own; above, each power of two has as many.
pub const SUB_BUCKETS: u32 = 8;
/// Buckets of a histogram: 240 for values below 2^32, where all others go into the last of them; 256,
/// so that a mask bounds the index.
pub const BUCKETS: usize = 256;
/// Tunnel devices that can be measured at once.
pub const COST_SLOTS: u32 = 32;
/// UDP ports of tunnels.
pub const COST_PORTS: usize = 12;
/// A stretch of work longer than this was interrupted, in ns: a packet takes a hundredth of it.
pub const LONGEST_GAP: u64 = 1_000_000;
/// The same for a batch of packets: a softirq's budget is 300 of them.
pub const LONGEST_BATCH: u64 = 10_000_000;

/// The bucket of a value: eight to each power of two, so that a bucket is at most an eighth wide.
#[inline(always)]
#[must_use]
pub const fn bucket(value: u64) -> u32 {
    if value < SUB_BUCKETS as u64 {
        return value as u32;
    }
    let value = if value > 0xffff_ffff { 0xffff_ffff } else { value as u32 };
    // Found by halves: BPF has no instruction that counts zeros, and the verifier walks no loop.
    let mut rest = value;
    let mut power = 0;
    if rest >= 1 << 16 {
        rest >>= 16;
        power += 16;
    }
    if rest >= 1 << 8 {
        rest >>= 8;
        power += 8;
    }
    if rest >= 1 << 4 {
        rest >>= 4;
        power += 4;
    }
    if rest >= 1 << 2 {
        rest >>= 2;
        power += 2;
    }
    if rest >= 1 << 1 {
        power += 1;
    }
    (power - 2) * SUB_BUCKETS + ((value >> (power - 3)) & (SUB_BUCKETS - 1))
}

/// The smallest value of a bucket.
#[must_use]
pub const fn lower_bound(bucket: u32) -> u64 {
    if bucket < SUB_BUCKETS {
        return bucket as u64;
    }
    let power = bucket / SUB_BUCKETS + 2;
    ((SUB_BUCKETS + bucket % SUB_BUCKETS) as u64) << (power - 3)
}

/// Where the kernel at hand keeps what is read of its structs, in bytes, and what to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CostConfig {
    /// `sk_buff.dev`.
    pub skb_dev: u32,
    /// `sk_buff.head`.
    pub skb_head: u32,
    /// `sk_buff.data`.
    pub skb_data: u32,
    /// `sk_buff.end`, an offset from `head`.
    pub skb_end: u32,
    /// `sk_buff.len`.
    pub skb_len: u32,
    /// `skb_shared_info.gso_size`.
    pub gso_size: u32,
    /// `skb_shared_info.gso_segs`.
    pub gso_segs: u32,
    /// `net_device.ifindex`.
    pub dev_ifindex: u32,
    /// `net_device.nd_net`.
    pub dev_net: u32,
    /// `net.ns.inum`.
    pub net_inum: u32,
    /// `sock.__sk_common.skc_family`.
    pub sk_family: u32,
    /// `sock.__sk_common.skc_daddr`.
    pub sk_remote4: u32,
    /// `sock.__sk_common.skc_rcv_saddr`.
    pub sk_local4: u32,
    /// `sock.__sk_common.skc_v6_daddr`.
    pub sk_remote6: u32,
    /// `sock.__sk_common.skc_v6_rcv_saddr`.
    pub sk_local6: u32,
    /// `tcp_sock.srtt_us`.
    pub tcp_srtt: u32,
    /// The network namespace that is watched.
    pub netns: u32,
    /// All this is at work during one of so many parts of the time, and one of so many round-trip times
    /// is read.
    pub sample: u32,
    /// What one gap between two programs costs by itself, in ns.
    pub probe: u32,
    /// `sk_buff.ip_summed`, a field of two bits: its byte.
    pub skb_summed: u32,
    /// How far its bits stand from the lowest of that byte.
    pub summed_shift: u32,
    /// `sk_buff.network_header`, counted from `head`.
    pub skb_network: u32,
    /// `sk_buff.tail`, counted from `head`.
    pub skb_tail: u32,
    /// `sk_buff._skb_refdst`.
    pub skb_dst: u32,
    /// `dst_entry.dev`.
    pub dst_dev: u32,
    /// Explicit padding.
    pub reserved: u32,
    /// UDP destination ports of tunnels in wire order; 0 ends the list.
    pub ports: [u16; COST_PORTS],
    /// Reasons for drops that say nothing of the way.
    pub ignored: Reasons,
}

/// Work that was measured for one tunnel device and direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SpanStats {
    /// Buffers: what the kernel handles at once, of one or more packets.
    pub skbs: u64,
    /// Packets, segments counted one by one.
    pub packets: u64,
    /// Time, as the clock gave it, in ns.
    pub time: u64,
    /// Gaps between programs that the time consists of.
    pub gaps: u64,
    /// Buffers by time in ns, already without the gaps' own cost.
    pub buckets: [u64; BUCKETS],
}

impl SpanStats {
    /// Nothing measured.
    pub const ZERO: Self = Self { skbs: 0, packets: 0, time: 0, gaps: 0, buckets: [0; BUCKETS] };
}

/// What became of buffers that a tunnel device was given with work left for the hardware, on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct OffloadStats {
    /// Buffers of several segments that came whole to a device that is no tunnel.
    pub whole: u64,
    /// Those that the kernel cut into segments before.
    pub cut: u64,
    /// The packets that these became.
    pub segments: u64,
    /// Single packets whose checksum was left to such a device.
    pub left: u64,
    /// Single packets whose checksum the kernel computed before.
    pub summed: u64,
}

/// What was seen of TCP connections with one peer over one encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TcpStats {
    /// Smoothed round-trip times that were read.
    pub samples: u64,
    /// Their sum, in µs.
    pub sum: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Round-trip times by µs.
    pub buckets: [u32; BUCKETS],
}

impl TcpStats {
    /// Nothing seen.
    pub const ZERO: Self = Self { samples: 0, sum: 0, retransmits: 0, buckets: [0; BUCKETS] };
}

/// Drops are counted by these together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
pub struct DropKey {
    /// The place of the peer and its encapsulation, as with [`TcpStats`].
    pub place: u32,
    /// [`crate::kind::Direction`]: egress to the peer, ingress from it.
    pub direction: u32,
    /// The kernel's number of its reason; [`NO_REASON`] where it gives none.
    pub reason: u32,
}

/// The kernel gives no reasons (before Linux 5.17).
pub const NO_REASON: u32 = u32::MAX;

/// What could not be measured, on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Discarded {
    /// Packets that entered a tunnel device and did not come to an underlay's queue as the same buffer.
    pub unsent: u64,
    /// Tunnel packets that came and did not arrive at a tunnel device.
    pub undelivered: u64,
    /// Stretches of work that were interrupted for long.
    pub interrupted: u64,
    /// Fields of the kernel that could not be read.
    pub unreadable: u64,
    /// Drops that the table had no room for.
    pub uncounted: u64,
}

/// Where a buffer with work for the hardware is.
pub mod stage {
    /// Nowhere: there is none.
    pub const NONE: u32 = 0;
    /// It has segments: in a device's queue.
    pub const SEGMENTS_QUEUED: u32 = 1;
    /// It has segments: in a tunnel device.
    pub const SEGMENTS_INSIDE: u32 = 2;
    /// It has segments: given whole to another device. Counted when it is known that it goes no further.
    pub const SEGMENTS_GIVEN: u32 = 3;
    /// It lacks its checksum: in a device's queue or a tunnel device.
    pub const SUM_MISSING: u32 = 4;
    /// It lacks its checksum: given so to another device. Counted when it is known that it goes no further.
    pub const SUM_LEFT: u32 = 5;
}

/// What a CPU is busy with at the moment, and what it spent in network softirqs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AtWork {
    /// The buffer in a tunnel device's transmission; 0: none.
    pub skb: u64,
    /// When that began.
    pub begun: u64,
    /// When the last stretch of the batch in hand began.
    pub last: u64,
    /// When the batch began.
    pub first: u64,
    /// The batch's time so far.
    pub pending: u64,
    /// Buffers and packets of it.
    pub skbs: u32,
    /// See above.
    pub packets: u32,
    /// Gaps of it.
    pub gaps: u32,
    /// The stretch since `last` belongs to a tunnel packet.
    pub ours: u32,
    /// The transmission's tunnel device.
    pub slot: u32,
    /// The transmission's packets.
    pub sending: u32,
    /// Packets of the buffer in `held`.
    pub held_packets: u32,
    /// Its tunnel device.
    pub held_slot: u32,
    /// Where it is: one of [`stage`].
    pub held_stage: u32,
    /// Zero.
    pub reserved: u32,
    /// A buffer on its way through a tunnel device, with work for the hardware; 0: none.
    pub held: u64,
    /// When the softirq in hand began; 0: none.
    pub softirq: u64,
    /// Time in NET_TX and NET_RX softirqs, in ns: what was seen, times the sample.
    pub softirqs: [u64; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        for value in (0..5000).chain((12..32).flat_map(|power| {
            let at = 1_u64 << power;
            [at - 1, at, at + 1, at + at / 3]
        })) {
            let found = bucket(value);
            assert!(lower_bound(found) <= value, "{value} is below bucket {found}");
            assert!(value < lower_bound(found + 1), "{value} is above bucket {found}");
        }
        assert_eq!(bucket(u64::MAX), bucket(u64::from(u32::MAX)));
        assert!((bucket(u64::MAX) as usize) < BUCKETS);
    }

    #[test]
    fn a_bucket_is_an_eighth_wide_at_most() {
        for index in SUB_BUCKETS..240 {
            let (from, to) = (lower_bound(index), lower_bound(index + 1));
            assert!((to - from) * 8 <= from, "bucket {index}: {from} to {to}");
        }
    }
}
