//! Counts frames of captures with the accounting rule of the kernel programs.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use observer_common::abi::{Config, DeviceFacts, PORTS, VNIS, role};
use observer_common::account::{Observation, Site, account, classify, count_ptb, ran_out};
use observer_common::address::Address;
use observer_common::kind::{Class, Direction};
use observer_common::packet::{Frame, Malformed, Packet, Plain, Position, Ptb, Slice, ipproto, ptb};

use super::event::{self, Event};
use super::link::{self, Next};
use super::summary::{self, Device, FileSummary};
use super::tables::CaptureTables;
use super::{Interface, Record};
use crate::header;
use crate::snapshot::Snapshot;

/// Devices with separate figures; all others share one.
const MAX_DEVICES: usize = 1_024;

/// What a capture does not contain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// MTU for detecting oversized packets, bytes.
    pub mtu: Option<u32>,
    /// UDP ports of VXLAN in addition to 4789.
    pub vxlan_ports: &'a [u16],
}

/// What distinguishes the devices of one file: interface, index of cooked v2, and whether directions are known.
type DeviceKey = (usize, Option<u32>, bool);

/// Counts frames.
pub struct Counter {
    config: Config,
    mtu: u32,
    tables: CaptureTables,
    seen: Observation,
    devices: Vec<Device>,
    names: HashSet<String>,
    /// Slots of the current file's devices.
    slots: HashMap<DeviceKey, u16>,
    last: Option<(DeviceKey, u16)>,
    files: Vec<FileSummary>,
    unsupported: BTreeMap<u32, u64>,
}

/// The captured bytes of a frame, and whether any others were needed.
struct Captured<'a> {
    bytes: Slice<'a>,
    length: u32,
    missed: Cell<bool>,
}

impl Packet for Captured<'_> {
    #[inline(always)]
    fn read<T: Plain>(&self, offset: u32) -> Option<T> {
        let found = self.bytes.read(offset);
        if found.is_none() && u64::from(offset) + size_of::<T>() as u64 <= u64::from(self.length) {
            self.missed.set(true);
        }
        found
    }
}

/// The UDP port of VXLAN that is always included (RFC 7348).
pub const VXLAN_PORT: u16 = 4789;
/// Maximum number of additional ones.
pub const MAX_VXLAN_PORTS: usize = PORTS - 1;

impl Counter {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(options: &Options<'_>) -> Self {
        let mut config = Config::DEFAULT;
        let ports = options.vxlan_ports.iter().filter(|port| **port != VXLAN_PORT);
        for (place, port) in config.vxlan_ports[1..PORTS].iter_mut().zip(ports) {
            *place = port.to_be();
        }
        Self {
            config,
            mtu: options.mtu.unwrap_or(0),
            tables: CaptureTables::default(),
            seen: Observation::NOTHING,
            devices: Vec::new(),
            names: HashSet::new(),
            slots: HashMap::new(),
            last: None,
            files: Vec::new(),
            unsupported: BTreeMap::new(),
        }
    }

    /// Starts a file: the next frames are from it.
    pub fn begin(&mut self, name: &str) {
        self.slots.clear();
        self.last = None;
        self.unsupported.clear();
        self.files.push(FileSummary { name: name.to_owned(), ..FileSummary::default() });
    }

    /// Records a problem of the current file.
    pub fn problem(&mut self, problem: &super::CaptureError) {
        if let Some(file) = self.files.last_mut() {
            file.problems.push(problem.to_string());
        }
    }

    /// Frames of the current file that could not be counted, by link type.
    #[must_use]
    pub fn unsupported(&self) -> &BTreeMap<u32, u64> {
        &self.unsupported
    }

    /// The files, in their order.
    #[must_use]
    pub fn files(&self) -> &[FileSummary] {
        &self.files
    }

    /// Everything counted so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        summary::snapshot(&self.files, &self.devices, &self.tables, self.mtu)
    }

    /// Counts a frame, and returns an event if `wanted` selects it.
    #[inline]
    pub fn count(&mut self, record: &Record<'_>, interface: &Interface, wanted: Wanted) -> Option<Event> {
        let link = link::read(interface.link_type, record.bytes);
        let file = self.files.last_mut()?;
        file.add(record);
        if link.next == Next::Unsupported {
            file.uncounted += 1;
            file.add_interface(interface);
            *self.unsupported.entry(interface.link_type).or_default() += 1;
            return None;
        }
        let direction = record.direction.or(link.direction);
        let slot = self.slot((record.interface, link.ifindex, direction.is_some()), interface);
        let directed = self.devices[usize::from(slot)].directed;
        let direction = direction.filter(|_| directed).unwrap_or(Direction::Ingress);
        let (skip, kind) = match link.next {
            Next::Parser(skip, kind) => (skip, kind),
            other => (0, if other == Next::NonIp { NON_IP } else { CUT }),
        };
        let length = record.length - skip;
        let bytes = Slice(&record.bytes[skip as usize..]);
        let packet = Captured { bytes, length, missed: Cell::new(false) };
        let device = DeviceFacts {
            ifindex: 1,
            mtu: self.mtu,
            slot,
            role: role::UNDERLAY,
            ingress_link: kind,
            egress_link: kind,
            ..DeviceFacts::default()
        };
        let message = self.account(&packet, &device, direction, record.length);
        if wanted == Wanted::Nothing || (wanted == Wanted::Notable && !event::may_be_notable(&self.seen)) {
            return None;
        }
        let event = self.event(&packet, slot, direction, message.as_ref());
        (wanted == Wanted::All || event.is_notable()).then_some(event)
    }

    fn account(
        &mut self,
        packet: &Captured<'_>,
        device: &DeviceFacts,
        direction: Direction,
        wire: u32,
    ) -> Option<Ptb> {
        let frame =
            Frame { length: packet.length, gso_segs: 1, zero_length_is_big: true, ..Frame::default() };
        let kind = device.ingress_link;
        if kind == NON_IP || kind == CUT {
            self.without_ip(kind, packet);
        } else {
            let site = Site { device, direction, config: &self.config };
            self.seen.frame = frame;
            classify(packet, &site, &mut self.seen);
        }
        let verdict = &mut self.seen.verdict;
        verdict.sizes.wire = u64::from(wire);
        if packet.missed.get() && (verdict.malformed == 0 || ran_out(verdict.malformed)) {
            verdict.malformed = Malformed::NotCaptured as u8;
        }
        let vni = self.enter(packet, device.slot);
        self.config.vnis = [0; VNIS];
        self.config.vnis[0] = vni;
        let parsed_class = self.seen.parsed.class;
        let site = Site { device, direction, config: &self.config };
        account(packet, &site, &mut self.tables, &mut self.seen);
        let outer = &self.seen.parsed.outer;
        if outer.protocol == ipproto::UDP
            && !self.seen.parsed.udp_later_fragment
            && (parsed_class != Class::None || outer.position == Position::First)
        {
            let vni = vni_of(&self.seen);
            self.tables.learn(packet, outer, parsed_class, vni);
        }
        self.signal(packet, device, direction)
    }

    /// A frame without an IP packet behind the link layer.
    fn without_ip(&mut self, kind: u8, packet: &Captured<'_>) {
        self.seen = Observation::NOTHING;
        self.seen.verdict.sizes.segments = 1;
        if kind == NON_IP {
            self.seen.parsed.class = Class::NonIp;
        } else {
            self.seen.parsed.class = Class::Malformed;
            let cut = packet.bytes.0.len() < packet.length as usize;
            let reason = if cut { Malformed::NotCaptured } else { Malformed::TruncatedLink };
            self.seen.verdict.malformed = reason as u8;
        }
    }

    /// Prepares the tables for the packet. Returns its VNI, 0 if it has none.
    fn enter(&mut self, packet: &Captured<'_>, slot: u16) -> u32 {
        let parsed = &self.seen.parsed;
        if !parsed.class.is_tunnel() && parsed.outer.protocol != ipproto::UDP {
            self.tables.enter_nobody();
            return 0;
        }
        let ends = parsed.outer.source(packet).zip(parsed.outer.destination(packet));
        let (source, destination) = ends.unwrap_or((Address::UNSPECIFIED, Address::UNSPECIFIED));
        let vni = vni_of(&self.seen);
        self.tables.enter(slot, source, destination, vni);
        if parsed.udp_later_fragment {
            return self.tables.recall(packet, &parsed.outer);
        }
        vni.unwrap_or(0)
    }

    fn signal(&mut self, packet: &Captured<'_>, device: &DeviceFacts, direction: Direction) -> Option<Ptb> {
        let (at, protocol) = self.seen.ptb()?;
        let at = u32::from(at);
        let message = ptb(packet, at, protocol, &self.config)?;
        let quoted = message.quoted;
        let vni = (quoted.vni != 0).then_some(quoted.vni);
        self.tables.enter(device.slot, quoted.source, quoted.destination, None);
        self.tables.quote(quoted.source, quoted.destination, quoted.class, vni);
        self.config.vnis[0] = quoted.vni;
        let site = Site { device, direction, config: &self.config };
        count_ptb(packet, at, protocol, &site, &mut self.tables);
        Some(message)
    }

    fn slot(&mut self, key: DeviceKey, interface: &Interface) -> u16 {
        if let Some((last, slot)) = self.last
            && last == key
        {
            return slot;
        }
        let slot = match self.slots.get(&key) {
            Some(slot) => *slot,
            None => {
                let slot = self.add_device(key, interface);
                self.slots.insert(key, slot);
                slot
            }
        };
        self.last = Some((key, slot));
        slot
    }

    fn add_device(&mut self, key: DeviceKey, interface: &Interface) -> u16 {
        let path = match self.files.last_mut() {
            Some(file) => {
                file.add_interface(interface);
                file.name.as_str()
            }
            None => "",
        };
        let base = Path::new(path).file_name().map_or_else(|| path.into(), |base| base.to_string_lossy());
        let mut name = base.into_owned();
        match (&interface.name, key.0) {
            (Some(interface), _) => name += &format!(":{interface}"),
            (None, 0) => {}
            (None, index) => name += &format!(":#{index}"),
        }
        if let Some(ifindex) = key.1 {
            name += &format!(":if{ifindex}");
        }
        let (name, kind, directed) = match self.devices.len() {
            0..MAX_DEVICES => (name, link::name(interface.link_type), key.2),
            MAX_DEVICES => ("all other interfaces".to_owned(), "any", false),
            _ => return MAX_DEVICES as u16,
        };
        let name = self.unique(name, directed);
        self.devices.push(Device { name, kind, directed });
        self.tables.add_slot(directed);
        (self.devices.len() - 1) as u16
    }

    /// Files in different folders can share a name, and so do frames of an interface with and without directions.
    fn unique(&mut self, name: String, directed: bool) -> String {
        let suffix = if directed { "direction known" } else { "direction unknown" };
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let mut names = [name.clone(), format!("{name} ({suffix})")].into_iter().chain(numbered);
        let free = names.find(|name| self.names.insert(name.clone()));
        free.unwrap_or(name)
    }

    fn event(&self, packet: &Captured<'_>, slot: u16, direction: Direction, message: Option<&Ptb>) -> Event {
        let Observation { parsed, verdict, .. } = &self.seen;
        let device = &self.devices[usize::from(slot)];
        let file = &self.files[self.files.len() - 1];
        let class = if verdict.class == Class::External { Class::None } else { verdict.class };
        Event {
            frame: file.frames,
            file: file.name.clone(),
            device: device.name.clone(),
            direction: device.directed.then_some(direction),
            class,
            wire_bytes: verdict.sizes.wire,
            l3_bytes: verdict.sizes.l3,
            inner_bytes: verdict.sizes.inner,
            vni: vni_of(&self.seen).or(self.recalled_vni(parsed.udp_later_fragment, class)),
            outer: header::header(packet, &parsed.outer),
            inner: header::header(packet, &parsed.inner),
            malformed: Malformed::from_index(verdict.malformed),
            oversized: verdict.oversized != 0,
            nested: parsed.nested,
            ptb: message.map(header::signal),
        }
    }

    fn recalled_vni(&self, later: bool, class: Class) -> Option<u32> {
        (later && matches!(class, Class::Vxlan | Class::Geneve)).then_some(self.config.vnis[0])
    }
}

/// Link kinds that the parser never sees.
const NON_IP: u8 = u8::MAX;
const CUT: u8 = u8::MAX - 1;

/// Which frames are returned as events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    Nothing,
    /// Fragments, oversized and malformed packets, PTB messages.
    Notable,
    /// All.
    All,
}

/// The VNI of a packet, if it could be read. If the tunnel's header is malformed, 0 may also mean none.
fn vni_of(seen: &Observation) -> Option<u32> {
    let parsed = &seen.parsed;
    let has = matches!(parsed.class, Class::Vxlan | Class::Geneve);
    (has && (parsed.vni != 0 || seen.verdict.malformed == 0)).then_some(parsed.vni)
}
