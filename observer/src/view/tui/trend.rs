//! Key figures of the node, and its overhead ratio over time.

use observer_common::counters::Total;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Sparkline, SparklineBar};

use super::app::App;
use super::history::Tick;
use super::theme::Theme;
use crate::model::{Figures, Report, State};
use crate::view::units;

/// Intervals in the chart.
const TICKS: usize = 120;
/// Width and number of the lines next to the chart.
const TEXT: u16 = 36;
pub(super) const LINES: u16 = 4;
/// Resolution of the chart.
pub(super) const FULL: u64 = 10_000;

/// Draws figures and chart, or only the figures on a narrow screen.
pub(super) fn draw(app: &App, theme: Theme, frame: &mut Frame, area: Rect) {
    let ticks: Vec<Tick> = app.history.last(TICKS, app.behind).copied().collect();
    let [text_area, chart_area] =
        Layout::horizontal([Constraint::Length(TEXT), Constraint::Min(0)]).areas(area);
    frame.render_widget(Text::from(figures(app, &ticks, theme)), text_area);
    if chart_area.width < 10 {
        return;
    }
    let width = usize::from(chart_area.width);
    let ratios: Vec<Option<f64>> =
        ticks[ticks.len().saturating_sub(width)..].iter().map(|tick| tick.ratio).collect();
    let bars = scaled(&ratios);
    let sparkline =
        Sparkline::default().data(bars).max(FULL).absent_value_symbol("·").absent_value_style(theme.dim());
    frame.render_widget(sparkline, chart_area);
}

fn figures(app: &App, ticks: &[Tick], theme: Theme) -> Vec<Line<'static>> {
    let Some(report) = &app.report else { return Vec::new() };
    let known = || ticks.iter().filter_map(|tick| tick.ratio);
    let (least, most) = (known().reduce(f64::min), known().reduce(f64::max));
    vec![
        overhead(report, theme),
        Line::styled(volumes(app, report).join(" of "), theme.dim()),
        misfits(app, report, theme),
        Line::styled(format!("range {} to {}", units::percent(least), units::ratio(most)), theme.dim()),
    ]
}

/// The key figures in two lines.
pub(super) fn brief(app: &App, report: &Report, theme: Theme, width: u16) -> Vec<Line<'static>> {
    let mut first = overhead(report, theme);
    let [overhead, wire] = volumes(app, report);
    let room = usize::from(width).saturating_sub(first.width());
    let volumes = [format!(", {overhead} of {wire}"), format!(", wire {wire}")];
    first.spans.extend(volumes.into_iter().find(|text| text.chars().count() <= room).map(Span::raw));
    vec![first, misfits(app, report, theme)]
}

fn overhead(report: &Report, theme: Theme) -> Line<'static> {
    let underlay = report.underlay();
    let ratio = underlay.and_then(|sum| sum.figures.overhead_ratio());
    let incomplete = if underlay.is_some_and(|sum| !sum.complete) { " (incomplete)" } else { "" };
    Line::from(vec![
        Span::raw("overhead "),
        Span::styled(units::ratio(ratio), theme.strong()),
        Span::raw(incomplete),
    ])
}

/// Overhead and wire bytes of the underlay, as rates or counts like in the tables.
fn volumes(app: &App, report: &Report) -> [String; 2] {
    let form = app.form(report);
    let sum = report.underlay();
    let volume = |bytes: fn(&Figures) -> u64| {
        let state = if sum.is_some_and(|sum| sum.complete) { State::Measured } else { State::Lost };
        form.volume(state, sum.map(|sum| bytes(&sum.figures))).text
    };
    let overhead = volume(Figures::overhead_bytes);
    let wire = volume(|figures| figures.get(Total::WireBytes));
    [overhead, wire].map(|volume| with_unit(&volume, form.volume_unit()))
}

/// Fragments on the underlay, and packets that do not fit.
pub(super) fn misfits(app: &App, report: &Report, theme: Theme) -> Line<'static> {
    let form = app.form(report);
    let underlay = report.underlay().map(|sum| (sum.figures.fragments(), sum.complete));
    let too_big = report.too_big().map(|sum| (sum.packets, sum.complete));
    let figure = |count: Option<(u64, bool)>| {
        let Some((count, complete)) = count else { return Span::raw(units::UNKNOWN) };
        let cell = form.count(State::Measured, Some(count)).notice_if_any();
        match (complete, count) {
            (true, _) => Span::styled(format!("{}{}", cell.text, form.count_unit()), theme.tone(cell.tone)),
            // Zero, but not everything was measured.
            (false, 0) => Span::raw(units::UNKNOWN),
            (false, _) => Span::styled(format!("≥{}{}", cell.text, form.count_unit()), theme.tone(cell.tone)),
        }
    };
    let (fragments, too_big) = (figure(underlay), figure(too_big));
    Line::from(vec![Span::raw("fragments "), fragments, Span::raw(", too big "), too_big])
}

/// A short number with the unit of its column: `1.23 Mbit/s`; none if unknown.
pub(super) fn with_unit(number: &str, unit: &str) -> String {
    if number == units::UNKNOWN || unit.is_empty() {
        return number.to_owned();
    }
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    format!("{digits} {}{unit}", &number[digits.len()..])
}

/// Bars from 0 to the largest value. Unknown values are gaps; values above 0 are always visible.
pub(super) fn scaled(values: &[Option<f64>]) -> Vec<SparklineBar> {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    values.iter().map(|value| SparklineBar::from(value.map(|value| height(value, most)))).collect()
}

/// Bytes per second in the selected unit.
pub(super) fn rate(app: &App, bytes: f64) -> String {
    if app.options.bits { units::bit_rate(bytes) } else { units::si_unit(bytes, "B/s") }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "between 0 and FULL"
)]
fn height(ratio: f64, most: f64) -> u64 {
    if ratio <= 0.0 || most <= 0.0 { 0 } else { ((ratio / most * FULL as f64) as u64).max(1) }
}
