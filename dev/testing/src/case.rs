//! One row of the packet table: a packet where it was seen, and what must be counted of it.

use observer_common::abi::{Events, Totals, events_index, link, totals_index};
use observer_common::account::{Observation, Site, observe};
use observer_common::counters::{Event, FIRST_REASON, PathCounter, Total};
use observer_common::kind::{Class, Direction};
use observer_common::packet::{Frame, Malformed, Slice};
use observer_common::path::{PathKey, PathStats};

use crate::memory::{Counted, MemoryTables, size_class};
use crate::node::Node;

/// Paths that fit into the tables of one run.
pub const MAX_PATHS: usize = 1024;
/// Bytes that `BPF_PROG_TEST_RUN` takes at most on kernels that put them into one page.
const TEST_RUN_LONGEST: usize = 3_400;

/// A packet and where it was seen.
#[derive(Clone, Debug)]
pub struct Input {
    /// The bytes that can be read.
    pub bytes: Vec<u8>,
    /// What is known of it besides.
    pub frame: Frame,
    /// The direction.
    pub direction: Direction,
    /// The node that sees it.
    pub node: Node,
}

/// Which hooks can be given a case by `BPF_PROG_TEST_RUN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// XDP: a whole frame with Ethernet header that enters an underlay device, as the driver has it.
    pub xdp: bool,
    /// TC: a whole frame, long enough for the kernel's own checks; segments by `gso_segs` and
    /// `gso_size` of the context.
    pub tc: bool,
}

impl Input {
    /// A frame that enters.
    #[must_use]
    pub fn new(node: Node, bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u32;
        Self {
            bytes,
            frame: Frame { length, gso_segs: 1, ..Frame::default() },
            direction: Direction::Ingress,
            node,
        }
    }

    /// Which hooks can be given it.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        let length = self.bytes.len();
        let whole = self.frame.length as usize == length && length <= TEST_RUN_LONGEST;
        let super_packet = self.frame.gso_size != 0;
        // What the kernel itself asks of an skb (`bpf_prog_test_run_skb`): a byte behind the Ethernet
        // header, and a whole IP header where bytes 12 and 13 announce one.
        let least = match self.bytes.get(12..14) {
            Some([0x08, 0x00]) => 34,
            Some([0x86, 0xdd]) => 54,
            _ => 15,
        };
        let ethernet = self.node.device.ingress_link == link::ETHERNET;
        Hooks {
            xdp: whole
                && ethernet
                && length >= 14
                && self.direction == Direction::Ingress
                && !super_packet
                && !self.frame.tag_beside
                && !self.frame.zero_length_is_big,
            // The context has no field for the tag that an skb is to have.
            tc: whole
                && length >= least
                && !self.frame.tag_beside
                && self.frame.zero_length_is_big == super_packet,
        }
    }

    /// Runs the parser and the rule in user space.
    #[must_use]
    pub fn run(&self) -> (Observation, Counted) {
        let mut tables = MemoryTables::new(&self.node, MAX_PATHS);
        let mut seen = Observation::NOTHING;
        let site = Site { device: &self.node.device, direction: self.direction, config: &self.node.config };
        observe(&Slice(&self.bytes), &self.frame, &site, &mut tables, &mut seen);
        (seen, tables.counted())
    }
}

/// A PTB message: its version, the MTU in it, and the path that it is attributed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ptb {
    /// 4 or 6.
    pub version: u8,
    /// Bytes.
    pub mtu: u64,
    /// The path of the quoted packet, where it is one of a path's.
    pub path: Option<PathKey>,
}

/// What must be counted of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The row of the totals.
    pub class: Class,
    /// Packets on the wire.
    pub segments: u32,
    /// Link-layer bytes.
    pub wire: u64,
    /// L3 bytes.
    pub l3: u64,
    /// Inner bytes.
    pub inner: u64,
    /// L3 size of each segment but the last.
    pub each: u32,
    /// L3 size of the last.
    pub last: u32,
    /// Packets above the device's MTU.
    pub oversized: u64,
    /// Packets that the tunnel would fragment.
    pub would_fragment: u64,
    /// Packets that the tunnel would drop.
    pub would_drop: u64,
    /// The path that would do so.
    pub would_path: Option<PathKey>,
    /// Counters of fragments that rise by one.
    pub fragments: Vec<Total>,
    /// Bytes that fragmentation added.
    pub fragmentation_overhead: u64,
    /// The reason.
    pub malformed: Malformed,
    /// The path.
    pub path: Option<PathKey>,
    /// The entry in the table of unknown peers.
    pub unknown_peer: Option<PathKey>,
    /// Counters of what a tunnel packet can be besides: nested, foreign, not IP inside, GPE.
    pub flags: Vec<Total>,
    /// A PTB message.
    pub ptb: Option<Ptb>,
}

/// One row of the packet table.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is about.
    pub name: String,
    /// The packet.
    pub input: Input,
    /// What must be counted.
    pub expect: Expect,
}

impl Case {
    /// A whole frame of one packet that enters: `l3` bytes from the outer IP header on, `inner` of
    /// the innermost packet.
    #[must_use]
    pub fn new(name: &str, node: Node, bytes: Vec<u8>, class: Class, l3: u32, inner: u64) -> Self {
        let input = Input::new(node, bytes);
        let expect = Expect {
            class,
            segments: 1,
            wire: u64::from(input.frame.length),
            l3: u64::from(l3),
            inner,
            each: l3,
            last: l3,
            oversized: 0,
            would_fragment: 0,
            would_drop: 0,
            would_path: None,
            fragments: Vec::new(),
            fragmentation_overhead: 0,
            malformed: Malformed::None,
            path: None,
            unknown_peer: None,
            flags: Vec::new(),
            ptb: None,
        };
        Self { name: name.to_owned(), input, expect }
    }

    /// A frame of which nothing but its length is counted, for a reason.
    #[must_use]
    pub fn unusable(name: &str, node: Node, bytes: Vec<u8>, reason: Malformed) -> Self {
        let mut case = Self::new(name, node, bytes, Class::Malformed, 0, 0);
        case.expect.malformed = reason;
        case
    }

    /// The packet leaves.
    #[must_use]
    pub fn egress(mut self) -> Self {
        self.input.direction = Direction::Egress;
        self
    }

    /// Changes the expectation.
    #[must_use]
    pub fn expect(mut self, change: impl FnOnce(&mut Expect)) -> Self {
        change(&mut self.expect);
        self
    }

    /// Something is wrong with it, but it is counted as far as it was understood.
    #[must_use]
    pub fn flagged(mut self, reason: Malformed) -> Self {
        self.expect.malformed = reason;
        self
    }

    /// It belongs to a path.
    #[must_use]
    pub fn path(mut self, key: PathKey) -> Self {
        self.expect.path = Some(key);
        self
    }

    /// It is a super-packet as the kernel has it: a length of 0 stands for its own.
    #[must_use]
    pub fn gso(mut self, segments: u32, size: u32) -> Self {
        let frame = &mut self.input.frame;
        (frame.gso_segs, frame.gso_size, frame.zero_length_is_big) = (segments, size, true);
        self
    }

    /// One more counter of fragments rises, and so many bytes are fragmentation's.
    #[must_use]
    pub fn fragment(mut self, counter: Total, overhead: u64) -> Self {
        self.expect.fragments.push(counter);
        self.expect.fragmentation_overhead += overhead;
        self
    }

    /// Which hooks can be given it.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.input.hooks()
    }

    /// The node's tables after the packet, from the expectation alone.
    #[must_use]
    pub fn expected(&self) -> Counted {
        let (expect, direction) = (&self.expect, self.input.direction);
        let slot = self.input.node.device.slot;
        let mut counted = Counted::default();
        counted.add_totals(totals_index(slot, direction, expect.class), &expect.totals());
        counted.add_events(events_index(slot, direction), &expect.events());
        if let Some(key) = expect.path {
            counted.add_path(&key, &expect.path_stats());
        }
        if let Some(key) = expect.would_path {
            let mut stats = PathStats::ZERO;
            stats.0[PathCounter::WouldFragment as usize] = expect.would_fragment;
            stats.0[PathCounter::WouldDrop as usize] = expect.would_drop;
            counted.add_path(&key, &stats);
        }
        if let Some(Ptb { mtu, path: Some(key), .. }) = expect.ptb {
            let mut stats = PathStats::ZERO;
            stats.0[PathCounter::Ptb as usize] = 1;
            stats.0[PathCounter::PtbMtu as usize] = mtu;
            counted.add_path(&key, &stats);
        }
        if let Some(key) = expect.unknown_peer {
            counted.unknown_peers.insert(key, (u64::from(expect.segments), expect.wire));
        }
        counted
    }
}

/// The node's tables after the packet of a case, from its expectation alone.
#[must_use]
pub fn expected_tables(case: &Case) -> Counted {
    case.expected()
}

impl Expect {
    fn largest(&self) -> u32 {
        if self.segments > 1 { self.each.max(self.last) } else { self.last }
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::ZERO;
        let mut add = |counter: Total, value: u64| totals.counters[counter as usize] += value;
        add(Total::Packets, self.segments.into());
        add(Total::WireBytes, self.wire);
        add(Total::L3Bytes, self.l3);
        add(Total::InnerBytes, self.inner);
        add(Total::Aggregates, u64::from(self.segments > 1));
        add(Total::Oversized, self.oversized);
        add(Total::WouldFragment, self.would_fragment);
        add(Total::WouldDrop, self.would_drop);
        add(Total::FragmentationOverheadBytes, self.fragmentation_overhead);
        add(Total::Largest, self.largest().into());
        self.fragments.iter().for_each(|counter| add(*counter, 1));
        self.flags.iter().for_each(|counter| add(*counter, self.segments.into()));
        if !matches!(self.class, Class::NonIp | Class::Malformed) {
            totals.sizes[size_class(self.last)] += 1;
            totals.sizes[size_class(self.each)] += u64::from(self.segments - 1);
        }
        totals
    }

    fn events(&self) -> Events {
        let mut events = Events::ZERO;
        if self.malformed != Malformed::None {
            events.0[FIRST_REASON + self.malformed as usize - 1] = self.segments.into();
        }
        if let Some(message) = self.ptb {
            let event = if message.version == 4 { Event::PtbV4 } else { Event::PtbV6 };
            events.0[event as usize] = 1;
        }
        events
    }

    fn path_stats(&self) -> PathStats {
        let mut stats = PathStats::ZERO;
        let mut add = |counter: PathCounter, value: u64| stats.0[counter as usize] += value;
        add(PathCounter::Packets, self.segments.into());
        add(PathCounter::WireBytes, self.wire);
        add(PathCounter::L3Bytes, self.l3);
        add(PathCounter::InnerBytes, self.inner);
        add(PathCounter::Oversized, self.oversized);
        add(PathCounter::Largest, self.largest().into());
        add(PathCounter::Aggregates, u64::from(self.segments > 1));
        add(PathCounter::FragmentationOverheadBytes, self.fragmentation_overhead);
        for counter in &self.fragments {
            let counter = match counter {
                Total::OuterV4First | Total::OuterV6First => PathCounter::OuterFirst,
                Total::OuterV4Middle | Total::OuterV6Middle => PathCounter::OuterMiddle,
                Total::OuterV4Last | Total::OuterV6Last => PathCounter::OuterLast,
                Total::OuterV6Atomic | Total::InnerV6Atomic => continue,
                _ => PathCounter::Inner,
            };
            add(counter, 1);
        }
        stats
    }
}
