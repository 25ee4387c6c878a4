//! The overhead ratio over time.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Sparkline, SparklineBar};

use super::app::App;
use super::history::Tick;
use super::theme::Theme;
use crate::view::units;

/// Ticks in the curve.
const TICKS: usize = 120;
/// Width of the words beside the curve.
const WORDS: u16 = 30;
/// The curve's resolution.
pub(super) const FULL: u64 = 10_000;

/// Draws words and curve, or words only where the screen is narrow.
pub(super) fn draw(app: &App, theme: Theme, frame: &mut Frame, area: Rect) {
    let ticks: Vec<Tick> = app.history.last(TICKS, app.behind).copied().collect();
    let [words_area, curve_area] =
        Layout::horizontal([Constraint::Length(WORDS), Constraint::Min(0)]).areas(area);
    frame.render_widget(Text::from(words(app, &ticks, theme)), words_area);
    if curve_area.width < 10 {
        return;
    }
    let width = usize::from(curve_area.width);
    let ratios: Vec<Option<f64>> =
        ticks[ticks.len().saturating_sub(width)..].iter().map(|tick| tick.ratio).collect();
    let bars = scaled(&ratios);
    let sparkline = Sparkline::default()
        .data(bars)
        .max(FULL)
        .absent_value_symbol("·")
        .absent_value_style(theme.dim())
        .style(theme.curve());
    frame.render_widget(sparkline, curve_area);
}

fn words(app: &App, ticks: &[Tick], theme: Theme) -> Vec<Line<'static>> {
    let underlay = app.report.as_ref().and_then(crate::model::Report::underlay);
    let now = underlay.and_then(|sum| sum.figures.overhead_ratio());
    let incomplete = if underlay.is_some_and(|sum| !sum.complete) { " (incomplete)" } else { "" };
    let known = || ticks.iter().filter_map(|tick| tick.ratio);
    let most = known().reduce(f64::max);
    let least = known().reduce(f64::min);
    // Of what is shown, as the ratio is: that may be all since the start, or a step of the history.
    let last = app.report.as_ref().map(Tick::of).unwrap_or_default();
    let shown =
        |bytes: Option<f64>| bytes.map_or_else(|| units::UNKNOWN.to_owned(), |bytes| rate(app, bytes));
    vec![
        Line::from(vec![
            Span::raw("overhead "),
            Span::styled(units::ratio(now), theme.strong()),
            Span::raw(incomplete),
        ]),
        Line::styled(format!("{} of {}", shown(last.overhead), shown(last.wire)), theme.dim()),
        Line::styled(format!("range {} to {}", units::percent(least), units::ratio(most)), theme.dim()),
    ]
}

/// Bars from 0 to the largest value; what is unknown is a gap, what is there is never invisible.
pub(super) fn scaled(values: &[Option<f64>]) -> Vec<SparklineBar> {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    values.iter().map(|value| SparklineBar::from(value.map(|value| height(value, most)))).collect()
}

/// Bytes per second in the unit that was chosen.
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
