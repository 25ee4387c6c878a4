//! Columns, cells and their layout, shared by the text tables and the screens.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::time::Duration;

use super::units;
use crate::model::{State, per_second};

/// How figures are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Rates per second instead of counts over the interval.
    pub(crate) rates: bool,
    /// Bits instead of bytes.
    pub(crate) bits: bool,
    /// The time that the figures cover.
    pub(crate) interval: Duration,
}

/// Emphasis of a cell. The text alone must carry the same information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// No emphasis.
    #[default]
    Plain,
    /// Worth checking.
    Notice,
    /// Something is wrong.
    Alarm,
}

/// The sort key of a cell.
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

    /// Both ends of a tunnel, sorted by the peer.
    pub(crate) fn ends(peer: IpAddr, (source, destination): (IpAddr, IpAddr)) -> Self {
        Self { text: format!("{source} → {destination}"), ..Self::address(peer) }
    }

    pub(crate) fn number(value: f64, text: String) -> Self {
        Self { text, tone: Tone::Plain, order: Order::Number(value) }
    }

    pub(crate) fn unknown() -> Self {
        Self { text: units::UNKNOWN.to_owned(), tone: Tone::Plain, order: Order::Unknown }
    }

    /// Emphasised unless zero or unknown.
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

    /// Ascending, with unknown cells first.
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

    /// The text in exactly that width. Addresses lose their beginning, because addresses of one network differ at the
    /// end.
    pub(crate) fn fit(&self, width: usize, right: bool) -> String {
        let count = self.width();
        if count > width && matches!(self.order, Order::Address(_)) {
            let end = self.text.chars().skip(count - width.saturating_sub(1));
            return std::iter::once('…').chain(end).collect();
        }
        fit(&self.text, width, right)
    }
}

impl Form {
    /// A count or its rate; a rate at a lost hook is unknown.
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

    /// A number of bytes or its rate, in bits or bytes.
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
    /// A column of numbers: aligned to the right, never cut.
    pub(crate) right: bool,
    /// Columns with the highest rank are dropped first if the width is short; 0 is never dropped.
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
/// Minimum width of number columns, so that they do not shift with every update.
const NUMBER_WIDTH: usize = 5;
/// Columns up to this rank are dropped only after texts have been cut: figures matter more.
const KEPT: u8 = 3;
/// Width that texts are cut to before such a column is dropped, and at the end.
const CUT: [usize; 2] = [7, 3];

/// Lays out columns for rows of cells; `width` 0: no limit. Numbers are shown in full or not at all, because a
/// cut number would be a wrong number.
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
    give_up(columns, &mut shown, width, KEPT, usize::MAX);
    give_up(columns, &mut shown, width, 0, CUT[0]);
    CUT.iter().for_each(|least| cut(columns, &mut shown, width, *least));
    while total(&shown) > width && shown.len() > 1 {
        shown.pop();
    }
    Layout { shown }
}

fn total(shown: &[(usize, usize)]) -> usize {
    shown.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// Drops columns above a rank, highest first, until the rest fits with texts cut to `texts`.
fn give_up<T>(columns: &[Column<T>], shown: &mut Vec<(usize, usize)>, width: usize, above: u8, texts: usize) {
    let least = |(index, width): &(usize, usize)| {
        (*index, if columns[*index].right { *width } else { (*width).min(texts) })
    };
    while total(&shown.iter().map(least).collect::<Vec<_>>()) > width {
        let least = shown.iter().enumerate().max_by_key(|(_, (index, _))| columns[*index].rank);
        let Some((place, _)) = least.filter(|(_, (index, _))| columns[*index].rank > above) else { break };
        shown.remove(place);
    }
}

/// Cuts texts, widest first.
fn cut<T>(columns: &[Column<T>], shown: &mut [(usize, usize)], width: usize, least: usize) {
    while total(shown) > width {
        let texts = shown.iter_mut().filter(|(index, _)| !columns[*index].right);
        let Some(widest) = texts.max_by_key(|(_, width)| *width).filter(|widest| widest.1 > least) else {
            break;
        };
        widest.1 -= 1;
    }
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

/// A text in lines of at most that width, broken between words if possible.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let used = lines.last().map_or(0, |line| line.chars().count());
            let gap = usize::from(used != 0);
            let last = lines.last_mut().filter(|_| used + gap + rest.len() <= width);
            if let Some(last) = last {
                last.extend(std::iter::repeat_n(' ', gap).chain(rest));
                break;
            }
            if used != 0 {
                lines.push(String::new());
                continue;
            }
            let tail = rest.split_off(width);
            *lines.last_mut().unwrap_or(&mut String::new()) = rest.into_iter().collect();
            lines.push(String::new());
            rest = tail;
        }
    }
    lines
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
    fn columns_are_dropped_by_rank_and_the_others_cut() {
        let columns = columns();
        let rows = vec![columns.iter().map(|c| (c.cell)(&10, &FORM)).collect::<Vec<_>>()];
        assert_eq!(layout(&columns, &rows, &FORM, 0).shown, [(0, 15), (1, 5), (2, 5)]);
        assert_eq!(layout(&columns, &rows, &FORM, 28).shown, [(0, 14), (1, 5), (2, 5)]);
        assert_eq!(layout(&columns, &rows, &FORM, 20).shown, [(0, 13), (1, 5)]);
        assert_eq!(layout(&columns, &rows, &FORM, 8).shown, [(0, 8)]);
        assert_eq!(layout(&columns, &rows, &FORM, 1).shown, [(0, 3)]);
    }

    #[test]
    fn a_number_is_never_cut() {
        let mut columns = columns();
        columns.iter_mut().for_each(|column| column.rank = 0);
        columns[1].cell = |_, _| Cell::number(1.0, "1234567".to_owned());
        let rows = vec![columns.iter().map(|c| (c.cell)(&10, &FORM)).collect::<Vec<_>>()];
        for width in 1..40 {
            let shown = layout(&columns, &rows, &FORM, width).shown;
            assert!(shown.iter().all(|(index, width)| *index != 1 || *width == 7), "{width}: {shown:?}");
        }
        assert_eq!(layout(&columns, &rows, &FORM, 12).shown, [(0, 3), (1, 7)]);
    }

    #[test]
    fn addresses_are_cut_at_the_beginning() {
        let address = Cell::address("fd00:10:10:1::c".parse().expect("an address"));
        assert_eq!(address.fit(8, false), "…10:1::c");
        assert_eq!(address.fit(16, false), "fd00:10:10:1::c ");
        assert_eq!(Cell::text("vxlan.calico").fit(8, false), "vxlan.c…");
    }

    #[test]
    fn a_lost_hook_has_unknown_rates_and_lower_bound_counts() {
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
    fn texts_wrap_between_words() {
        assert_eq!(wrap("not measured: press c", 14), ["not measured:", "press c"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 3), [""]);
        for width in 0..30 {
            let text = "the hook at cali0123456789abcde ingress is lost: traffic since then is unknown";
            let lines = wrap(text, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width.max(1)), "{width}: {lines:?}");
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }

    #[test]
    fn texts_fit() {
        assert_eq!(fit("abc", 5, true), "  abc");
        assert_eq!(fit("abcdef", 4, false), "abc…");
    }
}
