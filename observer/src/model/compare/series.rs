//! A recording's intervals in bounded memory: neighbours are merged when there are too many.

use super::Sample;

/// Maximum number of pieces.
const MOST: usize = 256;

/// Pieces with equal numbers of intervals, in order.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pieces: Vec<Sample>,
    /// Intervals in a full piece, minus one; and in the last piece.
    more: usize,
    last: usize,
}

impl Series {
    /// Adds an interval.
    pub fn push(&mut self, sample: &Sample) {
        match self.pieces.last_mut() {
            Some(piece) if self.last <= self.more => {
                piece.add(sample);
                self.last += 1;
            }
            _ => {
                if self.pieces.len() == MOST {
                    self.halve();
                }
                self.pieces.push(sample.clone());
                self.last = 1;
            }
        }
    }

    fn halve(&mut self) {
        self.pieces = self
            .pieces
            .chunks(2)
            .map(|pair| {
                let mut sum = pair[0].clone();
                pair[1..].iter().for_each(|next| sum.add(next));
                sum
            })
            .collect();
        self.more = self.more * 2 + 1;
    }

    /// Number of pieces.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Merges the pieces into `count` or fewer pieces of nearly equal length.
    pub fn in_pieces(&self, count: usize) -> Vec<Sample> {
        let (all, count) = (self.pieces.len(), count.min(self.pieces.len()));
        (0..count)
            .map(|nth| {
                let mut sum = Sample::default();
                self.pieces[nth * all / count..(nth + 1) * all / count].iter().for_each(|p| sum.add(p));
                sum
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(length: u64) -> Series {
        let mut series = Series::default();
        for nth in 0..length {
            series.push(&Sample { seconds: 1.0, ptb: nth, ..Sample::default() });
        }
        series
    }

    #[test]
    fn nothing_is_lost_and_memory_is_bounded() {
        for length in [0, 1, 7, 255, 256, 257, 1_000, 5_000] {
            let series = series(length);
            assert!(series.len() <= MOST, "{length}: {}", series.len());
            for count in [1, 20, 60] {
                let pieces = series.in_pieces(count);
                let sum: u64 = pieces.iter().map(|piece| piece.ptb).sum();
                assert_eq!(sum, length * length.saturating_sub(1) / 2, "{length} in {count}");
                assert_eq!(pieces.len(), count.min(series.len()));
            }
        }
        // In order, and of about the same length.
        let pieces = series(1_000).in_pieces(20);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let means: Vec<f64> = pieces.iter().map(|piece| piece.ptb as f64 / piece.seconds).collect();
        assert!(means.windows(2).all(|pair| pair[0] < pair[1]), "{means:?}");
        assert!(pieces.iter().all(|piece| (44.0..=56.0).contains(&piece.seconds)), "{pieces:?}");
    }
}
