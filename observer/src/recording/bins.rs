//! Divides recorded time into steps of another length.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// Picks the snapshots at which steps of a given length end.
#[derive(Debug)]
pub struct Bins {
    step: Duration,
    /// Maximum distance of a snapshot from the end of its step.
    tolerance: Duration,
    due: Option<Duration>,
}

impl Bins {
    /// Steps of length `step` over snapshots taken `interval` apart. If a step is shorter than the interval, every
    /// snapshot ends one.
    #[must_use]
    pub fn new(step: Duration, interval: Duration) -> Self {
        Self { step, tolerance: interval.min(step) / 2, due: None }
    }

    /// Whether a step ends at this snapshot. The first snapshot only starts the first step.
    pub fn ends_at(&mut self, snapshot: &Snapshot) -> bool {
        let Some(due) = self.due else {
            self.due = Some(snapshot.taken + self.step);
            return false;
        };
        if snapshot.taken + self.tolerance < due {
            return false;
        }
        // After a pause, steps continue from here; otherwise all of them would be late.
        let next = due + self.step;
        self.due =
            Some(if next > snapshot.taken + self.tolerance { next } else { snapshot.taken + self.step });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(step: u64, interval: u64, times: &[u64]) -> Vec<u64> {
        let mut bins = Bins::new(Duration::from_millis(step), Duration::from_millis(interval));
        let at = |time: u64| Snapshot { taken: Duration::from_millis(time), ..Snapshot::default() };
        times.iter().copied().filter(|time| bins.ends_at(&at(*time))).collect()
    }

    #[test]
    fn steps_end_at_the_nearest_snapshot() {
        // Snapshots are a little early or late, without accumulating.
        let times = [0, 1_003, 1_998, 3_001, 4_002, 4_999, 6_004];
        assert_eq!(ends(2_000, 1_000, &times), [1_998, 4_002, 6_004]);
        assert_eq!(ends(1_000, 1_000, &times), times[1..]);
        assert_eq!(ends(100, 1_000, &times), times[1..]);
        // A pause of ten seconds is one step.
        assert_eq!(ends(2_000, 1_000, &[0, 1_000, 12_000, 13_000, 14_000]), [12_000, 14_000]);
    }
}
