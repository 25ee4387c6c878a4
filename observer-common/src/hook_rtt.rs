//! Round-trip times of TCP at the hooks, by timestamps (RFC 7323; the idea is pping's): what a segment says, and
//! what becomes of the one slot that its flow may use.
//!
//! A slot goes from free to *armed* when a segment is chosen, to *running* when the flow sends the first segment
//! with a later timestamp, and back to free when that timestamp comes back. The chosen segment itself is not timed:
//! timestamps tick in milliseconds, so it need not be the first that carries its value, and the answer to an earlier
//! one would come too soon.

use crate::address::Address;

/// Slots: a power of two. Flows that share one are measured in turn.
pub const RTT_SLOTS: u32 = 1 << RTT_SLOT_BITS;
const RTT_SLOT_BITS: u32 = 10;
/// An answer that takes longer is none, and its slot is another's, in ns.
pub const LONGEST_ROUND_TRIP: u64 = 8_000_000_000;

/// Nothing is measured.
pub const FREE: u32 = 0;
/// The first segment with a later timestamp starts the clock.
pub const ARMED: u32 = 1;
/// The answer is waited for.
pub const RUNNING: u32 = 2;

/// What the programs must know of a device: a part of [`crate::abi::DeviceFacts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RttDevice {
    /// Interface index; 0 marks a free place.
    pub ifindex: u32,
    /// One of [`crate::abi::link`], for packets that enter.
    pub ingress_link: u8,
    /// One of [`crate::abi::link`], for packets that leave.
    pub egress_link: u8,
    /// Explicit padding, zero.
    pub reserved: u16,
}

/// The round trips of one peer and encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RttStats {
    /// How many.
    pub samples: u64,
    /// Their sum, in µs.
    pub sum: u64,
    /// How many by µs, see [`crate::cost::bucket`].
    pub buckets: [u64; crate::cost::BUCKETS],
}

impl RttStats {
    /// Nothing seen.
    pub const ZERO: Self = Self { samples: 0, sum: 0, buckets: [0; crate::cost::BUCKETS] };
}

/// A connection as it leaves: the far end is where segments go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RttFlow {
    /// Where segments come from that leave.
    pub local: Address,
    /// Where they go.
    pub remote: Address,
    /// The local port, then the remote one, each in wire order.
    pub ports: u32,
}

impl RttFlow {
    /// The same for a segment that enters, whose addresses and ports stand the other way round.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local, ports: self.ports.rotate_left(16) }
    }

    /// The number of its slot.
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

/// Odd, with its bits well spread: the golden ratio's.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The measurement of a flow; 64 bytes.
///
/// Several CPUs may write one slot at once, and a reader may see words of two of them, or half of what is just being
/// written. `check` makes that harmless: it is computed of all other words, so that a slot counts only as one of its
/// writers meant it. A torn slot is taken for a free one: its sample is lost, and none is made up.
///
/// With any one word exchanged the check fails for certain, because every step of it is reversible; with several
/// exchanged, in all but one of 2^64 cases. No lock is needed for it, nor an atomic that gives a value back, which 5.10 has
/// not; and no order in which the words become visible, which plain stores have not on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RttSlot {
    /// Whose it is.
    pub flow: RttFlow,
    /// [`FREE`], [`ARMED`] or [`RUNNING`].
    pub state: u32,
    /// Armed: the latest timestamp that the flow has sent. Running: the one that is timed.
    pub ts: u32,
    /// Where its path's round trips are added up.
    pub place: u32,
    /// Armed: when it was armed. Running: when the timestamp was sent. In ns.
    pub time: u64,
    /// See above.
    pub check: u64,
}

const _: () = assert!(size_of::<RttSlot>() == 64);

/// What an answer does to a running slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answers something earlier: the slot stays.
    Wait,
    /// It answers something later, or comes too late: the slot is free.
    Missed,
    /// The timestamp is back.
    Back,
}

/// Whether `a` is later than `b`: half of all values are (RFC 7323, section 5.2).
#[inline(always)]
#[must_use]
pub const fn later(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

impl RttSlot {
    /// A flow is chosen, whose segment with timestamp `ts` is sent.
    #[inline(always)]
    #[must_use]
    pub const fn armed(flow: RttFlow, place: u32, ts: u32, now: u64) -> Self {
        Self { flow, state: ARMED, ts, place, time: now, check: 0 }.sealed()
    }

    /// Whether this is a segment that an armed slot does not let pass: the first with its timestamp.
    #[inline(always)]
    #[must_use]
    pub const fn moves(&self, ts: u32) -> bool {
        self.state == ARMED && later(ts, self.ts)
    }

    /// What such a segment makes of it. Without data it may get no answer, and what comes behind it with the same
    /// timestamp may get the answer to it: such a timestamp is passed over.
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

    /// What the timestamp that comes back with an answer (TSecr) means to it.
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

    /// Whether another flow may have it.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(&self, now: u64) -> bool {
        self.state == FREE || now.wrapping_sub(self.time) > LONGEST_ROUND_TRIP || !self.is_whole()
    }

    /// Whether it is as one writer left it.
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
        sum = step(sum, self.ts, self.place);
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
    fn timestamps_are_compared_modulo_their_range() {
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
    fn only_the_first_segment_of_a_later_timestamp_is_timed() {
        let armed = RttSlot::armed(flow(1), 3, 100, 1_000);
        // The same timestamp, or one that was sent before and is sent late.
        assert!(!armed.moves(100) && !armed.moves(99));
        assert_eq!(armed.answered(100), Answer::Wait);
        // Without data it is passed over, and the next one with the same timestamp too.
        let passed = armed.moved(101, false, 2_000);
        assert_eq!((passed.state, passed.ts, passed.time), (ARMED, 101, 1_000));
        assert!(!passed.moves(101));
        let running = passed.moved(102, true, 3_000);
        assert_eq!((running.state, running.ts, running.time), (RUNNING, 102, 3_000));
        // Its timestamp stays.
        assert!(!running.moves(103));
        assert!([armed, passed, running].iter().all(RttSlot::is_whole));
    }

    #[test]
    fn an_answer_is_to_the_timestamp_or_to_none() {
        for ts in [500, 0, u32::MAX] {
            let running = RttSlot::armed(flow(1), 3, ts.wrapping_sub(1), 0).moved(ts, true, 0);
            assert_eq!(running.answered(ts.wrapping_sub(1)), Answer::Wait);
            assert_eq!(running.answered(ts), Answer::Back);
            assert_eq!(running.answered(ts.wrapping_add(1)), Answer::Missed);
        }
    }

    #[test]
    fn a_slot_of_two_writers_is_nobodys() {
        let words = |slot: RttSlot| -> [u32; 16] {
            // SAFETY: sixteen words without padding.
            unsafe { core::mem::transmute(slot) }
        };
        // SAFETY: any words are a slot.
        let slot = |words: [u32; 16]| -> RttSlot { unsafe { core::mem::transmute(words) } };
        let one = words(RttSlot::armed(flow(1), 3, 100, 1_000).moved(101, true, 5_000_000_000_000));
        let others = [
            RttSlot::armed(flow(1), 3, 100, 1_000).moved(102, true, 5_000_000_700_000),
            RttSlot::armed(flow(2), 3, 100, 5_000_000_400_000),
            RttSlot::armed(flow(3), 4, 7, 9_000_000_000_000).moved(8, true, 9_000_000_900_000),
        ];
        for other in others.map(words) {
            // Every way in which the words of both can be mixed.
            for mask in 0..1_u32 << 16 {
                let mixed: [u32; 16] =
                    core::array::from_fn(|i| if mask >> i & 1 == 1 { other[i] } else { one[i] });
                let mixed = slot(mixed);
                assert!(!mixed.is_whole() || words(mixed) == one || words(mixed) == other, "{mixed:?}");
            }
        }
    }

    #[test]
    fn a_slot_is_given_away_when_it_is_free_old_or_torn() {
        let armed = RttSlot::armed(flow(1), 3, 100, 1_000);
        assert!(RttSlot::default().is_over(0));
        assert!(!armed.is_over(1_000 + LONGEST_ROUND_TRIP));
        assert!(armed.is_over(1_001 + LONGEST_ROUND_TRIP));
        assert!(RttSlot { ts: 5, ..armed }.is_over(1_000));
    }

    #[test]
    fn both_directions_of_a_flow_have_one_slot_and_flows_have_many() {
        let mut used = [0_u32; RTT_SLOTS as usize];
        for port in 0..4 * RTT_SLOTS as u16 {
            let flow = flow(port);
            assert_eq!(flow.reversed().reversed(), flow);
            assert_ne!(flow.reversed(), flow);
            used[flow.slot() as usize] += 1;
        }
        assert!(used.iter().all(|count| *count < 16), "at most {:?} flows a slot", used.iter().max());
    }
}
