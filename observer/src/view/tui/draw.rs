//! Where everything stands on the screen, from wide to tiny.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};

use super::app::App;
use super::tab::{Focus, Tab};
use super::theme::Theme;
use super::{cost, detail, footer, fragments, header, health, help, listing, sizes, trend};
use crate::model::Report;
use crate::view::columns;

/// Below this height only the most important figures and the focused table are shown.
const SMALL: u16 = 16;
/// Lines of a table that stay where figures stand above it.
const LINES: u16 = 2;
/// Lines of a table's title and header.
pub(super) const TABLE_HEAD: u16 = 3;

impl App {
    /// Draws everything. The screen may have any size.
    pub fn draw(&self, frame: &mut Frame) {
        let area = frame.area();
        let theme = Theme::new(self.options.colour);
        let small = area.height < SMALL;
        let warnings = footer::warnings(self, theme, area.width, if small { 2 } else { 3 });
        let warning_height = u16::try_from(warnings.len()).unwrap_or(u16::MAX);
        let [top, body, warning, bottom] = Layout::vertical([
            Constraint::Length(if small { 1 } else { 2 }),
            Constraint::Min(1),
            Constraint::Length(warning_height),
            Constraint::Length(1),
        ])
        .areas(area);
        header::draw(self, theme, frame, top);
        match &self.report {
            None => header::waiting(theme, frame, body),
            Some(report) if small && self.detail.is_none() && self.tab != Tab::Sizes => {
                self.small(report, theme, frame, body);
            }
            Some(report) => self.body(report, theme, frame, body),
        }
        frame.render_widget(Text::from(warnings), warning);
        footer::draw(self, theme, frame, bottom);
        if self.help {
            help::draw(&self.help_top, theme, frame, area);
        }
    }

    fn body(&self, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
        if let Some(path) = &self.detail {
            return detail::draw(self, path, report, theme, frame, area);
        }
        match self.tab {
            Tab::Fragmentation => fragments::draw(self, report, theme, frame, area),
            Tab::Sizes => sizes::draw(self, report, theme, frame, area),
            Tab::Health => health::draw(self, report, theme, frame, area),
            Tab::Cost => cost::draw(self, report, theme, frame, area),
            Tab::Paths => self.table(Focus::Paths, report, theme, frame, area),
            Tab::Overview => self.overview(report, theme, frame, area),
        }
    }

    /// Where there is little room: a few lines of figures, and the table in focus.
    fn small(&self, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
        let mut lines = match self.tab {
            Tab::Overview => {
                let mut lines: Vec<Line> = header::wrong(report, theme, area.width).into_iter().collect();
                lines.extend(trend::brief(self, report, theme, area.width));
                lines
            }
            Tab::Fragmentation => fragments::brief(self, report, theme, area.width),
            Tab::Health => health::brief(self, report, theme, area.width),
            Tab::Cost => cost::brief(report, theme, area.width),
            Tab::Paths | Tab::Sizes => Vec::new(),
        };
        let table = if area.height > TABLE_HEAD { TABLE_HEAD + LINES } else { 0 };
        lines.truncate(usize::from(area.height.saturating_sub(table)));
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        let [upper, lower] = Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
        frame.render_widget(Text::from(lines), upper);
        self.table(self.focus, report, theme, frame, lower);
    }

    fn overview(&self, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
        let devices = header::devices(report, theme, area.width, if area.height < 30 { 3 } else { 8 });
        let trend_height = if area.height < 30 { trend::LINES } else { 6 };
        let [devices_area, trend_area, tables] = Layout::vertical([
            Constraint::Length(u16::try_from(devices.len()).unwrap_or(u16::MAX)),
            Constraint::Length(trend_height),
            Constraint::Min(2 * TABLE_HEAD),
        ])
        .areas(area);
        frame.render_widget(Text::from(devices), devices_area);
        trend::draw(self, theme, frame, trend_area);
        let (traffic, paths) = split(
            tables.height,
            self.count(Focus::Traffic),
            self.count(Focus::Paths),
            self.focus == Focus::Paths,
        );
        let [upper, lower] =
            Layout::vertical([Constraint::Length(traffic), Constraint::Length(paths)]).areas(tables);
        self.table(Focus::Traffic, report, theme, frame, upper);
        self.table(Focus::Paths, report, theme, frame, lower);
    }

    pub(super) fn table(&self, focus: Focus, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
        match focus {
            Focus::Traffic | Focus::Sizes => {
                let lines = self.traffic(focus, report);
                listing::draw(self, focus, &columns::lines(), &lines, theme, frame, area);
            }
            Focus::Paths => {
                let lines = self.paths(focus, report);
                listing::draw(self, focus, &columns::paths(), &lines, theme, frame, area);
            }
            Focus::Fragments => {
                let lines = self.traffic(focus, report);
                listing::draw(self, focus, &fragments::lines(), &lines, theme, frame, area);
            }
            Focus::FragmentedPaths => {
                let lines = self.paths(focus, report);
                listing::draw(self, focus, &fragments::paths(), &lines, theme, frame, area);
            }
            Focus::Hooks => {
                let lines = self.hooks(report);
                listing::draw(self, focus, &health::hooks(), &lines, theme, frame, area);
            }
            Focus::Spans | Focus::RoundTrips | Focus::Softirqs => {
                cost::table(self, focus, report, theme, frame, area);
            }
        }
    }
}

/// Heights of the two tables: what both need, if there is room; otherwise the focused one gets more.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_shared_and_used_up() {
        assert_eq!(split(40, 10, 5, false), (13, 27));
        assert_eq!(split(20, 100, 100, false), (12, 8));
        assert_eq!(split(20, 100, 100, true), (8, 12));
        assert_eq!(split(20, 100, 2, false), (15, 5));
        for height in 0..10 {
            let (upper, lower) = split(height, 7, 7, true);
            assert_eq!(upper + lower, height);
        }
    }
}
