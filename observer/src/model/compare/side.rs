//! One side of a comparison: the recordings of one node or several.

use std::time::Duration;

use observer_common::kind::Direction;

use super::series::Series;
use super::{Histogram, Sample};
use crate::model::{Mode, Report};
use crate::recording::Header;
use crate::snapshot::{Hook, Snapshot};
use crate::topology::Role;

/// Pieces for confidence intervals: long enough to be nearly independent; a common number for batch means.
const BATCHES: usize = 20;
/// Points of the chart over time.
const POINTS: usize = 60;

/// Metadata of one recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// The file.
    pub file: String,
    /// The node.
    pub node: String,
    /// Its kernel.
    pub origin: String,
    /// The version of Observer that wrote it.
    pub observer: String,
    /// The first snapshot, since the Unix epoch.
    pub begin: Duration,
    /// The last one.
    pub end: Duration,
    /// Intervals, measured or not.
    pub intervals: u64,
    /// Skipped intervals, because an underlay device was not watched all the time.
    pub skipped: u64,
    /// Devices and directions whose hook was lost during the recording.
    pub lost: Vec<String>,
    /// Modes for IPv4 and IPv6, in the order of their appearance.
    pub modes: [Vec<String>; 2],
    /// Underlay devices and their MTUs at the end.
    pub underlays: Vec<(String, u32)>,
    /// Tunnel devices and their MTUs at the end.
    pub tunnels: Vec<(String, u32)>,
    /// Hooks of underlay devices at the end, each once.
    pub hooks: Vec<Hook>,
    /// Error at the end of the file.
    pub file_error: Option<String>,
}

/// A recording while it is read, reduced to what is compared.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    facts: Recorded,
    series: Series,
    sizes: Histogram,
    last: Option<Snapshot>,
}

/// A point of the chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since the recordings began, the middle of the piece.
    pub seconds: f64,
    /// Overhead ratio of pod traffic; `None` without pod traffic.
    pub overhead: Option<f64>,
}

/// One side.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// The recordings.
    pub recordings: Vec<Recorded>,
    /// The sum.
    pub total: Sample,
    /// The same in pieces; pieces of several nodes are added by position in time.
    pub batches: Vec<Sample>,
    /// The overhead ratio over time.
    pub curve: Vec<Point>,
    /// Packet sizes of pod traffic on the underlay.
    pub sizes: Histogram,
}

impl Reading {
    /// Starts with the header of a recording.
    #[must_use]
    pub fn new(file: &str, header: &Header) -> Self {
        let facts = Recorded {
            file: file.to_owned(),
            node: header.node.clone(),
            origin: header.origin.clone(),
            observer: header.observer.clone(),
            ..Recorded::default()
        };
        Self { facts, ..Self::default() }
    }

    /// Adds a snapshot.
    pub fn push(&mut self, snapshot: Snapshot) {
        self.modes(&snapshot);
        match self.last.take() {
            None => self.facts.begin = snapshot.taken,
            Some(last) => self.interval(&last, &snapshot),
        }
        self.facts.end = snapshot.taken;
        self.last = Some(snapshot);
    }

    fn modes(&mut self, snapshot: &Snapshot) {
        for (ipv6, seen) in [false, true].into_iter().zip(&mut self.facts.modes) {
            if let Some(mode) = Mode::of(&snapshot.routing, ipv6).map(Mode::label)
                && seen.last() != Some(&mode)
            {
                seen.push(mode);
            }
        }
    }

    fn interval(&mut self, earlier: &Snapshot, later: &Snapshot) {
        let report = Report::between(earlier, later);
        self.facts.intervals += 1;
        for row in &report.devices {
            for direction in Direction::ALL {
                let lost = row.device.hooks[direction as usize] == Hook::Lost;
                if lost || row.gaps[direction as usize] {
                    let place = format!("{} {}", row.device.name, direction.label());
                    if !self.facts.lost.contains(&place) {
                        self.facts.lost.push(place);
                    }
                }
            }
        }
        let Some(sample) = Sample::of(&report) else {
            self.facts.skipped += 1;
            return;
        };
        self.series.push(&sample);
        for line in report.lines() {
            let Some(row) = line.row else { continue };
            let pods = row.class.is_tunnel() || row.class == observer_common::kind::Class::None;
            if pods && line.device.device.role == Role::Underlay {
                self.sizes.add(&Histogram::new(&report.size_bounds, &row.sizes));
            }
        }
    }

    /// Finishes the recording; `error` describes a damaged end of the file.
    #[must_use]
    pub fn finish(mut self, error: Option<String>) -> Self {
        self.facts.file_error = error;
        let devices = self.last.take().map(|last| last.devices).unwrap_or_default();
        let of = |role: Role| {
            let some = devices.iter().filter(move |device| device.role == role);
            some.map(|device| (device.name.to_string(), device.mtu)).collect()
        };
        (self.facts.underlays, self.facts.tunnels) = (of(Role::Underlay), of(Role::Tunnel));
        for device in devices.iter().filter(|device| device.role == Role::Underlay) {
            for hook in device.hooks {
                if !self.facts.hooks.contains(&hook) {
                    self.facts.hooks.push(hook);
                }
            }
        }
        self
    }
}

impl Side {
    /// The side of these recordings.
    #[must_use]
    pub fn of(readings: Vec<Reading>) -> Self {
        let batches = together(&readings, BATCHES);
        let nodes = readings.iter().filter(|reading| reading.series.len() != 0).count();
        let mut side = Self { curve: curve(&together(&readings, POINTS), nodes), ..Self::default() };
        for batch in &batches {
            side.total.add(batch);
        }
        side.batches = batches;
        for reading in readings {
            side.sizes.add(&reading.sizes);
            side.recordings.push(reading.facts);
        }
        side
    }

    /// Total length of its recordings.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.recordings.iter().map(|recorded| recorded.end.saturating_sub(recorded.begin)).sum()
    }

    /// Skipped intervals, and all intervals.
    #[must_use]
    pub fn skipped(&self) -> (u64, u64) {
        let sum = |of: fn(&Recorded) -> u64| self.recordings.iter().map(of).sum();
        (sum(|recorded| recorded.skipped), sum(|recorded| recorded.intervals))
    }
}

/// Adds the pieces of several nodes one by one, because simultaneous traffic of two nodes is not independent.
fn together(readings: &[Reading], most: usize) -> Vec<Sample> {
    let measured = || readings.iter().filter(|reading| reading.series.len() != 0);
    let count = measured().map(|reading| reading.series.len()).min().unwrap_or(0).min(most);
    let mut sums = vec![Sample::default(); count];
    for reading in measured() {
        for (sum, piece) in sums.iter_mut().zip(reading.series.in_pieces(count)) {
            sum.add(&piece);
        }
    }
    sums
}

#[expect(clippy::cast_precision_loss, reason = "a small number of nodes")]
fn curve(pieces: &[Sample], nodes: usize) -> Vec<Point> {
    let mut begin = 0.0;
    pieces
        .iter()
        .map(|piece| {
            let length = piece.seconds / nodes as f64;
            let point = Point { seconds: begin + length / 2.0, overhead: piece.pods().overhead_ratio() };
            begin += length;
            point
        })
        .collect()
}
