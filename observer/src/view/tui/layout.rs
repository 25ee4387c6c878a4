//! Heights of the tables on a screen.

/// Lines of a table's title and header.
pub(super) const TABLE_HEAD: u16 = 3;
/// Lines that a table without focus keeps: its head and one line.
const LEAST: u16 = TABLE_HEAD + 1;

/// Heights of two tables: what both need if there is room, otherwise more for the focused one.
pub(super) fn split(height: u16, traffic: usize, paths: usize, lower_focused: bool) -> (u16, u16) {
    let need = |lines: usize| u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(TABLE_HEAD);
    let (first, second) = (need(traffic), need(paths));
    if first.saturating_add(second) <= height {
        return (first, height - first);
    }
    let focused = height - height * 2 / 5;
    if lower_focused {
        let lower = second.min(focused.max(height.saturating_sub(first)));
        (height - lower, lower)
    } else {
        let upper = first.min(focused.max(height.saturating_sub(second)));
        (upper, height - upper)
    }
}

/// Heights of three tables: what each needs if there is room, otherwise the others shrink first. The last one takes
/// the rest.
pub(super) fn shares(height: u16, needs: [u16; 3], focused: usize) -> [u16; 3] {
    let mut heights = needs;
    let order = [0, 1, 2].map(|step| (focused + 1 + step) % 3);
    for index in order {
        let sum: u16 = heights.iter().fold(0, |sum: u16, height| sum.saturating_add(*height));
        let over = sum.saturating_sub(height);
        let least = if index == focused { 0 } else { LEAST.min(heights[index]) };
        heights[index] -= over.min(heights[index] - least);
    }
    let sum: u16 = heights.iter().sum();
    heights[2] += height.saturating_sub(sum);
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tables_share_the_height() {
        assert_eq!(split(40, 10, 5, false), (13, 27));
        assert_eq!(split(20, 100, 100, false), (12, 8));
        assert_eq!(split(20, 100, 100, true), (8, 12));
        assert_eq!(split(20, 100, 2, false), (15, 5));
        for height in 0..10 {
            let (upper, lower) = split(height, 7, 7, true);
            assert_eq!(upper + lower, height);
        }
    }

    #[test]
    fn three_tables_share_the_height() {
        assert_eq!(shares(40, [7, 6, 5], 0), [7, 6, 27]);
        assert_eq!(shares(20, [7, 100, 5], 0), [7, 8, 5]);
        assert_eq!(shares(20, [7, 100, 100], 1), [4, 12, 4]);
        assert_eq!(shares(20, [7, 100, 100], 2), [4, 4, 12]);
        for height in 0..40 {
            for focused in 0..3 {
                let sum: u16 = shares(height, [9, 70, 12], focused).iter().sum();
                assert!(sum == height || height < 2 * LEAST, "{sum} of {height}");
            }
        }
    }
}
