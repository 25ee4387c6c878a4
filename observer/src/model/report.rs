//! Reports: the difference of two snapshots, or one snapshot in total.

use std::cmp::{Ordering, Reverse};
use std::time::Duration;

use observer_common::abi::SIZE_CLASSES;
use observer_common::counters::{EVENTS, Event, Merge, PathCounter};
use observer_common::kind::{Class, Direction};

use super::{CostReport, Figures, PathFigures};
use crate::snapshot::{Device, Fill, Hook, Path, PathId, Routing, Snapshot, UnknownPeer};
use crate::topology::Scope;

/// What was counted between two snapshots, or since the source started counting.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The later snapshot's time, since the Unix epoch.
    pub taken: Duration,
    /// The time that the figures cover.
    pub interval: Duration,
    /// The node's name.
    pub node: String,
    /// The kernel's release, or the capture file.
    pub origin: String,
    /// Devices, in the snapshot's order.
    pub devices: Vec<DeviceRow>,
    /// Rows by device, direction and class, in that order, without classes that have no packets.
    pub rows: Vec<Row>,
    /// Paths, by wire bytes in descending order.
    pub paths: Vec<PathRow>,
    /// Position of each of `paths` in the later snapshot.
    pub places: Vec<u32>,
    /// The earlier snapshot had the same paths at the same positions.
    pub same_paths: bool,
    /// Unknown tunnel peers, in total.
    pub unknown_peers: Vec<UnknownPeer>,
    /// Fill level of the tables.
    pub fill: Fill,
    /// Where pod blocks of other nodes are routed, as in the later snapshot.
    pub routing: Vec<Routing>,
    /// The cost of encapsulation; `None` if it was not measured.
    pub cost: Option<CostReport>,
    /// Upper bounds of the size classes, inclusive.
    pub size_bounds: Vec<u32>,
    /// What is incomplete or could not be measured, as sentences.
    pub notes: Vec<String>,
}

/// A device and its rare events over the interval.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// The device, with totals as in the snapshot.
    pub device: Device,
    /// Events over the interval, by [`Direction`] and [`Event`].
    pub events: [[u64; EVENTS]; 2],
    /// Directions that were not watched for the whole interval, by [`Direction`].
    pub gaps: [bool; 2],
}

/// One row of figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The device's name.
    pub device: String,
    /// Direction.
    pub direction: Direction,
    /// Class.
    pub class: Class,
    /// Over the interval.
    pub figures: Figures,
    /// Packets by size class over the interval.
    pub sizes: [u64; SIZE_CLASSES],
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRow {
    /// Its identity.
    pub id: PathId,
    /// Where its peer is.
    pub scope: Scope,
    /// Over the interval.
    pub figures: PathFigures,
}

/// The paths of an earlier snapshot, looked up in the order of the later one. Snapshots of one source are sorted, so
/// that this is a merge.
struct Earlier<'a> {
    paths: Vec<&'a Path>,
    at: usize,
    /// The snapshot was sorted, and each path was found at the expected position.
    in_step: bool,
}

impl<'a> Earlier<'a> {
    fn of(snapshot: Option<&'a Snapshot>) -> Self {
        let mut paths: Vec<&Path> = snapshot.map(|s| s.paths.iter().collect()).unwrap_or_default();
        let in_step = paths.is_sorted_by(|a, b| a.id < b.id);
        if !in_step {
            paths.sort_by(|a, b| a.id.cmp(&b.id));
        }
        Self { paths, at: 0, in_step }
    }

    fn find(&mut self, id: &PathId) -> Option<&'a Path> {
        while let Some(path) = self.paths.get(self.at) {
            match path.id.cmp(id) {
                Ordering::Less => {
                    self.at += 1;
                    self.in_step = false;
                }
                Ordering::Equal => {
                    self.at += 1;
                    return Some(path);
                }
                Ordering::Greater => break,
            }
        }
        self.in_step = false;
        let found = self.paths.binary_search_by(|path| path.id.cmp(id)).ok()?;
        self.paths.get(found).copied()
    }
}

impl Report {
    /// Adds the paths by wire bytes in descending order. With thousands of paths sorting dominates, so indices are
    /// sorted and each path is copied once.
    fn add_paths(&mut self, earlier: Option<&Snapshot>, later: &Snapshot) {
        let mut before = Earlier::of(earlier);
        let figures = later.paths.iter().map(|path| {
            let figures = PathFigures(path.counters);
            match before.find(&path.id) {
                Some(before) => figures.since(&PathFigures(before.counters)),
                None => figures,
            }
        });
        let figures: Vec<PathFigures> = figures.collect();
        self.same_paths = before.in_step && before.at == before.paths.len();
        let bytes = figures.iter().map(|figures| Reverse(figures.get(PathCounter::WireBytes)));
        let mut order: Vec<(Reverse<u64>, u32)> = bytes.zip(0..).collect();
        if later.paths.is_sorted_by(|a, b| a.id < b.id) {
            order.sort_unstable();
        } else {
            let id = |n: u32| &later.paths[n as usize].id;
            order.sort_unstable_by(|(a, m), (b, n)| a.cmp(b).then_with(|| id(*m).cmp(id(*n))));
        }
        let row = |n: &u32| {
            let (path, figures) = (&later.paths[*n as usize], figures[*n as usize]);
            PathRow { id: path.id.clone(), scope: path.scope, figures }
        };
        self.places = order.into_iter().map(|(_, n)| n).collect();
        self.paths = self.places.iter().map(row).collect();
    }

    /// Everything that `later` counted.
    #[must_use]
    pub fn total(later: &Snapshot) -> Self {
        Self::build(None, later, later.counting)
    }

    /// What was counted between two snapshots of one source.
    #[must_use]
    pub fn between(earlier: &Snapshot, later: &Snapshot) -> Self {
        if later.counting < earlier.counting {
            let mut report = Self::build(None, later, later.counting);
            report.notes.push("the source restarted: the figures cover the time since its start".to_owned());
            return report;
        }
        Self::build(Some(earlier), later, later.taken.saturating_sub(earlier.taken))
    }

    /// Sums rows over devices and classes that `choose` picks.
    #[must_use]
    pub fn sum(&self, choose: impl Fn(&Row) -> bool) -> Figures {
        let mut sum = Figures::default();
        for row in self.rows.iter().filter(|row| choose(row)) {
            sum.add(&row.figures);
        }
        sum
    }

    fn build(earlier: Option<&Snapshot>, later: &Snapshot, interval: Duration) -> Self {
        let mut report = Self {
            taken: later.taken,
            interval,
            node: later.node.clone(),
            origin: later.origin.clone(),
            unknown_peers: later.unknown_peers.clone(),
            fill: later.fill,
            routing: later.routing.clone(),
            size_bounds: later.size_bounds.clone(),
            notes: later.notes.clone(),
            ..Self::default()
        };
        for device in &later.devices {
            let before = earlier.and_then(|e| e.devices.iter().find(|d| d.name == device.name));
            report.add_device(before, device);
        }
        report.add_paths(earlier, later);
        report.cost = later.cost.as_ref().map(|cost| {
            let before = earlier.and_then(|e| e.cost.as_ref());
            CostReport::between(before, cost, interval, |device, direction| report.counted(device, direction))
        });
        report
    }

    /// Packets of a device and direction over the interval; `None` if it was not watched for all of it.
    pub(super) fn counted(&self, device: &str, direction: Direction) -> Option<u64> {
        let row = self.devices.iter().find(|row| row.device.name == device)?;
        let hook = row.device.hooks[direction as usize];
        if matches!(hook, Hook::None | Hook::Lost) || row.gaps[direction as usize] {
            return None;
        }
        Some(self.sum(|row| row.device == device && row.direction == direction).packets())
    }

    fn add_device(&mut self, before: Option<&Device>, device: &Device) {
        let gaps = Direction::ALL.map(|direction| {
            let was = before.map(|b| b.hooks[direction as usize]);
            let unwatched = |hook: Hook| matches!(hook, Hook::None | Hook::Lost | Hook::Gone);
            let watched = !unwatched(device.hooks[direction as usize]);
            let lost =
                before.is_some_and(|b| b.losses[direction as usize] != device.losses[direction as usize]);
            watched && (lost || was.is_some_and(unwatched))
        });
        let mut events = device.events;
        for (direction, counters) in events.iter_mut().enumerate() {
            for event in Event::ALL {
                debug_assert_eq!(event.merge(), Merge::Sum);
                let earlier = before.map_or(0, |b| b.events[direction][event as usize]);
                counters[event as usize] = counters[event as usize].saturating_sub(earlier);
            }
        }
        for direction in Direction::ALL {
            self.note_gaps(device, direction, &events[direction as usize], gaps[direction as usize]);
        }
        for totals in &device.totals {
            let earlier = before.and_then(|b| {
                b.totals.iter().find(|t| t.direction == totals.direction && t.class == totals.class)
            });
            let mut row = Row {
                device: device.name.clone(),
                direction: totals.direction,
                class: totals.class,
                figures: Figures(totals.counters),
                sizes: totals.sizes,
            };
            if let Some(earlier) = earlier {
                row.figures = row.figures.since(&Figures(earlier.counters));
                for (size, before) in row.sizes.iter_mut().zip(earlier.sizes) {
                    *size = size.saturating_sub(before);
                }
            }
            if row.figures.packets() != 0 || row.figures.fragments() != 0 {
                self.rows.push(row);
            }
        }
        self.devices.push(DeviceRow { device: device.clone(), events, gaps });
    }

    fn note_gaps(&mut self, device: &Device, direction: Direction, events: &[u64; EVENTS], gap: bool) {
        let place = match device.known_direction(direction) {
            Some(direction) => format!("{} {}", device.name, direction.label()),
            None => device.name.clone(),
        };
        if device.hooks[direction as usize] == Hook::Lost {
            self.notes.push(format!("the hook at {place} is lost: traffic since then is unknown"));
        } else if gap {
            self.notes.push(format!("{place} was not watched for part of the interval"));
        }
        let overflow = events[Event::PathOverflow as usize];
        if overflow != 0 {
            self.notes.push(format!(
                "{overflow} packets at {place} belong to paths that did not fit into the table: paths are incomplete"
            ));
        }
        let unknown_peers = events[Event::UnknownPeerOverflow as usize];
        if unknown_peers != 0 {
            self.notes.push(format!(
                "{unknown_peers} packets at {place} belong to unknown peers that did not fit into the table: unknown peers are \
                 incomplete"
            ));
        }
    }
}
