//! What the node did over the last ticks.

use std::collections::VecDeque;

use crate::model::Report;

/// Ticks that are kept.
pub(super) const KEPT: usize = 600;

/// One tick of the node's underlay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tick {
    /// Overhead ratio; `None` where it is unknown.
    pub(super) ratio: Option<f64>,
}

impl Tick {
    pub(super) fn of(report: &Report) -> Self {
        let complete = report.underlay().filter(|sum| sum.complete);
        Self { ratio: complete.and_then(|sum| sum.figures.overhead_ratio()) }
    }
}

/// Ticks, the newest last.
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

    /// The last `count` ticks before the newest `skip`, oldest first.
    pub(super) fn last(&self, count: usize, skip: usize) -> impl Iterator<Item = &Tick> {
        let end = self.ticks.len().saturating_sub(skip);
        self.ticks.range(end.saturating_sub(count)..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_so_many_and_skips_what_came_after_a_pause() {
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
