//! One path in both directions: figures and recent history.

use observer_common::counters::PathCounter;
use observer_common::kind::Direction;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Sparkline;

use super::app::App;
use super::path_history::Detail;
use super::theme::Theme;
use super::trend;
use crate::model::{PathLine, Report, State};
use crate::snapshot::{PathId, Vni};
use crate::view::grid::{Form, Tone, fit, wrap};
use crate::view::{columns, units};

/// Minimum height of the two charts.
const CURVES: usize = 4;
/// Widths of the name and the value of a figure; the same on narrow screens.
const WIDTHS: (usize, usize) = (26, 16);
const NARROW: (usize, usize) = (16, 12);
/// Lines that do not scroll.
const HEAD: usize = 2;

/// Draws the path instead of the tables.
pub(super) fn draw(app: &App, detail: &Detail, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
    let lines = report.path_lines();
    let of = |id: &PathId| lines.iter().find(|line| line.path.id == *id);
    let both = [of(&detail.ids[0]), of(&detail.ids[1])];
    let narrow = usize::from(area.width) < WIDTHS.0 + 2 * WIDTHS.1;
    let widths = if narrow { NARROW } else { WIDTHS };
    let width = usize::from(area.width);
    let mut figures = figures(both, &app.form(report), narrow, theme);
    let sizes = "sizes are counted per device; per path, only the largest packet is known";
    let sizes: Vec<Line> =
        wrap(sizes, width).into_iter().map(|line| Line::styled(line, theme.dim())).collect();
    // An empty line only if both charts still fit.
    if usize::from(area.height) > HEAD + figures.len() + sizes.len() + CURVES {
        figures.push(Line::raw(""));
    }
    figures.extend(sizes);
    let room = usize::from(area.height).saturating_sub(HEAD);
    let last = figures.len().saturating_sub(room);
    detail.top.set(detail.top.get().min(last));
    let mut text = head(detail, both, widths, last != 0, width, theme);
    text.extend(figures.into_iter().skip(detail.top.get()));
    let height = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let [upper, lower] = Layout::vertical([Constraint::Max(height), Constraint::Min(0)]).areas(area);
    frame.render_widget(Text::from(text), upper);
    if lower.height < 2 {
        return;
    }
    let halves: [Rect; 2] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(lower);
    for direction in Direction::ALL {
        curve(app, detail, direction, theme, frame, halves[direction as usize]);
    }
}

fn head(
    detail: &Detail,
    both: [Option<&PathLine>; 2],
    (name, figure): (usize, usize),
    more: bool,
    width: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let id = &detail.ids[0];
    let scope =
        both.iter().flatten().next().map_or("no traffic in this interval", |line| line.path.scope.label());
    let mut spans = vec![Span::styled(
        fit(&format!("▸ {}", id.peer), width, false).trim_end().to_owned(),
        theme.title(true),
    )];
    let vni = match id.vni {
        Vni::None => String::new(),
        vni => format!("VNI {}", columns::vni(vni)),
    };
    let facts =
        [id.class.label().to_owned(), scope.to_owned(), vni, format!("on {}", units::printable(&id.device))];
    let mut room = width.saturating_sub(spans[0].content.chars().count());
    for fact in facts.into_iter().filter(|fact| !fact.is_empty()) {
        let needed = fact.chars().count() + 2;
        if needed <= room {
            room -= needed;
            spans.push(Span::raw(format!("  {fact}")));
        }
    }
    let more = if more { "↑ ↓ for more" } else { "" };
    vec![
        Line::from(spans),
        Line::styled(format!("{more:<name$}{:>figure$}{:>figure$}", "INGRESS", "EGRESS"), theme.dim()),
    ]
}

/// The figures of both directions.
fn figures(both: [Option<&PathLine>; 2], form: &Form, narrow: bool, theme: Theme) -> Vec<Line<'static>> {
    let (width, figure) = if narrow { NARROW } else { WIDTHS };
    // Maxima always cover the time since counting began.
    let whole = Form { rates: false, ..*form };
    let mut rows: Vec<(&str, [(String, Tone); 2])> = Vec::new();
    for (index, column) in columns::paths().iter().enumerate().skip(6) {
        let name = match column.title {
            "PACKETS" => "packets",
            "WIRE" => "wire",
            "OVERHEAD" if index == 8 => "overhead",
            "OVERHEAD" => "overhead ratio",
            "FRAGM" => "fragments",
            "OVERSIZED" => "oversized",
            "W.FRAG" if narrow => "would fragment",
            "W.FRAG" => "would be fragmented",
            "W.DROP" => "would be dropped",
            "PTB" if narrow => "PTB (MTU)",
            "PTB" => "PTB messages (MTU)",
            other => other,
        };
        let unit = match column.title {
            "PTB" => "",
            _ => (column.unit)(form),
        };
        let cells = both.map(|line| match line {
            Some(line) => {
                let cell = (column.cell)(line, form);
                (if unit == "/s" { each(&cell.text) } else { trend::with_unit(&cell.text, unit) }, cell.tone)
            }
            None => (units::UNKNOWN.to_owned(), Tone::Plain),
        });
        rows.push((name, cells));
    }
    for (name, counter) in [
        (if narrow { "outer, first" } else { "outer fragments, first" }, PathCounter::OuterFirst),
        ("  middle", PathCounter::OuterMiddle),
        ("  last", PathCounter::OuterLast),
        ("inner fragments", PathCounter::Inner),
    ] {
        rows.push((name, both.map(|line| cell(line, form, counter))));
    }
    rows.push((
        if narrow { "largest, B" } else { "largest packet, B" },
        both.map(|line| match line {
            Some(line) if line.path.figures.get(PathCounter::Largest) != 0 => {
                cell(Some(line), &whole, PathCounter::Largest)
            }
            _ => (units::UNKNOWN.to_owned(), Tone::Plain),
        }),
    ));
    let lost = both.iter().flatten().any(|line| line.state != State::Measured);
    let mut lines: Vec<Line> = rows
        .into_iter()
        .map(|(name, cells)| {
            let mut spans = vec![Span::raw(fit(name, width, false))];
            for (text, tone) in cells {
                spans.push(Span::styled(fit(&text, figure, true), theme.tone(tone)));
            }
            Line::from(spans)
        })
        .collect();
    if lost {
        let why = "a hook is lost: traffic since then is unknown";
        lines.push(Line::styled(why, theme.tone(Tone::Alarm)));
    }
    lines
}

fn cell(line: Option<&PathLine>, form: &Form, counter: PathCounter) -> (String, Tone) {
    line.map_or((units::UNKNOWN.to_owned(), Tone::Plain), |line| {
        let cell = columns::counter(line, form, counter);
        (if form.rates { each(&cell.text) } else { cell.text }, cell.tone)
    })
}

/// A rate of a count.
fn each(number: &str) -> String {
    if number == units::UNKNOWN { number.to_owned() } else { format!("{number}/s") }
}

fn curve(app: &App, detail: &Detail, direction: Direction, theme: Theme, frame: &mut Frame, area: Rect) {
    let [caption, graph] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let end = detail.rates.len().saturating_sub(app.behind);
    let begin = end.saturating_sub(usize::from(area.width));
    let rates: Vec<Option<f64>> =
        detail.rates.range(begin..end).map(|rates| rates[direction as usize]).collect();
    let most = rates.iter().flatten().copied().reduce(f64::max);
    let scale = most.map_or_else(|| units::UNKNOWN.to_owned(), |most| trend::rate(app, most));
    let label = format!("{} wire rate, max {scale}, last {} intervals", direction.label(), rates.len());
    frame.render_widget(Line::styled(label, theme.dim()), caption);
    let bars = trend::scaled(&rates);
    let sparkline = Sparkline::default()
        .data(bars)
        .max(trend::FULL)
        .absent_value_symbol("·")
        .absent_value_style(theme.dim());
    frame.render_widget(sparkline, graph);
}
