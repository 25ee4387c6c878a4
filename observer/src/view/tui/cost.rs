//! The screen of what encapsulation costs: by tunnel device, by peer node, by CPU.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Text};

use super::app::App;
use super::draw::TABLE_HEAD;
use super::feed::Origin;
use super::listing;
use super::tab::{Focus, Tab};
use super::theme::Theme;
use crate::model::{CostReport, Report, SoftirqRow, SpanRow, TcpRow};
use crate::view::grid::wrap;
use crate::view::{cost, units};

/// Remarks that are shown at most: the tables matter more.
const REMARKS: usize = 4;
/// Lines of a table that is not in focus where there is no room for all: its head, and one.
const LEAST: u16 = TABLE_HEAD + 1;

impl App {
    /// Encapsulation and decapsulation by device, filtered and sorted.
    pub(super) fn spans<'a>(&self, report: &'a Report) -> Vec<&'a SpanRow> {
        let lines = report.cost.iter().flat_map(|cost| &cost.spans).collect();
        self.ordered(lines, &cost::spans(), cost::span_words, Focus::Spans, report)
    }

    /// Latency and loss by peer node, filtered and sorted.
    pub(super) fn round_trips<'a>(&self, report: &'a Report) -> Vec<&'a TcpRow> {
        let lines = report.cost.iter().flat_map(|cost| &cost.tcp).collect();
        self.ordered(lines, &cost::tcp(), cost::tcp_words, Focus::RoundTrips, report)
    }

    /// CPUs, filtered and sorted.
    pub(super) fn softirqs<'a>(&self, report: &'a Report) -> Vec<&'a SoftirqRow> {
        let lines = report.cost.iter().flat_map(|cost| &cost.softirqs).collect();
        self.ordered(lines, &cost::softirqs(), cost::softirq_words, Focus::Softirqs, report)
    }
}

/// Draws the screen.
pub(super) fn draw(app: &App, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
    let Some(cost) = &report.cost else { return off(app, theme, frame, area) };
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
        table(app, *focus, report, theme, frame, area);
    }
    frame.render_widget(Text::from(remarks), lower);
}

/// One of its tables.
pub(super) fn table(app: &App, focus: Focus, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
    if report.cost.is_none() {
        return off(app, theme, frame, area);
    }
    match focus {
        Focus::RoundTrips => {
            listing::draw(app, focus, &cost::tcp(), &app.round_trips(report), theme, frame, area);
        }
        Focus::Softirqs => {
            listing::draw(app, focus, &cost::softirqs(), &app.softirqs(report), theme, frame, area);
        }
        _ => listing::draw(app, focus, &cost::spans(), &app.spans(report), theme, frame, area),
    }
}

/// What is said where nothing is measured.
fn off(app: &App, theme: Theme, frame: &mut Frame, area: Rect) {
    let how = match app.options.origin {
        Origin::Live => "not measured: c begins it, --cost from the start",
        Origin::Recording => "not measured: the recording was made without --cost",
    };
    let cost = "programs at tracepoints that all packets of the node pass are loaded then";
    let live = app.options.origin == Origin::Live;
    let wrapped = |text: &str, style| {
        wrap(text, usize::from(area.width)).into_iter().map(move |line| Line::styled(line, style))
    };
    let mut lines = vec![Line::styled("  Cost of encapsulation", theme.title(false))];
    lines.extend(wrapped(how, Style::new()));
    lines.extend(wrapped(cost, theme.dim()).filter(|_| live));
    frame.render_widget(Text::from(lines), area);
}

/// What the figures leave out, or else how they were measured: a line.
pub(super) fn brief(report: &Report, theme: Theme, width: u16) -> Vec<Line<'static>> {
    let Some(cost) = &report.cost else { return Vec::new() };
    let mut remarks = cost::remarks(cost);
    let others = remarks.len().saturating_sub(1);
    let text = match others {
        0 => remarks.swap_remove(0),
        1 => remarks.swap_remove(1),
        _ => format!("{others} remarks (on a larger screen)"),
    };
    wrap(&units::printable(&text), usize::from(width))
        .into_iter()
        .map(|line| Line::styled(line, theme.dim()))
        .collect()
}

/// How much was measured, what the measurement took, and what could not be.
fn remarks(report: &CostReport, theme: Theme, width: u16) -> Vec<Line<'static>> {
    let mut remarks = cost::remarks(report);
    if remarks.len() > REMARKS {
        let more = remarks.len() - REMARKS + 1;
        remarks.truncate(REMARKS - 1);
        remarks.push(format!("and {more} more: observer stat --cost"));
    }
    let line = |remark: String| {
        let text = crate::view::grid::fit(&units::printable(&remark), usize::from(width), false);
        Line::styled(text.trim_end().to_owned(), theme.dim())
    };
    remarks.into_iter().map(line).collect()
}

/// Heights of three tables: what each needs, if there is room; otherwise the focused one gets what the
/// others can spare. The last takes what is over.
fn shares(height: u16, needs: [u16; 3], focused: usize) -> [u16; 3] {
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
    fn heights_are_shared_and_used_up() {
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
