//! Comparison of recordings from before and after a change: differences with confidence intervals, limits of the
//! comparison, and whether the change reached its aims. Pure.

mod cost;
mod decompose;
mod estimate;
mod extras;
mod metrics;
mod remarks;
mod sample;
mod series;
mod side;
mod sizes;
#[cfg(test)]
mod tests;
mod verdict;

pub use decompose::{Decomposition, Effect};
pub use estimate::{Change, Estimate, change, estimate};
pub use extras::{Extras, RoundTrips, Work};
pub use metrics::{Better, Group, METRICS, Metric, Unit};
pub use remarks::{Remark, Weight};
pub use sample::Sample;
pub use side::{Point, Reading, Recorded, Side};
pub use sizes::Histogram;
pub use verdict::{Aim, Outcome, Verdict};

use observer_common::kind::Class;

/// Confidence level of the intervals.
pub const CONFIDENCE: f64 = 0.95;

/// A comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Before.
    pub before: Side,
    /// After.
    pub after: Side,
    /// Each of [`METRICS`].
    pub rows: Vec<Compared>,
    /// Packet sizes of pod traffic, by class.
    pub sizes: Vec<SizeShare>,
    /// L3 bytes of pod traffic by encapsulation, as shares.
    pub mix: Vec<(Class, [Option<f64>; 2])>,
    /// Why the overhead ratio changed; `None` if a side has no pod traffic.
    pub decomposition: Option<Decomposition>,
    /// What limits the comparison.
    pub remarks: Vec<Remark>,
    /// Whether the aims were reached.
    pub verdicts: Vec<Verdict>,
}

/// A metric on both sides.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The metric.
    pub metric: &'static Metric,
    /// Before; `None` if it was not measured.
    pub before: Option<Estimate>,
    /// After.
    pub after: Option<Estimate>,
    /// After − before.
    pub change: Option<Change>,
}

/// Packets of one size class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizeShare {
    /// Upper bound, inclusive, L3 bytes; `None` for the class above all bounds.
    pub up_to: Option<u32>,
    /// Shares of all packets, before and after; `None` if there were none.
    pub shares: [Option<f64>; 2],
}

impl Comparison {
    /// Compares two sides.
    #[must_use]
    pub fn of(before: Side, after: Side) -> Self {
        let rows: Vec<Compared> = METRICS
            .iter()
            .map(|metric| Compared {
                metric,
                before: estimate(&before, |sample| metric.of(sample)),
                after: estimate(&after, |sample| metric.of(sample)),
                change: change(&before, &after, |b, a| Some(metric.of(a)? - metric.of(b)?)),
            })
            .map(|row| if row.metric.is_maximum() { row.without_margins() } else { row })
            .collect();
        let decomposition = Decomposition::of(&before, &after);
        let remarks = remarks::of(&before, &after);
        let verdicts = verdict::of(&before, &after, &rows, decomposition.as_ref(), &remarks);
        let (sizes, mix) = (sizes::shares(&before.sizes, &after.sizes), mix(&before, &after));
        Self { before, after, rows, sizes, mix, decomposition, remarks, verdicts }
    }

    /// One of the rows.
    #[must_use]
    pub fn row(&self, id: &str) -> Option<&Compared> {
        self.rows.iter().find(|row| row.metric.id == id)
    }
}

impl Compared {
    /// Whether tables show it: details are hidden if neither side has them.
    #[must_use]
    pub const fn is_shown(&self) -> bool {
        !self.metric.detail || self.before.is_some() || self.after.is_some()
    }

    /// Maxima have no confidence interval.
    fn without_margins(mut self) -> Self {
        for estimate in [&mut self.before, &mut self.after].into_iter().flatten() {
            estimate.margin = None;
        }
        if let Some(change) = &mut self.change {
            change.margin = None;
        }
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with four digits")]
fn mix(before: &Side, after: &Side) -> Vec<(Class, [Option<f64>; 2])> {
    let share = |side: &Side, class: Class| {
        let all: u64 = Class::ENCAPSULATIONS.iter().map(|class| side.total.classes[*class as usize]).sum();
        (all != 0).then(|| side.total.classes[class as usize] as f64 / all as f64)
    };
    let there = |class: &Class| [before, after].iter().any(|side| side.total.classes[*class as usize] != 0);
    Class::ENCAPSULATIONS
        .into_iter()
        .filter(there)
        .map(|class| (class, [share(before, class), share(after, class)]))
        .collect()
}
