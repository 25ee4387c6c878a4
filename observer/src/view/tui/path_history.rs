//! The recent past of one path.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use observer_common::counters::PathCounter;
use observer_common::kind::Direction;

use super::history::KEPT;
use super::ring::Ring;
use crate::model::{PathFigures, Report, per_second};
use crate::snapshot::PathId;

/// The selected path, and wire bytes per second of its two directions.
#[derive(Debug)]
pub(super) struct Detail {
    /// By [`Direction`].
    pub(super) ids: [PathId; 2],
    pub(super) rates: VecDeque<[Option<f64>; 2]>,
    /// The first visible figure; drawing clamps it.
    pub(super) top: Cell<usize>,
}

impl Detail {
    /// Reads its history from past reports.
    pub(super) fn new(id: &PathId, ring: &Ring) -> Self {
        let ids = Direction::ALL.map(|direction| PathId { direction, ..id.clone() });
        let rates = ring.paths(&ids).map(|(interval, figures)| rates(interval, figures)).collect();
        Self { ids, rates, top: Cell::new(0) }
    }

    /// Scrolls by `step` lines; drawing clamps the result.
    pub(super) fn scroll(&self, step: isize) {
        self.top.set(self.top.get().saturating_add_signed(step));
    }

    pub(super) fn push(&mut self, report: &Report) {
        let find = |id: &PathId| report.paths.iter().find(|path| path.id == *id).map(|path| path.figures);
        let now = rates(report.interval, [find(&self.ids[0]), find(&self.ids[1])]);
        if self.rates.len() == KEPT {
            self.rates.pop_front();
        }
        self.rates.push_back(now);
    }
}

fn rates(interval: Duration, figures: [Option<PathFigures>; 2]) -> [Option<f64>; 2] {
    figures.map(|figures| per_second(figures?.get(PathCounter::WireBytes), interval))
}
