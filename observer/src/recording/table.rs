//! Tables of monotonic counters, written as differences from the previous line.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A table of counters: new rows, and what was added to rows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TableForm<I> {
    /// All previous rows are removed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) reset: bool,
    /// Names of the counters in `added`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<String>,
    /// New rows in the order of their places; their counters start at 0.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub(super) new: Vec<New<I>>,
    /// For each row that changed: its place, and the increment for each of `columns`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) added: Vec<Vec<u64>>,
}

/// A new row.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct New<I> {
    /// Its place in the table.
    pub(super) at: usize,
    #[serde(flatten)]
    pub(super) id: I,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

/// A row: its identity and its counters.
pub(super) trait Row: Sized {
    /// The identity as written.
    type Form;
    /// Number of counters.
    const COLUMNS: usize;
    /// The name of a counter.
    fn column(index: usize) -> Cow<'static, str>;
    /// Whether both are the same row.
    fn same(&self, other: &Self) -> bool;
    /// The identity.
    fn form(&self) -> Self::Form;
    /// A row whose counters are 0.
    fn new(form: Self::Form) -> Self;
    /// A counter.
    fn get(&self, column: usize) -> u64;
    /// Sets a counter.
    fn set(&mut self, column: usize, value: u64);
}

/// The difference between two states of a table; `None` if there is none.
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

/// The previous place of each row. `None` if a row is gone, has moved, or has a lower counter: then the whole
/// table is written again.
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

/// Applies a difference to a table.
///
/// # Errors
/// A row does not exist, or the number of counters differs from the number of columns.
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
    // Unknown columns are ignored.
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
