//! Layout of the whole screen, from wide to tiny.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};

use super::app::App;
use super::layout::{TABLE_HEAD, split};
use super::tab::{Focus, Tab};
use super::theme::Theme;
use super::{cost, detail, footer, fragments, header, health, help, sizes, trend};
use crate::model::Report;

/// Below this height, only the key figures and the focused table are shown.
const SMALL: u16 = 16;
/// Minimum number of table lines below the key figures.
const LINES: u16 = 2;

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

    /// A small screen: a few lines of figures and the focused table.
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
}
