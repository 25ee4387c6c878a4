//! Sections of text tables: options, column constructors and layout.

use std::fmt::Write;

use super::grid::{Cell, Column, Form, GAP, Tone, fit, layout};

/// What tables show, and in which units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// Include paths and unknown peers.
    pub paths: bool,
    /// Maximum number of paths; `None`: all.
    pub top: Option<usize>,
    /// Characters per line; 0: no limit.
    pub width: usize,
    /// Show rates per second instead of counts over the interval.
    pub rates: bool,
    /// Show bits instead of bytes.
    pub bits: bool,
    /// Use ANSI colours.
    pub colour: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { paths: false, top: None, width: 0, rates: true, bits: true, colour: false }
    }
}

pub(super) fn plain<T>(title: &'static str, cell: fn(&T, &Form) -> Cell) -> Column<T> {
    Column { title, unit: |_| "", right: false, rank: 0, cell }
}

pub(super) fn number<T>(title: &'static str, cell: fn(&T, &Form) -> Cell) -> Column<T> {
    Column { title, unit: |_| "", right: true, rank: 0, cell }
}

pub(super) fn section<T>(
    text: &mut String,
    options: &TableOptions,
    title: &str,
    columns: &[Column<T>],
    lines: &[T],
    form: &Form,
) {
    let _ = writeln!(text, "\n{}", strong(title, options.colour));
    if lines.is_empty() {
        text.push_str("  none\n");
        return;
    }
    let rows: Vec<Vec<Cell>> =
        lines.iter().map(|line| columns.iter().map(|column| (column.cell)(line, form)).collect()).collect();
    let indent = 2;
    let width = if options.width == 0 { 0 } else { options.width.saturating_sub(indent).max(1) };
    let layout = layout(columns, &rows, form, width);
    let mut put = |cells: Vec<String>| {
        let line = format!("{:indent$}{}", "", cells.join(&" ".repeat(GAP)));
        let _ = writeln!(text, "{}", line.trim_end());
    };
    let heads: [fn(&Column<T>, &Form) -> &'static str; 2] = [|c, _| c.title, |c, form| (c.unit)(form)];
    for head in heads {
        let cells: Vec<&str> = layout.shown.iter().map(|(index, _)| head(&columns[*index], form)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            put(layout
                .shown
                .iter()
                .zip(cells)
                .map(|((i, w), cell)| fit(cell, *w, columns[*i].right))
                .collect());
        }
    }
    for row in &rows {
        let cell = |(index, width): &(usize, usize)| {
            let fitted = fit(&row[*index].text, *width, columns[*index].right);
            paint(&fitted, row[*index].tone, options.colour)
        };
        put(layout.shown.iter().map(cell).collect());
    }
}

pub(super) fn strong(text: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Colours of the terminal's palette that are readable on dark and light backgrounds.
pub(super) fn paint(text: &str, tone: Tone, colour: bool) -> String {
    match tone {
        Tone::Notice if colour => format!("\u{1b}[1;35m{text}\u{1b}[0m"),
        Tone::Alarm if colour => format!("\u{1b}[1;31m{text}\u{1b}[0m"),
        _ => text.to_owned(),
    }
}
