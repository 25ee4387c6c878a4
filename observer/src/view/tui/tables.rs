//! Which columns and lines each table draws.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Text};

use super::app::App;
use super::feed::Origin;
use super::tab::Focus;
use super::theme::Theme;
use super::{columns as own, listing};
use crate::model::Report;
use crate::view::grid::wrap;
use crate::view::{columns, cost};

impl App {
    /// Draws one table.
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
                listing::draw(self, focus, &own::fragments(), &lines, theme, frame, area);
            }
            Focus::FragmentedPaths => {
                let lines = self.paths(focus, report);
                listing::draw(self, focus, &own::fragmented_paths(), &lines, theme, frame, area);
            }
            Focus::Hooks => {
                let lines = self.hooks(report);
                listing::draw(self, focus, &own::hooks(), &lines, theme, frame, area);
            }
            _ if report.cost.is_none() => cost_not_measured(self, theme, frame, area),
            Focus::Spans => {
                let lines = self.spans(report);
                listing::draw(self, focus, &cost::spans(), &lines, theme, frame, area);
            }
            Focus::RoundTrips => {
                let lines = self.round_trips(report);
                listing::draw(self, focus, &cost::tcp(), &lines, theme, frame, area);
            }
            Focus::Softirqs => {
                let lines = self.softirqs(report);
                listing::draw(self, focus, &cost::softirqs(), &lines, theme, frame, area);
            }
        }
    }
}

/// The empty state of the Cost screen.
pub(super) fn cost_not_measured(app: &App, theme: Theme, frame: &mut Frame, area: Rect) {
    let how = match app.options.origin {
        Origin::Live => "not measured: press c to start, or run observer top --cost",
        Origin::Recording => "not measured: the recording was made without --cost",
    };
    let cost = "this loads programs at tracepoints that all packets of the node pass";
    let live = app.options.origin == Origin::Live;
    let wrapped = |text: &str, style| {
        wrap(text, usize::from(area.width)).into_iter().map(move |line| Line::styled(line, style))
    };
    let mut lines = vec![Line::styled("  Cost of encapsulation", theme.title(false))];
    lines.extend(wrapped(how, Style::new()));
    lines.extend(wrapped(cost, theme.dim()).filter(|_| live));
    frame.render_widget(Text::from(lines), area);
}
