//! Packet sizes of recordings with different size classes.

use super::SizeShare;

/// Packets by size: one class per bound, and one above all bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Upper bounds, inclusive, ascending.
    pub bounds: Vec<u32>,
    /// Packets by class.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Packets by classes of these bounds; further counts are ignored.
    #[must_use]
    pub fn new(bounds: &[u32], counts: &[u64]) -> Self {
        let mut counts: Vec<u64> = counts.iter().copied().take(bounds.len() + 1).collect();
        counts.resize(bounds.len() + 1, 0);
        Self { bounds: bounds.to_vec(), counts }
    }

    /// All packets.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Merges classes; `bounds` must be a subset of the own bounds.
    fn coarser(&self, bounds: &[u32]) -> Self {
        let mut counts = vec![0; bounds.len() + 1];
        for (nth, count) in self.counts.iter().enumerate() {
            let class =
                self.bounds.get(nth).map_or(bounds.len(), |up_to| bounds.partition_point(|b| b < up_to));
            counts[class] += count;
        }
        Self { bounds: bounds.to_vec(), counts }
    }

    /// Adds another histogram, in the classes that both have in common.
    pub fn add(&mut self, other: &Self) {
        if self.packets() == 0 && self.bounds.is_empty() {
            self.clone_from(other);
            return;
        }
        let bounds = common(&self.bounds, &other.bounds);
        let (mut sum, other) = (self.coarser(&bounds), other.coarser(&bounds));
        sum.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        *self = sum;
    }
}

fn common(a: &[u32], b: &[u32]) -> Vec<u32> {
    a.iter().copied().filter(|bound| b.contains(bound)).collect()
}

/// Shares of both sides, in common classes. A class that is empty on both sides is merged with the next; empty ones at
/// the top are omitted.
#[expect(clippy::cast_precision_loss, reason = "a share is shown with four digits")]
pub(super) fn shares(before: &Histogram, after: &Histogram) -> Vec<SizeShare> {
    let mut bounds = common(&before.bounds, &after.bounds);
    let sides = [before.coarser(&bounds), after.coarser(&bounds)];
    let mut class = 0;
    bounds.retain(|_| {
        class += 1;
        sides.iter().any(|side| side.counts[class - 1] != 0)
    });
    let sides = sides.map(|side| side.coarser(&bounds));
    let share = |side: &Histogram, class: usize| {
        let all = side.packets();
        (all != 0).then(|| side.counts[class] as f64 / all as f64)
    };
    let mut classes: Vec<SizeShare> = (0..=bounds.len())
        .map(|class| SizeShare {
            up_to: bounds.get(class).copied(),
            shares: [share(&sides[0], class), share(&sides[1], class)],
        })
        .collect();
    while classes.last().is_some_and(|last| last.shares.iter().all(|share| share.unwrap_or(0.0) == 0.0)) {
        classes.pop();
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_classes_are_merged_at_common_bounds() {
        let mut sum = Histogram::new(&[64, 1_450, 1_500], &[1, 2, 3, 4, 99]);
        assert_eq!(sum.packets(), 10);
        sum.add(&Histogram::new(&[64, 1_480, 1_500], &[10, 20, 30, 40]));
        assert_eq!(sum, Histogram { bounds: vec![64, 1_500], counts: vec![11, 55, 44] });
        let mut none = Histogram::default();
        none.add(&sum);
        assert_eq!(none, sum);
    }
}
