//! TCP round-trip times at the hooks, measured with TCP timestamps (RFC 7323) as pping does.
//!
//! Each flow hashes to one slot. A slot is *armed* when a segment is sampled, *running* once the flow sends the first
//! segment with a later timestamp, and free again when that timestamp is echoed. The sampled segment itself is not
//! timed: timestamps tick in milliseconds, so an earlier segment may carry the same value, and its answer would come
//! too early.

use crate::address::Address;

/// Number of slots, a power of two. Flows that share a slot are measured in turn.
pub const RTT_SLOTS: u32 = 1 << RTT_SLOT_BITS;
const RTT_SLOT_BITS: u32 = 10;
/// A slot whose answer takes longer is free for other flows, in ns.
pub const MAX_ROUND_TRIP: u64 = 8_000_000_000;

/// Slot state: unused.
pub const FREE: u32 = 0;
/// Slot state: the first segment with a later timestamp starts the clock.
pub const ARMED: u32 = 1;
/// Slot state: waiting for the answer.
pub const RUNNING: u32 = 2;

/// What the programs need to know about a device: a subset of [`crate::abi::DeviceFacts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RttDevice {
    /// Interface index; 0 marks a free entry.
    pub ifindex: u32,
    /// One of [`crate::abi::link`], for ingress packets.
    pub ingress_link: u8,
    /// One of [`crate::abi::link`], for egress packets.
    pub egress_link: u8,
    /// Explicit padding, zero.
    pub reserved: u16,
}

/// Round-trip times for one peer and encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RttStats {
    /// Number of samples.
    pub samples: u64,
    /// Their sum, in µs.
    pub sum: u64,
    /// Samples by µs, see [`crate::cost::bucket`].
    pub buckets: [u64; crate::cost::BUCKETS],
}

impl RttStats {
    /// No samples.
    pub const ZERO: Self = Self { samples: 0, sum: 0, buckets: [0; crate::cost::BUCKETS] };
}

/// A TCP connection, as seen in egress segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RttFlow {
    /// Local address.
    pub local: Address,
    /// Remote address.
    pub remote: Address,
    /// Local port, then remote port, each in wire order.
    pub ports: u32,
}

impl RttFlow {
    /// The same connection with local and remote swapped, for ingress segments.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local, ports: self.ports.rotate_left(16) }
    }

    /// Index of the flow's slot.
    #[inline(always)]
    #[must_use]
    pub const fn slot(&self) -> u32 {
        let (Address(local), Address(remote)) = (self.local, self.remote);
        let low = (local[3] as u64) << 32 | remote[3] as u64;
        let rest = local[0] ^ local[1].rotate_left(9) ^ local[2].rotate_left(18);
        let rest = rest ^ (remote[0] ^ remote[1].rotate_left(5) ^ remote[2].rotate_left(14)).rotate_left(3);
        let high = (rest as u64) << 32 | self.ports as u64;
        ((low.wrapping_mul(FACTOR) ^ high).wrapping_mul(FACTOR) >> (64 - RTT_SLOT_BITS)) as u32
    }
}

/// 2^64 / φ: odd, with well distributed bits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The state of a measurement; 64 bytes.
///
/// Several CPUs may write a slot at the same time, so a reader may see a mix of two writes or a partial one. `check`
/// is computed from all other words, and a slot is only valid if it matches. A torn slot counts as free: its sample
/// is lost, but no wrong sample is produced.
///
/// If one word differs, the check always fails, because every step of it is reversible; if several differ, it fails
/// in all but one of 2^64 cases. This needs no lock, no value-returning atomics (absent on 5.10) and no ordering of
/// stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RttSlot {
    /// The flow being measured.
    pub flow: RttFlow,
    /// [`FREE`], [`ARMED`] or [`RUNNING`].
    pub state: u32,
    /// Armed: the latest timestamp the flow has sent. Running: the timestamp being timed.
    pub ts: u32,
    /// Index of the path's [`RttStats`].
    pub path: u32,
    /// Armed: when it was armed. Running: when the timestamp was sent. In ns.
    pub time: u64,
    /// Checksum of all other words.
    pub check: u64,
}

const _: () = assert!(size_of::<RttSlot>() == 64);

/// How an echoed timestamp affects a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answers an earlier segment: keep the slot.
    Wait,
    /// It answers a later segment: free the slot.
    Missed,
    /// It answers the timed segment.
    Back,
}

/// Whether timestamp `a` is later than `b`, modulo 2^32 (RFC 7323 §5.2).
#[inline(always)]
#[must_use]
pub const fn later(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

impl RttSlot {
    /// Arms a slot for a flow that sends a segment with timestamp `ts`.
    #[inline(always)]
    #[must_use]
    pub const fn armed(flow: RttFlow, path: u32, ts: u32, now: u64) -> Self {
        Self { flow, state: ARMED, ts, path, time: now, check: 0 }.sealed()
    }

    /// Whether a segment with this timestamp changes the slot: armed, and the first one with a later timestamp.
    #[inline(always)]
    #[must_use]
    pub const fn moves(&self, ts: u32) -> bool {
        self.state == ARMED && later(ts, self.ts)
    }

    /// The slot after such a segment. A segment without data does not start the clock, because it may get no
    /// answer; its timestamp is skipped.
    #[inline(always)]
    #[must_use]
    pub const fn moved(mut self, ts: u32, data: bool, now: u64) -> Self {
        self.ts = ts;
        if data {
            self.state = RUNNING;
            self.time = now;
        }
        self.sealed()
    }

    /// Evaluates an echoed timestamp (TSecr).
    #[inline(always)]
    #[must_use]
    pub const fn answered(&self, echo: u32) -> Answer {
        if self.state != RUNNING || later(self.ts, echo) {
            Answer::Wait
        } else if echo == self.ts {
            Answer::Back
        } else {
            Answer::Missed
        }
    }

    /// Whether another flow may take the slot.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(&self, now: u64) -> bool {
        self.state == FREE || now.wrapping_sub(self.time) > MAX_ROUND_TRIP || !self.is_whole()
    }

    /// Whether the slot is valid, that is, not torn.
    #[inline(always)]
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.check == self.sum()
    }

    #[inline(always)]
    const fn sealed(mut self) -> Self {
        self.check = self.sum();
        self
    }

    #[inline(always)]
    const fn sum(&self) -> u64 {
        let (Address(local), Address(remote)) = (self.flow.local, self.flow.remote);
        let mut sum = FACTOR;
        sum = step(sum, local[0], local[1]);
        sum = step(sum, local[2], local[3]);
        sum = step(sum, remote[0], remote[1]);
        sum = step(sum, remote[2], remote[3]);
        sum = step(sum, self.flow.ports, self.state);
        sum = step(sum, self.ts, self.path);
        step(sum, (self.time >> 32) as u32, self.time as u32)
    }
}

/// Reversible in both arguments.
#[inline(always)]
const fn step(sum: u64, high: u32, low: u32) -> u64 {
    (sum ^ ((high as u64) << 32 | low as u64)).wrapping_mul(FACTOR).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(port: u16) -> RttFlow {
        RttFlow {
            local: Address::from_v4([10, 244, 0, 2]),
            remote: Address::from_v4([10, 244, 2, 7]),
            ports: u32::from(port.to_be()) | u32::from(80_u16.to_be()) << 16,
        }
    }

    #[test]
    fn timestamps_are_compared_modulo_2_to_the_32() {
        for (a, b, expected) in [
            (2, 1, true),
            (1, 1, false),
            (1, 2, false),
            (0, u32::MAX, true),
            (5, u32::MAX - 5, true),
            (u32::MAX, 0, false),
            (0x7fff_ffff, 0, true),
            (0x8000_0001, 0, false),
        ] {
            assert_eq!(later(a, b), expected, "{a:#x} after {b:#x}");
        }
    }

    #[test]
    fn only_the_first_segment_with_a_later_timestamp_is_timed() {
        let armed = RttSlot::armed(flow(1), 3, 100, 1_000);
        // The same timestamp, or an earlier one from a reordered segment.
        assert!(!armed.moves(100) && !armed.moves(99));
        assert_eq!(armed.answered(100), Answer::Wait);
        // A segment without data is skipped, and so is the next one with the same timestamp.
        let skipped = armed.moved(101, false, 2_000);
        assert_eq!((skipped.state, skipped.ts, skipped.time), (ARMED, 101, 1_000));
        assert!(!skipped.moves(101));
        let running = skipped.moved(102, true, 3_000);
        assert_eq!((running.state, running.ts, running.time), (RUNNING, 102, 3_000));
        // A running slot keeps its timestamp.
        assert!(!running.moves(103));
        assert!([armed, skipped, running].iter().all(RttSlot::is_whole));
    }

    #[test]
    fn only_an_echo_of_the_timed_timestamp_ends_the_measurement() {
        for ts in [500, 0, u32::MAX] {
            let running = RttSlot::armed(flow(1), 3, ts.wrapping_sub(1), 0).moved(ts, true, 0);
            assert_eq!(running.answered(ts.wrapping_sub(1)), Answer::Wait);
            assert_eq!(running.answered(ts), Answer::Back);
            assert_eq!(running.answered(ts.wrapping_add(1)), Answer::Missed);
        }
    }

    #[test]
    fn torn_slots_are_invalid() {
        let words = |slot: RttSlot| -> [u32; 16] {
            // SAFETY: the struct has sixteen words and no padding.
            unsafe { core::mem::transmute(slot) }
        };
        // SAFETY: any words are a valid struct.
        let slot = |words: [u32; 16]| -> RttSlot { unsafe { core::mem::transmute(words) } };
        let one = words(RttSlot::armed(flow(1), 3, 100, 1_000).moved(101, true, 5_000_000_000_000));
        let others = [
            RttSlot::armed(flow(1), 3, 100, 1_000).moved(102, true, 5_000_000_700_000),
            RttSlot::armed(flow(2), 3, 100, 5_000_000_400_000),
            RttSlot::armed(flow(3), 4, 7, 9_000_000_000_000).moved(8, true, 9_000_000_900_000),
        ];
        for other in others.map(words) {
            // Every possible mix of their words.
            for mask in 0..1_u32 << 16 {
                let mixed: [u32; 16] =
                    core::array::from_fn(|i| if mask >> i & 1 == 1 { other[i] } else { one[i] });
                let mixed = slot(mixed);
                assert!(!mixed.is_whole() || words(mixed) == one || words(mixed) == other, "{mixed:?}");
            }
        }
    }

    #[test]
    fn free_expired_and_torn_slots_can_be_taken() {
        let armed = RttSlot::armed(flow(1), 3, 100, 1_000);
        assert!(RttSlot::default().is_over(0));
        assert!(!armed.is_over(1_000 + MAX_ROUND_TRIP));
        assert!(armed.is_over(1_001 + MAX_ROUND_TRIP));
        assert!(RttSlot { ts: 5, ..armed }.is_over(1_000));
    }

    #[test]
    fn reversing_twice_restores_a_flow_and_flows_spread_over_slots() {
        let mut used = [0_u32; RTT_SLOTS as usize];
        for port in 0..4 * RTT_SLOTS as u16 {
            let flow = flow(port);
            assert_eq!(flow.reversed().reversed(), flow);
            assert_ne!(flow.reversed(), flow);
            used[flow.slot() as usize] += 1;
        }
        assert!(used.iter().all(|count| *count < 16), "up to {:?} flows per slot", used.iter().max());
    }
}
