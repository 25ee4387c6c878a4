//! Columns, cells and their layout: which columns fit into a width, and how wide each is. The text table
//! and the screens share it.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::time::Duration;

use super::units;
use crate::model::{State, per_second};

/// In which form figures are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Per second, or over the interval.
    pub(crate) rates: bool,
    /// Bits, or bytes.
    pub(crate) bits: bool,
    /// What the figures cover.
    pub(crate) interval: Duration,
}

/// How a cell stands out; never the only sign of what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It does not.
    #[default]
    Plain,
    /// Worth a look.
    Notice,
    /// Something is wrong.
    Alarm,
}

/// What a cell is sorted by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Unknown,
    Number(f64),
    Address(IpAddr),
    Text,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    order: Order,
}

impl Cell {
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self { text: units::printable(text.as_ref()), tone: Tone::Plain, order: Order::Text }
    }

    pub(crate) fn address(address: IpAddr) -> Self {
        Self { text: address.to_string(), tone: Tone::Plain, order: Order::Address(address) }
    }

    pub(crate) fn number(value: f64, text: String) -> Self {
        Self { text, tone: Tone::Plain, order: Order::Number(value) }
    }

    pub(crate) fn unknown() -> Self {
        Self { text: units::UNKNOWN.to_owned(), tone: Tone::Plain, order: Order::Unknown }
    }

    /// Stands out unless it is zero or unknown.
    pub(crate) fn notice_if_any(mut self) -> Self {
        if matches!(self.order, Order::Number(value) if value > 0.0) {
            self.tone = Tone::Notice;
        }
        self
    }

    pub(crate) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Ascending; what is unknown comes before everything known.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (self.order, other.order) {
            (Order::Number(a), Order::Number(b)) => a.total_cmp(&b),
            (Order::Address(a), Order::Address(b)) => a.cmp(&b),
            (Order::Unknown, Order::Unknown) => Ordering::Equal,
            (Order::Unknown, _) => Ordering::Less,
            (_, Order::Unknown) => Ordering::Greater,
            _ => self.text.cmp(&other.text),
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl Form {
    /// A count: per second, or as it is. A rate at a lost hook is unknown.
    #[expect(clippy::cast_precision_loss, reason = "for sorting only")]
    pub(crate) fn count(&self, state: State, count: Option<u64>) -> Cell {
        match (count, self.rates) {
            (None, _) => Cell::unknown(),
            (Some(_), true) if state != State::Measured => Cell::unknown(),
            (Some(count), true) => match per_second(count, self.interval) {
                Some(rate) => Cell::number(rate, units::si(rate)),
                None => Cell::unknown(),
            },
            (Some(count), false) => Cell::number(count as f64, count.to_string()),
        }
    }

    /// A number of bytes: bits or bytes, per second or as it is.
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    pub(crate) fn volume(&self, state: State, bytes: Option<u64>) -> Cell {
        let factor = if self.bits { 8.0 } else { 1.0 };
        let value = match (bytes, self.rates) {
            (None, _) => None,
            (Some(_), true) if state != State::Measured => None,
            (Some(bytes), true) => per_second(bytes, self.interval),
            (Some(bytes), false) => Some(bytes as f64),
        };
        value.map_or_else(Cell::unknown, |value| Cell::number(value * factor, units::si(value * factor)))
    }

    /// A ratio in percent.
    pub(crate) fn percent(&self, state: State, ratio: Option<f64>) -> Cell {
        match ratio {
            Some(value) if state == State::Measured || !self.rates => {
                Cell::number(value, units::percent(ratio))
            }
            _ => Cell::unknown(),
        }
    }

    /// The unit of [`Self::volume`].
    pub(crate) const fn volume_unit(&self) -> &'static str {
        match (self.bits, self.rates) {
            (true, true) => "bit/s",
            (true, false) => "bit",
            (false, true) => "B/s",
            (false, false) => "B",
        }
    }

    /// The unit of [`Self::count`].
    pub(crate) const fn count_unit(&self) -> &'static str {
        if self.rates { "/s" } else { "" }
    }
}

/// One column of a table of `T`.
pub(crate) struct Column<T> {
    /// First line of its header.
    pub(crate) title: &'static str,
    /// Second line.
    pub(crate) unit: fn(&Form) -> &'static str,
    /// Numbers are aligned to the right.
    pub(crate) right: bool,
    /// Columns with the highest number are the first to go where the width is short; 0 never goes.
    pub(crate) rank: u8,
    /// The cell of a line.
    pub(crate) cell: fn(&T, &Form) -> Cell,
}

/// Which columns fit, and their widths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Index of each column that is shown, and its width.
    pub(crate) shown: Vec<(usize, usize)>,
}

/// Space between two columns.
pub(crate) const GAP: usize = 2;
/// Columns of numbers do not jump with every figure.
const NUMBER_WIDTH: usize = 5;

/// Lays out columns for rows of cells; `width` 0 means that there is no limit.
pub(crate) fn layout<T>(columns: &[Column<T>], rows: &[Vec<Cell>], form: &Form, width: usize) -> Layout {
    let mut shown: Vec<(usize, usize)> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let header = column.title.chars().count().max((column.unit)(form).chars().count());
            let floor = if column.right { NUMBER_WIDTH } else { 0 };
            let cells = rows.iter().map(|row| row[index].width()).max().unwrap_or(0);
            (index, header.max(cells).max(floor))
        })
        .collect();
    if width == 0 {
        return Layout { shown };
    }
    let total = |shown: &[(usize, usize)]| {
        shown.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
    };
    while total(&shown) > width {
        let least = shown.iter().enumerate().max_by_key(|(_, (index, _))| columns[*index].rank);
        let Some((place, (index, _))) = least else { break };
        if columns[*index].rank == 0 {
            break;
        }
        shown.remove(place);
    }
    // What may not go is cut, the widest first.
    while total(&shown) > width {
        let Some(widest) = shown.iter_mut().max_by_key(|(_, width)| *width) else { break };
        if widest.1 <= 3 {
            break;
        }
        widest.1 -= 1;
    }
    Layout { shown }
}

/// A text in exactly that width: padded, or cut with `…`.
pub(crate) fn fit(text: &str, width: usize, right: bool) -> String {
    let count = text.chars().count();
    if count > width {
        let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
        cut.push('…');
        return cut;
    }
    if right { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form { rates: true, bits: true, interval: Duration::from_secs(2) };

    fn columns() -> Vec<Column<u64>> {
        vec![
            Column {
                title: "NAME",
                unit: |_| "",
                right: false,
                rank: 0,
                cell: |_, _| Cell::text("cali0123456789a"),
            },
            Column {
                title: "A",
                unit: |_| "/s",
                right: true,
                rank: 1,
                cell: |n, f| f.count(State::Measured, Some(*n)),
            },
            Column { title: "B", unit: |_| "", right: true, rank: 2, cell: |_, _| Cell::unknown() },
        ]
    }

    #[test]
    fn columns_go_by_rank_and_what_stays_is_cut() {
        let columns = columns();
        let rows = vec![columns.iter().map(|c| (c.cell)(&10, &FORM)).collect::<Vec<_>>()];
        assert_eq!(layout(&columns, &rows, &FORM, 0).shown, [(0, 15), (1, 5), (2, 5)]);
        assert_eq!(layout(&columns, &rows, &FORM, 28).shown, [(0, 15), (1, 5)]);
        assert_eq!(layout(&columns, &rows, &FORM, 8).shown, [(0, 8)]);
        assert_eq!(layout(&columns, &rows, &FORM, 1).shown, [(0, 3)]);
    }

    #[test]
    fn lost_is_unknown_as_a_rate_and_a_lower_bound_in_total() {
        assert_eq!(FORM.count(State::Lost, Some(4)).text, "–");
        assert_eq!(FORM.volume(State::Lost, Some(4)).text, "–");
        assert_eq!(FORM.count(State::Measured, Some(4)).text, "2");
        let total = Form { rates: false, ..FORM };
        assert_eq!(total.count(State::Lost, Some(4)).text, "4");
        assert_eq!(total.count(State::Lost, None).text, "–");
        let nothing = Form { interval: Duration::ZERO, ..FORM };
        assert_eq!(nothing.count(State::Measured, Some(4)).text, "–");
    }

    #[test]
    fn unknown_sorts_below_zero() {
        assert_eq!(Cell::unknown().compare(&Cell::number(0.0, "0".into())), Ordering::Less);
        assert_eq!(Cell::text("b").compare(&Cell::text("a")), Ordering::Greater);
    }

    #[test]
    fn texts_fit() {
        assert_eq!(fit("abc", 5, true), "  abc");
        assert_eq!(fit("abcdef", 4, false), "abc…");
    }
}
