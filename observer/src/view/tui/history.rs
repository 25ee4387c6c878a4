//! The overhead ratio of the last intervals.

use std::collections::VecDeque;

use crate::model::Report;

/// Maximum number of intervals.
pub(super) const KEPT: usize = 600;

/// One interval of the node's underlay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tick {
    /// Overhead ratio; `None` if unknown.
    pub(super) ratio: Option<f64>,
}

impl Tick {
    pub(super) fn of(report: &Report) -> Self {
        let complete = report.underlay().filter(|sum| sum.complete);
        Self { ratio: complete.and_then(|sum| sum.figures.overhead_ratio()) }
    }
}

/// Intervals, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    ticks: VecDeque<Tick>,
}

impl History {
    pub(super) fn push(&mut self, tick: Tick) {
        if self.ticks.len() == KEPT {
            self.ticks.pop_front();
        }
        self.ticks.push_back(tick);
    }

    /// The last `count` intervals before the newest `skip`, oldest first.
    pub(super) fn last(&self, count: usize, skip: usize) -> impl Iterator<Item = &Tick> {
        let end = self.ticks.len().saturating_sub(skip);
        self.ticks.range(end.saturating_sub(count)..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_bounded_and_skips_the_newest() {
        let mut history = History::default();
        for number in 0..1_000 {
            history.push(Tick { ratio: Some(f64::from(number)) });
        }
        let last: Vec<_> = history.last(3, 2).filter_map(|tick| tick.ratio).collect();
        assert_eq!(last, [995.0, 996.0, 997.0]);
        assert_eq!(history.last(10_000, 0).count(), KEPT);
        assert_eq!(history.last(10, 10_000).count(), 0);
    }
}
