//! Confidence intervals by the jackknife over pieces of the recordings.
//!
//! Each figure is a function of sums (a ratio, a difference of ratios, a part of a decomposition). It is recomputed
//! without each piece; the variation of the results estimates the variation between recordings of this length. For
//! ratios this is the common ratio estimator. It needs no random numbers, so the same files give the same intervals.

use super::{Sample, Side};

/// Minimum number of pieces for an interval.
const FEWEST: usize = 4;

/// A figure of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Half the width of its interval; `None` if there are too few pieces.
    pub margin: Option<f64>,
}

/// A figure of both sides: a difference, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The figure.
    pub value: f64,
    /// Half the width of its interval; `None` if there are too few pieces.
    pub margin: Option<f64>,
}

impl Change {
    /// The interval, if there is one.
    #[must_use]
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.margin.map(|margin| (self.value - margin, self.value + margin))
    }

    /// Whether the interval excludes zero; `None` without an interval.
    #[must_use]
    pub fn is_clear(&self) -> Option<bool> {
        self.interval().map(|(low, high)| low > 0.0 || high < 0.0)
    }
}

/// A variance and its degrees of freedom.
#[derive(Clone, Copy)]
struct Spread {
    variance: f64,
    freedom: f64,
}

/// A function of one side's sums.
pub fn estimate(side: &Side, of: impl Fn(&Sample) -> Option<f64>) -> Option<Estimate> {
    let value = of(&side.total)?;
    let margin = spread(side, of).map(|s| student(s.freedom) * s.variance.sqrt());
    Some(Estimate { value, margin })
}

/// A function of both sides' sums. Their variations are independent, with Welch's degrees of freedom.
pub fn change(before: &Side, after: &Side, of: impl Fn(&Sample, &Sample) -> Option<f64>) -> Option<Change> {
    let value = of(&before.total, &after.total)?;
    let spreads = spread(before, |sample| of(sample, &after.total))
        .zip(spread(after, |sample| of(&before.total, sample)));
    let margin = spreads.map(|(b, a)| {
        let variance = b.variance + a.variance;
        let weights = b.variance.powi(2) / b.freedom + a.variance.powi(2) / a.freedom;
        let freedom = if weights > 0.0 { variance.powi(2) / weights } else { b.freedom + a.freedom };
        student(freedom) * variance.sqrt()
    });
    Some(Change { value, margin })
}

#[expect(clippy::cast_precision_loss, reason = "a small number of pieces")]
fn spread(side: &Side, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
    let count = side.batches.len();
    if count < FEWEST {
        return None;
    }
    let without: Option<Vec<f64>> = side.batches.iter().map(|batch| of(&side.total.without(batch))).collect();
    let (without, count) = (without?, count as f64);
    let mean = without.iter().sum::<f64>() / count;
    let squares: f64 = without.iter().map(|value| (value - mean).powi(2)).sum();
    Some(Spread { variance: squares * (count - 1.0) / count, freedom: count - 1.0 })
}

/// Student's t for 95 % in the middle, by degrees of freedom from 1 on (any table of the distribution).
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// Its limit for many degrees of freedom.
const NORMAL: f64 = 1.960;

/// The quantile for that many degrees of freedom, rounded down.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table")]
fn student(freedom: f64) -> f64 {
    let row = freedom.floor().clamp(1.0, 1e6) as usize;
    match STUDENT.get(row - 1) {
        Some(quantile) => *quantile,
        // Between 30 and infinity, 1/n is a close approximation.
        None => {
            let last = STUDENT[STUDENT.len() - 1];
            NORMAL + (last - NORMAL) * STUDENT.len() as f64 / freedom
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(part, whole)` of each piece, as milliseconds would be: exact numbers.
    fn side(pieces: &[(u64, f64)]) -> Side {
        let batches: Vec<Sample> = pieces
            .iter()
            .map(|(part, whole)| Sample { ptb: *part, seconds: *whole, ..Sample::default() })
            .collect();
        let mut total = Sample::default();
        batches.iter().for_each(|batch| total.add(batch));
        Side { batches, total, ..Side::default() }
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn ratio(sample: &Sample) -> Option<f64> {
        (sample.seconds > 0.0).then(|| sample.ptb as f64 / sample.seconds)
    }

    #[test]
    fn the_interval_of_a_mean_is_students() {
        // Equal wholes: the ratio is a mean. Mean 3, standard deviation √2.5, n = 5, t(4) = 2.776.
        let side = side(&[(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0)]);
        let found = estimate(&side, ratio).expect("pieces");
        assert!((found.value - 3.0).abs() < 1e-9);
        let margin = 2.776 * (2.5_f64 / 5.0).sqrt();
        assert!((found.margin.expect("enough") - margin).abs() < 1e-9, "{found:?} {margin}");
    }

    #[test]
    fn the_interval_of_two_means_is_welchs() {
        let (a, b) = (
            side(&[(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]),
            side(&[(10, 1.0), (10, 1.0), (10, 1.0), (10, 1.0)]),
        );
        let found = change(&a, &b, |a, b| Some(ratio(b)? - ratio(a)?)).expect("pieces");
        assert!((found.value - 7.5).abs() < 1e-9);
        // Only one side varies: its three degrees of freedom count. Variance 5/3/4.
        let margin = 3.182 * (5.0_f64 / 12.0).sqrt();
        assert!((found.margin.expect("enough") - margin).abs() < 1e-9, "{found:?} {margin}");
        assert_eq!(found.is_clear(), Some(true));
    }

    #[test]
    fn too_few_pieces_give_no_interval() {
        let few = side(&[(1, 1.0), (2, 1.0), (3, 1.0)]);
        let found = estimate(&few, ratio).expect("a figure");
        assert_eq!(found.margin, None);
        assert_eq!(estimate(&Side::default(), ratio), None);
        assert_eq!(Change { value: 1.0, margin: None }.is_clear(), None);
    }

    #[test]
    fn quantiles_approach_the_normal_distribution() {
        let found: Vec<f64> = [1.0, 3.7, 19.0, 30.9, 60.0, 120.0, 1e9].map(student).to_vec();
        assert_eq!(found[..3], [12.706, 3.182, 2.093]);
        // t(60) = 2.000, t(120) = 1.980
        assert!((found[4] - 2.000).abs() < 0.003 && (found[5] - 1.980).abs() < 0.003, "{found:?}");
        assert!(found.windows(2).all(|pair| pair[0] > pair[1]), "{found:?}");
        assert!((found[6] - NORMAL).abs() < 1e-6);
    }
}
