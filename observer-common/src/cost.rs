//! Structs that the programs of `--cost` share with user space.

use crate::drops::Reasons;

/// Buckets per power of two. Values below have one bucket each.
pub const SUB_BUCKETS: u32 = 8;
/// Buckets of a histogram: 240 for values below 2^32, the last of which also takes all larger values,
/// rounded up to 256 so that a mask bounds the index.
pub const BUCKETS: usize = 256;
/// Maximum tunnel devices measured at once.
pub const COST_SLOTS: u32 = 32;
/// Maximum UDP ports of tunnels.
pub const COST_PORTS: usize = 12;
/// A longer gap counts as interrupted, in ns. A packet takes about a hundredth of it.
pub const MAX_GAP: u64 = 1_000_000;
/// A longer batch counts as interrupted, in ns. A softirq's budget is 300 packets.
pub const MAX_BATCH: u64 = 10_000_000;

/// The bucket of a value. A bucket's width is at most an eighth of its lower bound.
#[inline(always)]
#[must_use]
pub const fn bucket(value: u64) -> u32 {
    if value < SUB_BUCKETS as u64 {
        return value as u32;
    }
    let value = if value > 0xffff_ffff { 0xffff_ffff } else { value as u32 };
    // Binary search without a loop: BPF has no instruction to count leading zeros.
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

/// The smallest value in a bucket.
#[must_use]
pub const fn lower_bound(bucket: u32) -> u64 {
    if bucket < SUB_BUCKETS {
        return bucket as u64;
    }
    let power = bucket / SUB_BUCKETS + 2;
    ((SUB_BUCKETS + bucket % SUB_BUCKETS) as u64) << (power - 3)
}

/// Byte offsets of the kernel struct fields that are read, and what to measure.
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
    /// Inode of the watched network namespace.
    pub netns: u32,
    /// Sampling factor N: measuring is active 1/N of the time, and one in N round-trip times is read.
    pub sample: u32,
    /// Overhead of the measurement per gap, in ns.
    pub probe: u32,
    /// `sk_buff.ip_summed`, a two-bit field: its byte.
    pub skb_summed: u32,
    /// Position of its lower bit in that byte.
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
    /// Drop reasons that do not concern the path.
    pub ignored: Reasons,
}

/// Time spent on the packets of one tunnel device and direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SpanStats {
    /// Skbs, each with one or more packets.
    pub skbs: u64,
    /// Packets; segments count separately.
    pub packets: u64,
    /// Measured time, in ns.
    pub time: u64,
    /// Number of gaps between programs that add up to the time.
    pub gaps: u64,
    /// Skbs by time in ns, less the measurement's overhead.
    pub buckets: [u64; BUCKETS],
}

impl SpanStats {
    /// Nothing measured.
    pub const ZERO: Self = Self { skbs: 0, packets: 0, time: 0, gaps: 0, buckets: [0; BUCKETS] };
}

/// What happened to skbs that entered a tunnel device with segmentation or checksum offload pending, on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct OffloadStats {
    /// GSO skbs that reached a device other than a tunnel unsegmented.
    pub whole: u64,
    /// GSO skbs that the kernel segmented before that.
    pub cut: u64,
    /// Packets that those were segmented into.
    pub segments: u64,
    /// Single packets whose checksum was left to such a device.
    pub left: u64,
    /// Single packets whose checksum the kernel computed before that.
    pub summed: u64,
}

/// TCP statistics for one peer and encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TcpStats {
    /// Number of smoothed round-trip times read.
    pub samples: u64,
    /// Their sum, in µs.
    pub sum: u64,
    /// Retransmitted segments.
    pub retransmits: u64,
    /// Round-trip times by µs.
    pub buckets: [u32; BUCKETS],
}

impl TcpStats {
    /// Nothing seen.
    pub const ZERO: Self = Self { samples: 0, sum: 0, retransmits: 0, buckets: [0; BUCKETS] };
}

/// Key of the drop counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
pub struct DropKey {
    /// Index of the peer and its encapsulation, as for [`TcpStats`].
    pub path: u32,
    /// [`crate::kind::Direction`]: egress to the peer, ingress from it.
    pub direction: u32,
    /// Drop reason number, or [`NO_REASON`].
    pub reason: u32,
}

/// The kernel has no drop reasons (before Linux 5.17).
pub const NO_REASON: u32 = u32::MAX;

/// Measurements that had to be discarded, on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Discarded {
    /// Packets that entered a tunnel device and did not reach an underlay's queue in the same skb.
    pub unsent: u64,
    /// Tunnel packets that were received but did not reach a tunnel device.
    pub undelivered: u64,
    /// Gaps and batches that took too long, so were interrupted.
    pub interrupted: u64,
    /// Kernel struct fields that could not be read.
    pub unreadable: u64,
    /// Drops that did not fit into the table.
    pub uncounted: u64,
}

/// Where an skb with pending offload work is.
pub mod stage {
    /// No such skb.
    pub const NONE: u32 = 0;
    /// A GSO skb in a device's queue.
    pub const SEGMENTS_QUEUED: u32 = 1;
    /// A GSO skb in a tunnel device.
    pub const SEGMENTS_IN_TUNNEL: u32 = 2;
    /// A GSO skb passed on unsegmented to another device. Counted once that device turns out to be the last.
    pub const SEGMENTS_PASSED_ON: u32 = 3;
    /// An skb with its checksum pending, in a device's queue or a tunnel device.
    pub const CHECKSUM_PENDING: u32 = 4;
    /// An skb passed on to another device with its checksum pending. Counted once that device turns out to be the last.
    pub const CHECKSUM_PASSED_ON: u32 = 5;
}

/// What a CPU is working on, and the time it has spent in network softirqs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CpuState {
    /// The skb that a tunnel device is transmitting; 0 if none.
    pub skb: u64,
    /// When that transmission started.
    pub begun: u64,
    /// When the last gap of the current batch started.
    pub last: u64,
    /// When the batch started.
    pub first: u64,
    /// Time measured for the batch so far.
    pub pending: u64,
    /// Skbs in the batch.
    pub skbs: u32,
    /// Packets in the batch.
    pub packets: u32,
    /// Gaps in the batch.
    pub gaps: u32,
    /// Whether the gap since `last` belongs to a tunnel packet.
    pub ours: u32,
    /// The slot of the transmitting tunnel device.
    pub slot: u32,
    /// Packets in that transmission.
    pub sending: u32,
    /// Packets in the skb `held`.
    pub held_packets: u32,
    /// The slot of its tunnel device.
    pub held_slot: u32,
    /// Where it is: one of [`stage`].
    pub held_stage: u32,
    /// Zero.
    pub reserved: u32,
    /// An skb with pending offload work on its way through a tunnel device; 0 if none.
    pub held: u64,
    /// When the current softirq started; 0 if none.
    pub softirq: u64,
    /// Time in NET_TX and NET_RX softirqs, in ns: the sampled time multiplied by the sampling factor.
    pub softirqs: [u64; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_bucket() {
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
    fn buckets_are_at_most_an_eighth_wide() {
        for index in SUB_BUCKETS..240 {
            let (from, to) = (lower_bound(index), lower_bound(index + 1));
            assert!((to - from) * 8 <= from, "bucket {index}: {from} to {to}");
        }
    }
}
