//! The Cost screen: encapsulation by tunnel device, latency by peer node, softirqs by CPU.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};

use super::app::App;
use super::layout::{TABLE_HEAD, shares};
use super::tab::Tab;
use super::tables;
use super::theme::Theme;
use crate::model::{CostReport, Report};
use crate::view::grid::wrap;
use crate::view::{cost, units};

/// Maximum number of notes: the tables matter more.
const REMARKS: usize = 4;

/// Draws the screen.
pub(super) fn draw(app: &App, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
    let Some(cost) = &report.cost else { return tables::cost_not_measured(app, theme, frame, area) };
    let remarks = remarks(cost, theme, area.width);
    let below = u16::try_from(remarks.len()).unwrap_or(u16::MAX).min(area.height / 4);
    let [tables, lower] = Layout::vertical([Constraint::Min(0), Constraint::Length(below)]).areas(area);
    let shown = Tab::Cost.tables();
    let needs = [0, 1, 2].map(|index: usize| {
        u16::try_from(app.count(shown[index])).unwrap_or(u16::MAX).max(1).saturating_add(TABLE_HEAD)
    });
    let focused = shown.iter().position(|focus| *focus == app.focus).unwrap_or(0);
    let heights = shares(tables.height, needs, focused).map(Constraint::Length);
    let areas: [Rect; 3] = Layout::vertical(heights).areas(tables);
    for (focus, area) in shown.iter().zip(areas) {
        app.table(*focus, report, theme, frame, area);
    }
    frame.render_widget(Text::from(remarks), lower);
}

/// What was not measured, or else how it was measured, in one line.
pub(super) fn brief(report: &Report, theme: Theme, width: u16) -> Vec<Line<'static>> {
    let Some(cost) = &report.cost else { return Vec::new() };
    let mut remarks = cost::remarks(cost);
    let others = remarks.len().saturating_sub(1);
    let text = match others {
        0 => remarks.swap_remove(0),
        1 => remarks.swap_remove(1),
        _ => format!("{others} notes (enlarge the screen)"),
    };
    wrap(&units::printable(&text), usize::from(width))
        .into_iter()
        .map(|line| Line::styled(line, theme.dim()))
        .collect()
}

/// How it was measured, and what was not.
fn remarks(report: &CostReport, theme: Theme, width: u16) -> Vec<Line<'static>> {
    let mut remarks = cost::remarks(report);
    if remarks.len() > REMARKS {
        let more = remarks.len() - REMARKS + 1;
        remarks.truncate(REMARKS - 1);
        remarks.push(format!("and {more} more: see observer stat --cost"));
    }
    let line = |remark: String| {
        let text = crate::view::grid::fit(&units::printable(&remark), usize::from(width), false);
        Line::styled(text.trim_end().to_owned(), theme.dim())
    };
    remarks.into_iter().map(line).collect()
}
