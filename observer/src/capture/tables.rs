//! The accounting rule's tables for captures: all of them are bounded, whatever the file contains.
//!
//! A capture has no node, so there are neither known nor unknown peers: every pair of tunnel endpoints is a
//! path, and every VNI is known.

use std::collections::HashMap;

use observer_common::abi::{
    BlockFacts, BlockKey, CLASS_STRIDE, Events, PeerFacts, SIZE_CLASSES, SIZE_TABLE, Totals,
};
use observer_common::account::Tables;
use observer_common::address::Address;
use observer_common::kind::{Class, Direction};
use observer_common::packet::{Ip, Packet, Position};
use observer_common::path::{PathKey, PathStats, UnknownPeer};

/// Maximum paths; packets of others are counted as overflow.
pub const MAX_PATHS: usize = 65_536;
/// Maximum first fragments that later ones are matched with; newer ones replace older ones.
const FRAGMENTS: usize = 4_096;
/// Upper bounds (inclusive) of the size classes, the same as for a live node without further MTUs.
pub const SIZE_BOUNDS: [u32; 19] = [
    64, 128, 256, 512, 1024, 1280, 1400, 1420, 1430, 1440, 1450, 1460, 1480, 1500, 2048, 4096, 8950, 8981,
    9000,
];
const _: () = assert!(SIZE_BOUNDS.len() < SIZE_CLASSES);

/// A direction of the traffic between two tunnel endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// The device's slot.
    pub slot: u16,
    /// Outer source.
    pub source: Address,
    /// Outer destination.
    pub destination: Address,
    /// [`Class`] as a number.
    pub class: u8,
    /// The VNI, if there is one that could be read.
    pub vni: Option<u32>,
    /// The direction, if the capture records it.
    pub direction: Option<Direction>,
}

/// What later fragments are matched by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct FragmentKey {
    source: Address,
    destination: Address,
    /// IPv6 has 32 bits, IPv4 16.
    id: u32,
}

/// The tables.
pub struct CaptureTables {
    /// Which slots have directions.
    directed: Vec<bool>,
    totals: Vec<Totals>,
    events: Vec<Events>,
    paths: HashMap<Conversation, PathStats>,
    /// What the last UDP tunnel packet from one host to another was.
    tunnels: HashMap<(Address, Address), PeerFacts>,
    fragments: Vec<(FragmentKey, PeerFacts)>,
    size_class: Box<[u8]>,
    /// Of the current packet.
    present: Conversation,
    /// The tunnel that the current packet belongs to if it is a later fragment.
    facts: PeerFacts,
    /// Never read: there are no unknown peers.
    unknown_peer: UnknownPeer,
}

const NOBODY: Conversation = Conversation {
    slot: 0,
    source: Address::UNSPECIFIED,
    destination: Address::UNSPECIFIED,
    class: 0,
    vni: None,
    direction: None,
};
const NO_FACTS: PeerFacts = PeerFacts { udp_class: Class::None as u32, vni: 0 };

impl Default for CaptureTables {
    fn default() -> Self {
        let class =
            |length: usize| SIZE_BOUNDS.iter().filter(|bound| length > **bound as usize).count() as u8;
        Self {
            directed: Vec::new(),
            totals: Vec::new(),
            events: Vec::new(),
            paths: HashMap::new(),
            tunnels: HashMap::new(),
            fragments: vec![(FragmentKey::default(), NO_FACTS); FRAGMENTS],
            size_class: (0..SIZE_TABLE).map(class).collect(),
            present: NOBODY,
            facts: NO_FACTS,
            unknown_peer: UnknownPeer { key: PathKey::NOBODY, packets: 0, wire_bytes: 0 },
        }
    }
}

impl CaptureTables {
    /// Adds a device; slots are numbered in that order.
    pub fn add_slot(&mut self, directed: bool) {
        self.directed.push(directed);
        self.totals.extend([Totals::ZERO; 2 * CLASS_STRIDE as usize]);
        self.events.extend([Events::ZERO; 2]);
    }

    /// The next packet is from `source` to `destination`.
    pub fn enter(&mut self, slot: u16, source: Address, destination: Address, vni: Option<u32>) {
        self.present = Conversation { slot, source, destination, vni, ..NOBODY };
        self.facts = NO_FACTS;
    }

    /// The next packet has no tunnel endpoints.
    pub fn enter_nobody(&mut self) {
        self.present = NOBODY;
        self.facts = NO_FACTS;
    }

    /// Remembers what a first fragment of UDP is, and which tunnel connects two hosts.
    pub fn learn<P: Packet>(&mut self, packet: &P, outer: &Ip, class: Class, vni: Option<u32>) {
        let tunnel = matches!(class, Class::Vxlan | Class::Geneve | Class::Wireguard);
        let facts = PeerFacts {
            udp_class: if tunnel { class as u32 } else { Class::None as u32 },
            vni: vni.unwrap_or(0),
        };
        let pair = (self.present.source, self.present.destination);
        if tunnel {
            let room = self.tunnels.len() < MAX_PATHS;
            if let Some(known) = self.tunnels.get_mut(&pair) {
                *known = facts;
            } else if room {
                self.tunnels.insert(pair, facts);
            }
        }
        if outer.position == Position::First
            && let Some(key) = fragment_key(packet, outer, pair)
        {
            self.fragments[key.place()] = (key, facts);
        }
    }

    /// Finds what a later fragment of UDP belongs to: by its first fragment if that was seen, otherwise
    /// by the tunnel between its addresses. Returns the VNI.
    pub fn recall<P: Packet>(&mut self, packet: &P, outer: &Ip) -> u32 {
        let pair = (self.present.source, self.present.destination);
        let key = fragment_key(packet, outer, pair);
        let exact = key.map(|key| self.fragments[key.place()]).filter(|found| Some(found.0) == key);
        self.facts = match exact {
            Some((_, facts)) => facts,
            None => self.tunnels.get(&pair).copied().unwrap_or(NO_FACTS),
        };
        let class = Class::from_index(self.facts.udp_class as u8);
        if matches!(class, Some(Class::Vxlan | Class::Geneve)) {
            self.present.vni = Some(self.facts.vni);
        }
        self.facts.vni
    }

    /// A PTB message quotes a packet from `source` to `destination`.
    pub fn quote(&mut self, source: Address, destination: Address, class: Class, vni: Option<u32>) {
        let slot = self.present.slot;
        self.facts = self.tunnels.get(&(source, destination)).copied().unwrap_or(NO_FACTS);
        let known = self.facts.udp_class == class as u32 && matches!(class, Class::Vxlan | Class::Geneve);
        let vni = vni.or(known.then_some(self.facts.vni));
        self.present = Conversation { slot, source, destination, vni, ..NOBODY };
    }

    /// Totals, by [`observer_common::abi::totals_index`].
    #[must_use]
    pub fn all_totals(&self) -> &[Totals] {
        &self.totals
    }

    /// Events, by [`observer_common::abi::events_index`].
    #[must_use]
    pub fn all_events(&self) -> &[Events] {
        &self.events
    }

    /// Paths.
    pub fn paths(&self) -> impl Iterator<Item = (&Conversation, &PathStats)> {
        self.paths.iter()
    }

    fn conversation(&self, key: &PathKey) -> Conversation {
        let directed = self.directed[usize::from(self.present.slot)];
        let direction = Direction::ALL.get(usize::from(key.direction)).copied().filter(|_| directed);
        Conversation { class: key.class, direction, ..self.present }
    }
}

impl FragmentKey {
    fn place(&self) -> usize {
        let mut hash = self.id;
        for word in self.source.0.iter().chain(&self.destination.0) {
            hash = (hash ^ word).wrapping_mul(0x9e37_79b9).rotate_left(15);
        }
        hash as usize % FRAGMENTS
    }
}

fn fragment_key<P: Packet>(packet: &P, ip: &Ip, pair: (Address, Address)) -> Option<FragmentKey> {
    let id = if ip.version == 4 {
        // Total length and identification share a word.
        u32::from_be(packet.read::<u32>(u32::from(ip.start) + 4)?) >> 16
    } else {
        // The last word of the Fragment header, which is the last header of most fragments.
        u32::from_be(packet.read::<u32>(u32::from(ip.payload).checked_sub(4)?)?)
    };
    Some(FragmentKey { source: pair.0, destination: pair.1, id })
}

impl Tables for CaptureTables {
    type Path<'a> = &'a mut PathStats;

    fn totals(&mut self, index: u32) -> Option<&mut Totals> {
        self.totals.get_mut(index as usize)
    }

    fn events(&mut self, index: u32) -> Option<&mut Events> {
        self.events.get_mut(index as usize)
    }

    fn path(&mut self, key: &PathKey) -> Option<&mut PathStats> {
        let conversation = self.conversation(key);
        self.paths.get_mut(&conversation)
    }

    fn add_path(&mut self, key: &PathKey) -> Option<&mut PathStats> {
        if self.paths.len() >= MAX_PATHS {
            return None;
        }
        let conversation = self.conversation(key);
        Some(self.paths.entry(conversation).or_insert(PathStats::ZERO))
    }

    fn peer(&self, _address: &Address) -> Option<PeerFacts> {
        Some(self.facts)
    }

    fn block(&self, _key: &BlockKey) -> Option<BlockFacts> {
        None
    }

    fn unknown_peer(&mut self, _place: u32) -> Option<&mut UnknownPeer> {
        self.unknown_peer.packets = 0;
        Some(&mut self.unknown_peer)
    }

    fn size_class(&self, length: u32) -> usize {
        match self.size_class.get(length as usize) {
            Some(class) => usize::from(*class),
            None => SIZE_BOUNDS.len(),
        }
    }
}
