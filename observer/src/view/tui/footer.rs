//! The footer: keys, the filter while it is typed, and warnings.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::app::App;
use super::feed::Origin;
use super::tab::{Focus, Tab};
use super::theme::Theme;
use crate::view::grid::{Tone, fit, wrap};
use crate::view::units;

const KEYS: [(&str, &str); 10] = [
    ("q", "quit"),
    ("?", "help"),
    ("p", "pause"),
    ("1-6", "screen"),
    ("/", "filter"),
    ("s", "sort"),
    ("r", "reverse"),
    ("Tab", "table"),
    ("t", "rates/counts"),
    ("+-", "interval/speed"),
];
const PATH_KEYS: [(&str, &str); 1] = [("Enter", "details")];
const DETAIL_KEYS: [(&str, &str); 1] = [("Esc", "back")];
const PAUSED_KEYS: [(&str, &str); 2] = [("←→", "step"), ("p", "resume")];
const HEALTH_KEYS: [(&str, &str); 1] = [("c", "program cost")];
const COST_KEYS: [[(&str, &str); 1]; 2] = [[("c", "measure")], [("c", "stop measuring")]];
const SIZES_KEYS: [(&str, &str); 2] = [("m", "MTU"), ("v", "IPv4/IPv6")];

/// Warnings, most important first, in at most `room` lines; the last line counts those that do not fit.
pub(super) fn warnings(app: &App, theme: Theme, width: u16, room: usize) -> Vec<Line<'static>> {
    let failure = app.failure.iter().map(|why| format!("stale: {why}"));
    let remark = app.remark.iter().cloned();
    let notes = app.report.iter().flat_map(|report| &report.notes).map(|note| format!("incomplete: {note}"));
    let texts: Vec<String> = failure.chain(remark).chain(notes).map(|text| units::printable(&text)).collect();
    if texts.is_empty() {
        return Vec::new();
    }
    let width = usize::from(width);
    let mut lines: Vec<String> = texts.iter().flat_map(|text| wrap(text, width)).collect();
    if lines.len() > room {
        // One line each; the last line counts the others.
        let whole = if texts.len() > room { room.saturating_sub(1) } else { room };
        let more = texts.len() - whole.min(texts.len());
        lines = texts.iter().take(whole).map(|text| fit(text, width, false).trim_end().to_owned()).collect();
        if more != 0 {
            lines.push(format!("and {more} more warnings"));
        }
    }
    lines.into_iter().map(|line| Line::styled(line, theme.tone(Tone::Alarm))).collect()
}

/// Draws keys, or the filter.
pub(super) fn draw(app: &App, theme: Theme, frame: &mut Frame, area: Rect) {
    let line = if app.filtering {
        Line::from(vec![
            Span::styled("filter: ", theme.strong()),
            Span::raw(format!("{}▏", app.filter)),
            Span::styled("  Enter: apply, Esc: clear", theme.dim()),
        ])
    } else {
        keys(app, theme, area.width)
    };
    frame.render_widget(line, area);
}

fn keys(app: &App, theme: Theme, width: u16) -> Line<'static> {
    let mut spans = Vec::new();
    let mut room = usize::from(width);
    if !app.filter.is_empty() {
        let text = format!("filter \"{}\" (Esc: clear)  ", app.filter);
        room = room.saturating_sub(text.chars().count());
        spans.push(Span::styled(text, theme.tone(Tone::Notice)));
    }
    let here: &[(&str, &str)] = match (app.paused, app.tab) {
        (true, _) => &PAUSED_KEYS,
        _ if app.detail.is_some() => &DETAIL_KEYS,
        (_, Tab::Health) if app.options.origin == Origin::Live => &HEALTH_KEYS,
        (_, Tab::Cost) if app.options.origin == Origin::Live => {
            &COST_KEYS[usize::from(app.report.as_ref().is_some_and(|report| report.cost.is_some()))]
        }
        (_, Tab::Sizes) => &SIZES_KEYS,
        _ if matches!(app.focus, Focus::Paths | Focus::FragmentedPaths) => &PATH_KEYS,
        _ => &[],
    };
    for (key, meaning) in here.iter().chain(&KEYS) {
        if app.paused && *meaning == "pause" {
            continue;
        }
        let needed = key.chars().count() + meaning.len() + 3;
        if needed > room {
            break;
        }
        room -= needed;
        spans.push(Span::styled(*key, theme.reverse()));
        spans.push(Span::raw(format!(" {meaning}  ")));
    }
    Line::from(spans)
}
