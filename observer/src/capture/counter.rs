//! Counts frames of captures by the one accounting rule.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use observer_common::abi::{Config, DeviceFacts, PORTS, VNIS, role};
use observer_common::account::{Observation, Site, account, classify, count_ptb, ran_out};
use observer_common::address::Address;
use observer_common::kind::{Class, Direction};
use observer_common::packet::{Frame, Malformed, Packet, Plain, Position, Ptb, Slice, ipproto, ptb};

use super::event::{self, Event};
use super::link::{self, Behind};
use super::summary::{FileSummary, Summary};
use super::tables::CaptureTables;
use super::{Interface, Record};
use crate::header;

/// Devices that are kept apart; the rest share one.
const MOST_DEVICES: usize = 1_024;

/// What a capture does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// MTU that packets are held against, bytes.
    pub mtu: Option<u32>,
    /// UDP ports of VXLAN besides 4789.
    pub vxlan_ports: &'a [u16],
}

/// Where frames were captured.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub file: usize,
    pub name: String,
    /// The file tells which way its frames went.
    pub directed: bool,
}

/// What tells devices of one file apart: interface, index of cooked v2, and whether directions are known.
type DeviceKey = (usize, Option<u32>, bool);

/// Counts frames.
pub struct Counter {
    config: Config,
    mtu: u32,
    tables: CaptureTables,
    seen: Observation,
    devices: Vec<Device>,
    /// Those of the present file.
    slots: HashMap<DeviceKey, u16>,
    last: Option<(DeviceKey, u16)>,
    files: Vec<FileSummary>,
    unsupported: BTreeMap<u32, u64>,
}

/// The bytes of a frame that are in the capture, and whether others were asked for.
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

impl Counter {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(options: &Options<'_>) -> Self {
        let mut config = Config::DEFAULT;
        let ports = options.vxlan_ports.iter().filter(|port| **port != 4789);
        for (place, port) in config.vxlan_ports[1..PORTS].iter_mut().zip(ports) {
            *place = port.to_be();
        }
        Self {
            config,
            mtu: options.mtu.unwrap_or(0),
            tables: CaptureTables::default(),
            seen: Observation::NOTHING,
            devices: Vec::new(),
            slots: HashMap::new(),
            last: None,
            files: Vec::new(),
            unsupported: BTreeMap::new(),
        }
    }

    /// The next frames are of this file.
    pub fn begin(&mut self, name: &str) {
        self.slots.clear();
        self.last = None;
        self.unsupported.clear();
        self.files.push(FileSummary { name: name.to_owned(), ..FileSummary::default() });
    }

    /// Something is wrong with the present file.
    pub fn problem(&mut self, problem: &super::CaptureError) {
        if let Some(file) = self.files.last_mut() {
            file.problems.push(problem.to_string());
        }
    }

    /// Frames of the present file that could not be counted, by link type.
    #[must_use]
    pub fn unsupported(&self) -> &BTreeMap<u32, u64> {
        &self.unsupported
    }

    /// What was counted.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::new(&self.files, &self.devices, &self.tables, (self.mtu != 0).then_some(self.mtu))
    }

    /// Counts a frame; tells of it where `wanted` says so of what was seen.
    #[inline]
    pub fn count(&mut self, record: &Record<'_>, interface: &Interface, wanted: Wanted) -> Option<Event> {
        let link = link::read(interface.link_type, record.bytes);
        let file = self.files.last_mut()?;
        file.add(record);
        if link.behind == Behind::Unsupported {
            file.uncounted += 1;
            *self.unsupported.entry(interface.link_type).or_default() += 1;
            return None;
        }
        let direction = record.direction.or(link.direction);
        let slot = self.slot((record.interface, link.ifindex, direction.is_some()), interface);
        let direction = direction.unwrap_or(Direction::Ingress);
        let (skip, kind) = match link.behind {
            Behind::Parser(skip, kind) => (skip, kind),
            other => (0, if other == Behind::NonIp { NON_IP } else { CUT }),
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

    /// A frame in which the link layer left nothing for the parser.
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

    /// Tells the tables whose packet comes next. Returns its VNI, 0 where there is none.
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
        let file = self.files.len().saturating_sub(1);
        let path = self.files.last().map_or("", |file| file.name.as_str());
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
        if self.devices.len() >= MOST_DEVICES {
            if self.devices.len() == MOST_DEVICES {
                let name = "all other interfaces".to_owned();
                self.devices.push(Device { file, name, directed: false });
                self.tables.add_slot();
            }
            return MOST_DEVICES as u16;
        }
        self.devices.push(Device { file, name, directed: key.2 });
        self.tables.add_slot();
        (self.devices.len() - 1) as u16
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

/// Values of a link kind that the parser never sees.
const NON_IP: u8 = u8::MAX;
const CUT: u8 = u8::MAX - 1;

/// Which frames are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    Nothing,
    /// Fragments, oversized and malformed packets, PTB messages.
    Notable,
    /// Every one.
    All,
}

/// The VNI of a packet, where it could be read. One that is 0 cannot be told from none where the tunnel's
/// header is wrong.
fn vni_of(seen: &Observation) -> Option<u32> {
    let parsed = &seen.parsed;
    let has = matches!(parsed.class, Class::Vxlan | Class::Geneve);
    (has && (parsed.vni != 0 || seen.verdict.malformed == 0)).then_some(parsed.vni)
}
