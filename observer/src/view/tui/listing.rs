//! A table on the screen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};

use super::app::App;
use super::draw::TABLE_HEAD;
use super::tab::Focus;
use super::theme::Theme;
use crate::view::grid::{Cell, Column, GAP, Layout, fit, layout};

/// Lines up to which a table is laid out as a whole.
const LAID_OUT: usize = 400;

/// Draws a table with title, header and as many lines as fit, the selected one among them.
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
    // Short tables are laid out for all of their lines, so that columns stay while one scrolls.
    let (from, count) = if lines.len() <= LAID_OUT { (0, lines.len()) } else { (first, visible) };
    let cells: Vec<Vec<Cell>> = lines
        .iter()
        .skip(from)
        .take(count)
        .map(|line| columns.iter().map(|column| (column.cell)(line, &form)).collect())
        .collect();
    let layout = layout(columns, &cells, &form, usize::from(area.width));
    let cells: Vec<&Vec<Cell>> = cells.iter().skip(first - from).take(visible).collect();
    let shown = (first + 1).min(lines.len())..=(first + visible).min(lines.len());
    let mut text = vec![title(app, focus, theme, shown, lines.len(), area.width)];
    text.push(head(&layout, columns, app, focus, theme, |column| column.title));
    text.push(head(&layout, columns, app, focus, theme, |column| (column.unit)(&form)));
    if cells.is_empty() && visible != 0 {
        let what = if app.filter.is_empty() { "  none" } else { "  none matches the filter" };
        text.push(Line::styled(what, theme.dim()));
    }
    for (index, row) in cells.into_iter().enumerate() {
        let line = row_line(&layout, columns, row, theme);
        let marked = focused && first + index == selected;
        text.push(if marked { pad(line, area.width).style(theme.reverse()) } else { line });
    }
    frame.render_widget(Text::from(text), area);
}

/// The first visible line: the selection stays in the middle, as far as there are lines.
fn first_line(selected: usize, count: usize, visible: usize) -> usize {
    selected.saturating_sub(visible / 2).min(count.saturating_sub(visible))
}

fn title(
    app: &App,
    focus: Focus,
    theme: Theme,
    shown: std::ops::RangeInclusive<usize>,
    count: usize,
    width: u16,
) -> Line<'static> {
    let name = focus.title();
    let focused = app.focus == focus;
    let mark = if focused { "▸ " } else { "  " };
    let mut spans = vec![Span::raw(mark), Span::styled(name, theme.title(focused))];
    let partial = *shown.end() < count || *shown.start() > 1;
    let mut facts = if partial && shown.start() <= shown.end() {
        format!("  {}–{} of {count}", shown.start(), shown.end())
    } else {
        format!("  {count}")
    };
    let reversed = app.views[focus as usize].reverse;
    if let Some(column) = app.sorted_by(focus) {
        facts.push_str(&format!("  by {}", column.to_lowercase()));
    }
    if reversed {
        facts.push_str(", reversed");
    }
    if 2 + name.len() + facts.chars().count() <= usize::from(width) {
        spans.push(Span::styled(facts, theme.dim()));
    }
    Line::from(spans)
}

fn head<T>(
    layout: &Layout,
    columns: &[Column<T>],
    app: &App,
    focus: Focus,
    theme: Theme,
    word: impl Fn(&Column<T>) -> &'static str,
) -> Line<'static> {
    let sort = app.views[focus as usize].sort;
    let mut spans = Vec::new();
    for (place, (index, width)) in layout.shown.iter().enumerate() {
        if place != 0 {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        let text = fit(word(&columns[*index]), *width, columns[*index].right);
        let style = if sort == Some(*index) { theme.title(true) } else { theme.dim() };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

fn row_line<T>(layout: &Layout, columns: &[Column<T>], row: &[Cell], theme: Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for (place, (index, width)) in layout.shown.iter().enumerate() {
        if place != 0 {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        let cell = &row[*index];
        spans.push(Span::styled(fit(&cell.text, *width, columns[*index].right), theme.tone(cell.tone)));
    }
    Line::from(spans)
}

/// The mark of the selected line reaches to the edge.
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
