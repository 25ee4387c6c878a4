//! The screen of fragments: who makes them, who receives them, and what would be cut or dropped.

use observer_common::counters::{Event, PathCounter, Total};
use observer_common::kind::Direction;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line as Text, Span};

use super::app::App;
use super::draw::split;
use super::tab::Focus;
use super::theme::Theme;
use crate::model::{Fragments, Line, PathLine, Report};
use crate::view::columns::{self, column, counter, no_unit, total};
use crate::view::grid::{Cell, Column, Form, Tone};
use crate::view::units;

/// The line has something to show here.
pub(super) fn any(line: &Line) -> bool {
    line.figures().is_none_or(|figures| {
        let others = [Total::WouldFragment, Total::WouldDrop, Total::OuterV6Atomic, Total::InnerV6Atomic];
        figures.fragments() != 0 || others.iter().any(|counter| figures.get(*counter) != 0)
    })
}

/// The path has something to show here.
pub(super) fn path_any(line: &PathLine) -> bool {
    let figures = &line.path.figures;
    let others =
        [PathCounter::WouldFragment, PathCounter::WouldDrop, PathCounter::Ptb, PathCounter::Oversized];
    figures.fragments() != 0 || others.iter().any(|counter| figures.get(*counter) != 0)
}

/// Fragments of one layer and position, both families.
fn at(line: &Line, form: &Form, layer: fn(&crate::model::Figures) -> Fragments, position: usize) -> Cell {
    let count = line.figures().map(|figures| {
        let fragments = layer(&figures);
        fragments.ipv4[position] + fragments.ipv6[position]
    });
    form.count(line.state, count).notice_if_any()
}

fn atomic(line: &Line, form: &Form) -> Cell {
    let count = line.figures().map(|f| f.outer_fragments().atomic + f.inner_fragments().atomic);
    form.count(line.state, count)
}

/// Fragments by device, direction and encapsulation.
pub(super) fn lines<'a>() -> Vec<Column<Line<'a>>> {
    const OUTER: fn(&crate::model::Figures) -> Fragments = crate::model::Figures::outer_fragments;
    const INNER: fn(&crate::model::Figures) -> Fragments = crate::model::Figures::inner_fragments;
    vec![
        column("DEVICE", no_unit, false, 0, |line, _| Cell::text(&line.device.device.name)),
        column("DIR", no_unit, false, 1, |line, _| Cell::text(line.direction.label())),
        column("ENCAP", no_unit, false, 0, |line, _| columns::encapsulation(line)),
        column("O.FIRST", Form::count_unit, true, 2, |line, form| at(line, form, OUTER, 0)),
        column("O.MID", Form::count_unit, true, 8, |line, form| at(line, form, OUTER, 1)),
        column("O.LAST", Form::count_unit, true, 5, |line, form| at(line, form, OUTER, 2)),
        column("I.FIRST", Form::count_unit, true, 6, |line, form| at(line, form, INNER, 0)),
        column("I.MID", Form::count_unit, true, 10, |line, form| at(line, form, INNER, 1)),
        column("I.LAST", Form::count_unit, true, 9, |line, form| at(line, form, INNER, 2)),
        column("ATOMIC", Form::count_unit, true, 11, atomic),
        column("HEADERS", Form::volume_unit, true, 7, |line, form| {
            form.volume(line.state, line.figures().map(|f| f.get(Total::FragmentationOverheadBytes)))
        }),
        column("W.FRAG", Form::count_unit, true, 4, |line, form| {
            total(line, form, Total::WouldFragment).notice_if_any()
        }),
        column("W.DROP", Form::count_unit, true, 3, |line, form| {
            total(line, form, Total::WouldDrop).notice_if_any()
        }),
    ]
}

fn noticed(line: &PathLine, form: &Form, which: PathCounter) -> Cell {
    counter(line, form, which).notice_if_any()
}

/// Fragments by path.
pub(super) fn paths<'a>() -> Vec<Column<PathLine<'a>>> {
    vec![
        column("PEER", no_unit, false, 0, |line, _| Cell::address(line.path.id.peer)),
        column("SCOPE", no_unit, false, 8, |line, _| Cell::text(line.path.scope.label())),
        column("DIR", no_unit, false, 1, |line, _| Cell::text(line.path.id.direction.label())),
        column("ENCAP", no_unit, false, 0, |line, _| columns::path_encapsulation(line)),
        column("DEVICE", no_unit, false, 10, |line, _| Cell::text(&line.path.id.device)),
        column("O.FIRST", Form::count_unit, true, 3, |l, f| noticed(l, f, PathCounter::OuterFirst)),
        column("O.MID", Form::count_unit, true, 9, |l, f| noticed(l, f, PathCounter::OuterMiddle)),
        column("O.LAST", Form::count_unit, true, 7, |l, f| noticed(l, f, PathCounter::OuterLast)),
        column("INNER", Form::count_unit, true, 6, |l, f| noticed(l, f, PathCounter::Inner)),
        column("OVERSIZED", Form::count_unit, true, 11, |l, f| noticed(l, f, PathCounter::Oversized)),
        column("W.FRAG", Form::count_unit, true, 5, |l, f| noticed(l, f, PathCounter::WouldFragment)),
        column("W.DROP", Form::count_unit, true, 4, |l, f| noticed(l, f, PathCounter::WouldDrop)),
        column("PTB", |_| "(MTU)", true, 2, |line, _| columns::ptb(line)),
    ]
}

/// Packets that do not fit and the messages about them, in a line each.
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

/// ICMP messages that say "too big", by device: those that quote a packet of a known path stand there too,
/// with their MTU.
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
            let name = if usize::from(width) < rest.len() + 16 { "too big " } else { "PTB messages " };
            lines.push(Text::from(vec![Span::styled(name, theme.tone(Tone::Notice)), Span::raw(rest)]));
        }
    }
    if lines.is_empty() {
        lines.push(Text::styled("no PTB messages in these figures", theme.dim()));
    }
    lines
}
