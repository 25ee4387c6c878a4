//! A scrollable table.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};

use super::app::App;
use super::layout::TABLE_HEAD;
use super::tab::Focus;
use super::theme::Theme;
use crate::view::grid::{self, Cell, Column, Form, GAP, Layout, Tone, fit};

/// Maximum number of lines for which all lines determine the layout.
const LAID_OUT: usize = 400;
/// Below this width, common labels are abbreviated.
const NARROW: u16 = 60;
/// Marks a line with an emphasised cell in a hidden column.
const MORE: &str = "›";

/// Draws a table with title, header and the lines that fit, including the selected one.
pub(super) fn draw<T>(
    app: &App,
    focus: Focus,
    columns: &[Column<T>],
    lines: &[T],
    theme: Theme,
    frame: &mut Frame,
    area: Rect,
) {
    let Some(report) = &app.report else { return };
    let form = app.form(report);
    let focused = app.focus == focus;
    let visible = usize::from(area.height.saturating_sub(TABLE_HEAD));
    let selected = app.views[focus as usize].selected;
    let first = first_line(selected, lines.len(), visible);
    // All lines of a short table determine the layout, so that columns do not move while scrolling.
    let (from, count) = if lines.len() <= LAID_OUT { (0, lines.len()) } else { (first, visible) };
    let cells: Vec<Vec<Cell>> = lines
        .iter()
        .skip(from)
        .take(count)
        .map(|line| columns.iter().map(|column| cell(column, line, &form, area.width)).collect())
        .collect();
    let width = usize::from(area.width);
    let mut layout = grid::layout(columns, &cells, &form, width);
    if cells.iter().any(|row| hides(&layout, row)) {
        layout = grid::layout(columns, &cells, &form, width.saturating_sub(GAP));
    }
    let cells: Vec<&Vec<Cell>> = cells.iter().skip(first - from).take(visible).collect();
    let shown = (first + 1).min(lines.len())..=(first + visible).min(lines.len());
    let place = Area { shown, count: lines.len(), hidden: columns.len() - layout.shown.len() };
    let mut text = vec![title(app, focus, theme, &place, area.width)];
    text.push(head(&layout, columns, app, focus, theme, |column| column.title));
    text.push(head(&layout, columns, app, focus, theme, |column| (column.unit)(&form)));
    if cells.is_empty() && visible != 0 {
        let what = if app.filter.is_empty() { "  none" } else { "  no match for the filter" };
        text.push(Line::styled(what, theme.dim()));
    }
    for (index, row) in cells.into_iter().enumerate() {
        let line = row_line(&layout, columns, row, theme, area.width);
        let marked = focused && first + index == selected;
        text.push(if marked { pad(line, area.width).style(theme.reverse()) } else { line });
    }
    frame.render_widget(Text::from(text), area);
}

/// The first visible line, with the selection in the middle if possible.
fn first_line(selected: usize, count: usize, visible: usize) -> usize {
    selected.saturating_sub(visible / 2).min(count.saturating_sub(visible))
}

/// A cell, abbreviated on narrow screens.
fn cell<T>(column: &Column<T>, line: &T, form: &Form, width: u16) -> Cell {
    let mut cell = (column.cell)(line, form);
    if width < NARROW && !column.right {
        cell.text = short(&cell.text).map_or(cell.text, str::to_owned);
    }
    cell
}

/// Abbreviations for narrow tables.
fn short(label: &str) -> Option<&'static str> {
    Some(match label {
        "ingress" => "in",
        "egress" => "out",
        "same-subnet" => "same",
        "cross-subnet" => "cross",
        "encapsulate" => "encap",
        "decapsulate" => "decap",
        _ => return None,
    })
}

/// Whether a hidden column has an emphasised cell.
fn hides(layout: &Layout, row: &[Cell]) -> bool {
    let shown = |index| layout.shown.iter().any(|(shown, _)| *shown == index);
    row.iter().enumerate().any(|(index, cell)| cell.tone != Tone::Plain && !shown(index))
}

/// The visible part of a table.
struct Area {
    /// Visible lines, counted from 1.
    shown: std::ops::RangeInclusive<usize>,
    /// All lines.
    count: usize,
    /// Hidden columns.
    hidden: usize,
}

fn title(app: &App, focus: Focus, theme: Theme, place: &Area, width: u16) -> Line<'static> {
    let focused = app.focus == focus;
    let mark = if focused { "▸ " } else { "  " };
    let Area { shown, count, hidden } = place;
    let partial = *shown.end() < *count || *shown.start() > 1;
    let mut facts = vec![if partial && shown.start() <= shown.end() {
        format!("{}–{} of {count}", shown.start(), shown.end())
    } else {
        count.to_string()
    }];
    let reversed = if app.views[focus as usize].reverse { ", reversed" } else { "" };
    match app.sorted_by(focus) {
        Some(column) => facts.push(format!("by {}{reversed}", column.to_lowercase())),
        None if !reversed.is_empty() => facts.push("reversed".to_owned()),
        None => {}
    }
    match hidden {
        0 => {}
        1 => facts.push("1 column hidden".to_owned()),
        hidden => facts.push(format!("{hidden} columns hidden")),
    }
    let width = usize::from(width);
    let first = 2 + mark.chars().count() + facts[0].chars().count();
    let name = if first + focus.title().len() <= width { focus.title() } else { focus.short() };
    let mut spans = vec![Span::raw(mark), Span::styled(name, theme.title(focused))];
    let mut room = width.saturating_sub(mark.chars().count() + name.len());
    for fact in facts {
        let needed = 2 + fact.chars().count();
        if needed > room {
            break;
        }
        room -= needed;
        spans.push(Span::styled(format!("  {fact}"), theme.dim()));
    }
    Line::from(spans)
}

fn head<T>(
    layout: &Layout,
    columns: &[Column<T>],
    app: &App,
    focus: Focus,
    theme: Theme,
    text: impl Fn(&Column<T>) -> &'static str,
) -> Line<'static> {
    let sort = app.views[focus as usize].sort;
    let mut spans = Vec::new();
    for (place, (index, width)) in layout.shown.iter().enumerate() {
        if place != 0 {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        let text = fit(text(&columns[*index]), *width, columns[*index].right);
        let style = if sort == Some(*index) { theme.title(true) } else { theme.dim() };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

fn row_line<T>(
    layout: &Layout,
    columns: &[Column<T>],
    row: &[Cell],
    theme: Theme,
    width: u16,
) -> Line<'static> {
    let mut spans = Vec::new();
    for (place, (index, width)) in layout.shown.iter().enumerate() {
        if place != 0 {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        let cell = &row[*index];
        spans.push(Span::styled(cell.fit(*width, columns[*index].right), theme.tone(cell.tone)));
    }
    if hides(layout, row) {
        let line = pad(Line::from(spans), width.saturating_sub(1));
        spans = line.spans;
        spans.push(Span::styled(MORE, theme.tone(Tone::Notice)));
    }
    Line::from(spans)
}

/// Pads the selected line, so that its highlight reaches the edge.
fn pad(mut line: Line<'static>, width: u16) -> Line<'static> {
    let missing = usize::from(width).saturating_sub(line.width());
    line.spans.push(Span::styled(" ".repeat(missing), Style::new()));
    line
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn the_selection_is_always_visible() {
        for count in 0..40 {
            for visible in 1..12 {
                for selected in 0..count {
                    let first = first_line(selected, count, visible);
                    assert!((first..first + visible).contains(&selected), "{selected} {count} {visible}");
                }
            }
        }
        assert_eq!(first_line(0, 3, 10), 0);
    }
}
