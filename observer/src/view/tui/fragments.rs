//! The Fragments screen: fragments and packets that do not fit, by device and by path.

use observer_common::counters::Event;
use observer_common::kind::Direction;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line as Text, Span};

use super::app::App;
use super::layout::split;
use super::tab::Focus;
use super::theme::Theme;
use crate::model::Report;
use crate::view::grid::Tone;
use crate::view::units;

/// Packets that do not fit and PTB messages, one line each.
pub(super) fn brief(app: &App, report: &Report, theme: Theme, width: u16) -> Vec<Text<'static>> {
    let mut lines = vec![super::trend::misfits(app, report, theme)];
    lines.extend(signals(app, report, theme, width).into_iter().take(2));
    lines
}

/// Draws the screen.
pub(super) fn draw(app: &App, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
    let signals = signals(app, report, theme, area.width);
    let height = u16::try_from(signals.len()).unwrap_or(u16::MAX).min(4);
    let [top, tables] = Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
    frame.render_widget(ratatui::text::Text::from(signals), top);
    let counts = (app.count(Focus::Fragments), app.count(Focus::FragmentedPaths));
    let (first, second) = split(tables.height, counts.0, counts.1, app.focus == Focus::FragmentedPaths);
    let [upper, lower] =
        Layout::vertical([Constraint::Length(first), Constraint::Length(second)]).areas(tables);
    app.table(Focus::Fragments, report, theme, frame, upper);
    app.table(Focus::FragmentedPaths, report, theme, frame, lower);
}

/// PTB messages by device. Those that quote a packet of a known path also appear at that path, with their MTU.
fn signals(app: &App, report: &Report, theme: Theme, width: u16) -> Vec<Text<'static>> {
    let form = app.form(report);
    let mut lines = vec![];
    for row in &report.devices {
        for direction in Direction::ALL {
            let events = &row.events[direction as usize];
            let counts = [("ICMPv4", Event::PtbV4), ("ICMPv6", Event::PtbV6)];
            let counts: Vec<String> = counts
                .into_iter()
                .map(|(name, event)| (name, events[event as usize]))
                .filter(|(_, count)| *count != 0)
                .map(|(name, count)| {
                    let cell = form.count(crate::model::State::Measured, Some(count));
                    format!("{name} {}{}", cell.text, form.count_unit())
                })
                .collect();
            if counts.is_empty() {
                continue;
            }
            let device = units::printable(&row.device.name);
            let rest = format!("{device} {}: {}", direction.label(), counts.join(", "));
            let name = if usize::from(width) < rest.len() + 16 { "PTB " } else { "PTB messages " };
            lines.push(Text::from(vec![Span::styled(name, theme.tone(Tone::Notice)), Span::raw(rest)]));
        }
    }
    if lines.is_empty() {
        lines.push(Text::styled("no PTB messages", theme.dim()));
    }
    lines
}
