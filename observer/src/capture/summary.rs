//! What was counted in captures, in the form that the views read.

use std::net::IpAddr;

use observer_common::abi::{CLASS_STRIDE, SIZE_CLASSES};
use observer_common::counters::{EVENTS, PathCounter};
use observer_common::kind::{Class, Direction};

use super::Record;
use super::counter::Device;
use super::tables::{CaptureTables, SIZE_BOUNDS};
use crate::model::{Figures, PathFigures};
use crate::topology::convert::from_wire;

/// What was read of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSummary {
    /// Its name as it was given.
    pub name: String,
    /// Frames.
    pub frames: u64,
    /// Frames of link types that cannot be parsed; they are counted nowhere else.
    pub uncounted: u64,
    /// The earliest and the latest time stamp, nanoseconds since the Unix epoch.
    pub times: Option<(u64, u64)>,
    /// Why its figures are incomplete.
    pub problems: Vec<String>,
}

impl FileSummary {
    #[inline]
    pub(super) fn add(&mut self, record: &Record<'_>) {
        self.frames += 1;
        if let Some(time) = record.time {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
    }
}

/// One direction and class of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSummary {
    /// File and interface.
    pub device: String,
    /// The direction, where the file tells.
    pub direction: Option<Direction>,
    /// The class; what is outside any tunnel is `none`.
    pub class: Class,
    /// The figures.
    pub figures: Figures,
}

/// One path: a pair of tunnel endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSummary {
    /// File and interface.
    pub device: String,
    /// Outer source.
    pub source: IpAddr,
    /// Outer destination.
    pub destination: IpAddr,
    /// Encapsulation.
    pub class: Class,
    /// VNI, where there is one that could be read.
    pub vni: Option<u32>,
    /// The figures.
    pub figures: PathFigures,
}

/// Everything that was counted.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The files, in their order.
    pub files: Vec<FileSummary>,
    /// By class, as [`Class::ALL`]; `none` holds external traffic too.
    pub classes: [Figures; Class::ALL.len()],
    /// Packets by size class, one more than [`Summary::size_bounds`] are used.
    pub sizes: [u64; SIZE_CLASSES],
    /// Upper bounds of the size classes, inclusive.
    pub size_bounds: &'static [u32],
    /// By [`observer_common::counters::Event`].
    pub events: [u64; EVENTS],
    /// By device, direction and class.
    pub devices: Vec<DeviceSummary>,
    /// Paths, those with most wire bytes first.
    pub paths: Vec<PathSummary>,
    /// The MTU that packets were held against.
    pub mtu: Option<u32>,
}

impl Summary {
    pub(super) fn new(
        files: &[FileSummary],
        devices: &[Device],
        tables: &CaptureTables,
        mtu: Option<u32>,
    ) -> Self {
        let mut summary = Self { files: files.to_vec(), size_bounds: &SIZE_BOUNDS, mtu, ..Self::default() };
        for (slot, device) in devices.iter().enumerate() {
            for direction in Direction::ALL {
                summary.add_row(slot, device, direction, tables);
            }
        }
        for events in tables.all_events() {
            for (sum, count) in summary.events.iter_mut().zip(events.0) {
                *sum += count;
            }
        }
        summary.paths = tables
            .paths()
            .map(|(who, stats)| PathSummary {
                device: devices[usize::from(who.slot)].name.clone(),
                source: from_wire(who.source),
                destination: from_wire(who.destination),
                class: Class::from_index(who.class).unwrap_or(Class::None),
                vni: who.vni,
                figures: PathFigures(stats.0),
            })
            .collect();
        summary.paths.sort_by(|a, b| {
            let bytes = |path: &PathSummary| path.figures.get(PathCounter::WireBytes);
            let name = |path: &PathSummary| (path.source, path.destination, path.class, path.vni);
            bytes(b).cmp(&bytes(a)).then_with(|| name(a).cmp(&name(b))).then_with(|| a.device.cmp(&b.device))
        });
        summary
    }

    fn add_row(&mut self, slot: usize, device: &Device, direction: Direction, tables: &CaptureTables) {
        let stride = CLASS_STRIDE as usize;
        let row = (slot * 2 + direction as usize) * stride;
        let mut rows = [Figures::default(); Class::ALL.len()];
        for (class, totals) in Class::ALL.iter().zip(&tables.all_totals()[row..row + stride]) {
            let class = if *class == Class::External { Class::None } else { *class };
            let figures = Figures(totals.counters);
            rows[class as usize].add(&figures);
            self.classes[class as usize].add(&figures);
            for (sum, count) in self.sizes.iter_mut().zip(totals.sizes) {
                *sum += count;
            }
        }
        let counted = Class::ALL.iter().zip(rows).filter(|(_, figures)| figures.packets() != 0);
        self.devices.extend(counted.map(|(class, figures)| DeviceSummary {
            device: device.name.clone(),
            direction: device.directed.then_some(direction),
            class: *class,
            figures,
        }));
        debug_assert!(device.file < self.files.len());
    }

    /// All packets together.
    #[must_use]
    pub fn all(&self) -> Figures {
        let mut sum = Figures::default();
        self.classes.iter().for_each(|figures| sum.add(figures));
        sum
    }

    /// Every file was read to its end, and every frame counted.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.files.iter().all(|file| file.problems.is_empty() && file.uncounted == 0)
    }

    /// The earliest and the latest time stamp, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn times(&self) -> Option<(u64, u64)> {
        let times = self.files.iter().filter_map(|file| file.times);
        times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}
