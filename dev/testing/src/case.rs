//! One row of the packet table: a packet, where it is observed, and how it must be counted.

use observer_common::abi::{Events, Totals, events_index, link, totals_index};
use observer_common::account::{Observation, Site, observe};
use observer_common::counters::{Event, FIRST_REASON, PathCounter, Total};
use observer_common::kind::{Class, Direction};
use observer_common::packet::{Frame, Malformed, Slice};
use observer_common::path::{PathKey, PathStats};

use crate::memory::{Counted, MemoryTables, size_class};
use crate::node::Node;

/// Maximum paths in the tables of one run.
pub const MAX_PATHS: usize = 1024;
/// Maximum packet size for `BPF_PROG_TEST_RUN` on kernels that use a single page for it.
const MAX_TEST_RUN_BYTES: usize = 3_400;

/// A packet and where it is observed.
#[derive(Clone, Debug)]
pub struct Input {
    /// The readable bytes.
    pub bytes: Vec<u8>,
    /// Properties that are not in the bytes.
    pub frame: Frame,
    /// The direction.
    pub direction: Direction,
    /// The node.
    pub node: Node,
}

/// The hooks that a case can run on with `BPF_PROG_TEST_RUN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// XDP: a complete ingress frame with Ethernet header, as the driver has it.
    pub xdp: bool,
    /// TC: a complete frame, long enough for the kernel's checks; segments by `gso_segs` and `gso_size` of
    /// the context.
    pub tc: bool,
}

impl Input {
    /// A complete ingress frame.
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

    /// The hooks it can run on.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        let length = self.bytes.len();
        let whole = self.frame.length as usize == length && length <= MAX_TEST_RUN_BYTES;
        let super_packet = self.frame.gso_size != 0;
        // What the kernel requires (`bpf_prog_test_run_skb`): at least one byte after the Ethernet header,
        // and a complete IP header if the Ethertype announces one.
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
            // The context has no field for an accelerated VLAN tag.
            tc: whole
                && length >= least
                && !self.frame.tag_beside
                && self.frame.zero_length_is_big == super_packet,
        }
    }

    /// Runs the parser and the accounting rule in user space.
    #[must_use]
    pub fn run(&self) -> (Observation, Counted) {
        let mut tables = MemoryTables::new(&self.node, MAX_PATHS);
        let mut seen = Observation::NOTHING;
        let site = Site { device: &self.node.device, direction: self.direction, config: &self.node.config };
        observe(&Slice(&self.bytes), &self.frame, &site, &mut tables, &mut seen);
        (seen, tables.counted())
    }
}

/// An expected PTB message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ptb {
    /// ICMP version: 4 or 6.
    pub version: u8,
    /// Announced MTU, in bytes.
    pub mtu: u64,
    /// The path of the quoted packet, if it has one.
    pub path: Option<PathKey>,
}

/// How a packet must be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The class in the totals.
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
    /// The path of that tunnel.
    pub would_path: Option<PathKey>,
    /// Fragment counters that increase by one.
    pub fragments: Vec<Total>,
    /// Bytes added by fragmentation.
    pub fragmentation_overhead: u64,
    /// The malformed reason.
    pub malformed: Malformed,
    /// The path, if any.
    pub path: Option<PathKey>,
    /// The entry in the table of unknown peers, if any.
    pub unknown_peer: Option<PathKey>,
    /// Other counters of tunnel packets: nested, unknown peer or VNI, inner packet not IP, GPE.
    pub flags: Vec<Total>,
    /// The PTB message in it, if any.
    pub ptb: Option<Ptb>,
}

/// One row of the packet table.
#[derive(Clone, Debug)]
pub struct Case {
    /// Short description, printed in test output.
    pub name: String,
    /// The packet.
    pub input: Input,
    /// How it must be counted.
    pub expect: Expect,
}

impl Case {
    /// A complete ingress frame with one packet of `l3` L3 bytes and `inner` inner bytes.
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

    /// A frame whose outer headers cannot be parsed: only its length is counted.
    #[must_use]
    pub fn unusable(name: &str, node: Node, bytes: Vec<u8>, reason: Malformed) -> Self {
        let mut case = Self::new(name, node, bytes, Class::Malformed, 0, 0);
        case.expect.malformed = reason;
        case
    }

    /// Makes it an egress packet.
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

    /// Expects a malformed reason for a packet that is counted nevertheless.
    #[must_use]
    pub fn flagged(mut self, reason: Malformed) -> Self {
        self.expect.malformed = reason;
        self
    }

    /// Expects a path.
    #[must_use]
    pub fn path(mut self, key: PathKey) -> Self {
        self.expect.path = Some(key);
        self
    }

    /// Makes it a super-packet, in which a length field of 0 means the frame's length.
    #[must_use]
    pub fn gso(mut self, segments: u32, size: u32) -> Self {
        let frame = &mut self.input.frame;
        (frame.gso_segs, frame.gso_size, frame.zero_length_is_big) = (segments, size, true);
        self
    }

    /// Expects a fragment counter to increase, and `overhead` bytes added by fragmentation.
    #[must_use]
    pub fn fragment(mut self, counter: Total, overhead: u64) -> Self {
        self.expect.fragments.push(counter);
        self.expect.fragmentation_overhead += overhead;
        self
    }

    /// The hooks it can run on.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.input.hooks()
    }

    /// The node's tables after the packet, computed from the expectation alone.
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
