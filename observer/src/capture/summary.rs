//! What was counted in captures, as a snapshot, and what was read from each file.

use std::collections::BTreeSet;
use std::time::Duration;

use observer_common::abi::{CLASS_STRIDE, SIZE_CLASSES};
use observer_common::counters::{EVENTS, TOTALS, Total};
use observer_common::kind::{Class, Direction};

use super::tables::{CaptureTables, Conversation, MAX_PATHS, SIZE_BOUNDS};
use super::{Interface, Record, link};
use crate::snapshot::{self, Fill, Hook, Path, PathId, Snapshot, Totals, Vni};
use crate::topology::convert::from_wire;
use crate::topology::{Role, Scope};

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSummary {
    /// Its name as given by the user.
    pub name: String,
    /// Frames.
    pub frames: u64,
    /// Frames of which only a part was captured.
    pub snapped: u64,
    /// Frames of unsupported link types; they are in no other figure.
    pub uncounted: u64,
    /// The largest number of bytes captured of a frame; `None` if it is not limited.
    pub snap_length: Option<u32>,
    /// Names of the link types of its frames.
    pub link_types: BTreeSet<&'static str>,
    /// The earliest and the latest time stamp, since the Unix epoch.
    pub times: Option<(Duration, Duration)>,
    /// Why its figures are incomplete.
    pub problems: Vec<String>,
}

impl FileSummary {
    #[inline]
    pub(super) fn add(&mut self, record: &Record<'_>) {
        self.frames += 1;
        self.snapped += u64::from((record.bytes.len() as u64) < u64::from(record.length));
        if let Some(time) = record.time {
            let time = Duration::from_nanos(time);
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
    }

    pub(super) fn add_interface(&mut self, interface: &Interface) {
        self.link_types.insert(link::name(interface.link_type));
        if interface.snaplen != 0 {
            self.snap_length = self.snap_length.max(Some(interface.snaplen));
        }
    }

    /// The file was read to its end, and every frame was counted.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.problems.is_empty() && self.uncounted == 0
    }
}

/// Where frames were captured.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub name: String,
    pub kind: &'static str,
    /// The file records the direction of its frames.
    pub directed: bool,
}

impl Device {
    fn snapshot(&self, slot: usize, mtu: u32, tables: &CaptureTables) -> snapshot::Device {
        let stride = CLASS_STRIDE as usize;
        let totals = Direction::ALL.into_iter().flat_map(|direction| {
            let row = (slot * 2 + direction as usize) * stride;
            by_class(direction, &tables.all_totals()[row..row + stride])
        });
        let events =
            |direction: Direction| -> [u64; EVENTS] { tables.all_events()[slot * 2 + direction as usize].0 };
        snapshot::Device {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            role: Role::Underlay,
            mtu,
            tunnel: None,
            hooks: [if self.directed { Hook::File } else { Hook::Undirected }; 2],
            losses: [0; 2],
            totals: totals.collect(),
            events: Direction::ALL.map(events),
        }
    }
}

/// Totals of the classes with packets. A capture has no node, so external traffic is `none` too.
fn by_class(direction: Direction, counted: &[observer_common::abi::Totals]) -> Vec<Totals> {
    let mut rows: Vec<Totals> = Vec::new();
    for (class, counted) in Class::ALL.into_iter().zip(counted) {
        if counted.counters[Total::Packets as usize] == 0 {
            continue;
        }
        let class = if class == Class::External { Class::None } else { class };
        let at = rows.iter().position(|row| row.class == class).unwrap_or_else(|| {
            rows.push(Totals { direction, class, counters: [0; TOTALS], sizes: [0; SIZE_CLASSES] });
            rows.len() - 1
        });
        for counter in Total::ALL {
            counter.merge().add(&mut rows[at].counters[counter as usize], counted.counters[counter as usize]);
        }
        for (sum, count) in rows[at].sizes.iter_mut().zip(counted.sizes) {
            *sum += count;
        }
    }
    rows.sort_by_key(|row| row.class);
    rows
}

fn path_id(who: &Conversation, devices: &[Device]) -> PathId {
    let (source, destination) = (from_wire(who.source), from_wire(who.destination));
    let direction = who.direction.unwrap_or(Direction::Ingress);
    let inward = who.direction == Some(Direction::Ingress);
    let (local, peer) = if inward { (destination, source) } else { (source, destination) };
    PathId {
        device: devices[usize::from(who.slot)].name.as_str().into(),
        direction,
        class: Class::from_index(who.class).unwrap_or(Class::None),
        vni: who.vni.map_or(Vni::None, Vni::Own),
        peer,
        local: Some(local),
    }
}

/// Everything that was counted.
pub(super) fn snapshot(
    files: &[FileSummary],
    devices: &[Device],
    tables: &CaptureTables,
    mtu: u32,
) -> Snapshot {
    let times = files.iter().filter_map(|file| file.times);
    let (first, last) = times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or_default();
    let paths: Vec<Path> = tables
        .paths()
        .map(|(who, stats)| Path { id: path_id(who, devices), scope: Scope::Unknown, counters: stats.0 })
        .collect();
    Snapshot {
        taken: last,
        counting: last - first,
        node: match files {
            [one] => one.name.clone(),
            files => format!("{} files", files.len()),
        },
        origin: "capture".to_owned(),
        devices: devices
            .iter()
            .enumerate()
            .map(|(slot, device)| device.snapshot(slot, mtu, tables))
            .collect(),
        fill: Fill { paths: paths.len() as u64, paths_capacity: MAX_PATHS as u64, ..Fill::default() },
        paths,
        size_bounds: SIZE_BOUNDS.to_vec(),
        notes: files.iter().flat_map(|file| file.problems.clone()).collect(),
        ..Snapshot::default()
    }
}
