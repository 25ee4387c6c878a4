//! Tables of monotonic counters as what was added since the line before.

use std::borrow::Cow;

use super::form::{New, TableForm};

/// A row: who it is, and its counters.
pub(super) trait Row: Sized {
    /// Who it is, as it is written.
    type Form;
    /// How many counters it has.
    const COLUMNS: usize;
    /// The name of a counter.
    fn column(index: usize) -> Cow<'static, str>;
    /// Whether both are the same row.
    fn same(&self, other: &Self) -> bool;
    /// Who it is.
    fn form(&self) -> Self::Form;
    /// The row with zeros.
    fn new(form: Self::Form) -> Self;
    /// A counter.
    fn get(&self, column: usize) -> u64;
    /// Sets a counter.
    fn set(&mut self, column: usize, value: u64);
}

/// What leads from one state of a table to the next; `None` where nothing changed.
pub(super) fn difference<R: Row>(before: &[R], after: &[R]) -> Option<TableForm<R::Form>> {
    let kept = pairs(before, after);
    let reset = kept.is_none();
    let kept = kept.unwrap_or_else(|| vec![None; after.len()]);
    let added = |row: usize, column: usize| {
        let earlier = kept[row].map_or(0, |place| before[place].get(column));
        after[row].get(column) - earlier
    };
    let changed: Vec<usize> =
        (0..R::COLUMNS).filter(|column| (0..after.len()).any(|row| added(row, *column) != 0)).collect();
    let rows = (0..after.len()).filter(|row| changed.iter().any(|column| added(*row, *column) != 0));
    let form = TableForm {
        reset,
        columns: changed.iter().map(|column| R::column(*column).into_owned()).collect(),
        new: (0..after.len())
            .filter(|row| kept[*row].is_none())
            .map(|at| New { at, id: after[at].form() })
            .collect(),
        added: rows
            .map(|row| {
                let values = changed.iter().map(|column| added(row, *column));
                std::iter::once(row as u64).chain(values).collect()
            })
            .collect(),
    };
    (form.reset || !form.new.is_empty() || !form.added.is_empty()).then_some(form)
}

/// The place that each row had before; `None` for the whole where a row is gone, has moved, or counts
/// less than before: then the table begins anew.
fn pairs<R: Row>(before: &[R], after: &[R]) -> Option<Vec<Option<usize>>> {
    let mut next = 0;
    let mut kept = Vec::with_capacity(after.len());
    for row in after {
        match before.get(next) {
            Some(earlier) if earlier.same(row) => {
                if (0..R::COLUMNS).any(|column| row.get(column) < earlier.get(column)) {
                    return None;
                }
                kept.push(Some(next));
                next += 1;
            }
            _ => kept.push(None),
        }
    }
    (next == before.len()).then_some(kept)
}

/// Makes the next state of a table.
///
/// # Errors
/// What cannot be: a row that does not exist, a row with other counters than the columns say.
pub(super) fn apply<R: Row>(rows: &mut Vec<R>, form: TableForm<R::Form>) -> Result<(), String> {
    if form.reset {
        rows.clear();
    }
    for new in form.new {
        if new.at > rows.len() {
            return Err(format!("a new row has place {} in a table of {} rows", new.at, rows.len()));
        }
        rows.insert(new.at, R::new(new.id));
    }
    // A column that this version does not know is one that it does not show.
    let columns: Vec<Option<usize>> =
        form.columns.iter().map(|name| (0..R::COLUMNS).find(|index| R::column(*index) == *name)).collect();
    for added in form.added {
        let Some((place, values)) = added.split_first() else {
            return Err("a row is empty".to_owned());
        };
        if values.len() != columns.len() {
            return Err(format!("a row has {} counters for {} columns", values.len(), columns.len()));
        }
        let of = rows.len();
        let Some(row) = usize::try_from(*place).ok().and_then(|place| rows.get_mut(place)) else {
            return Err(format!("row {place} is not in a table of {of} rows"));
        };
        for (column, value) in columns.iter().zip(values) {
            let Some(column) = *column else { continue };
            let sum = row.get(column).checked_add(*value);
            row.set(column, sum.ok_or_else(|| format!("{} overflows", R::column(column)))?);
        }
    }
    Ok(())
}
