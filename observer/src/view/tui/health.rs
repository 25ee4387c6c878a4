//! The Health screen: Observer's hooks, tables and cost, and malformed packets.

use std::time::Duration;

use observer_common::counters::{Event, FIRST_REASON};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};

use super::app::App;
use super::feed::Origin;
use super::tab::Focus;
use super::theme::Theme;
use crate::model::{DeviceRow, Report};
use crate::view::grid::Tone;
use crate::view::units;

/// Below this width, labels and figures are not aligned.
const NARROW: u16 = 60;

/// The fullest table, malformed packets and this process, one line each.
pub(super) fn brief(app: &App, report: &Report, theme: Theme, width: u16) -> Vec<Line<'static>> {
    let fullest = fills(report).into_iter().max_by(|a, b| share(*a).total_cmp(&share(*b)));
    let mut lines: Vec<Line> =
        fullest.into_iter().map(|(name, used, room)| table_fill(name, used, room, theme, width)).collect();
    lines.push(malformed_line(report, theme, width));
    lines.push(process(app, width));
    lines
}

/// Draws the screen.
pub(super) fn draw(app: &App, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
    let mut text = fill(report, theme, area.width);
    text.push(malformed_line(report, theme, area.width));
    text.push(Line::raw(""));
    text.extend(cost(app, theme, area.width));
    let below = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let hooks = u16::try_from(app.count(Focus::Hooks)).unwrap_or(u16::MAX).saturating_add(4);
    let upper = hooks.min(area.height.saturating_sub(below).max(5)).min(area.height);
    let [upper, lower] = Layout::vertical([Constraint::Length(upper), Constraint::Min(0)]).areas(area);
    app.table(Focus::Hooks, report, theme, frame, upper);
    frame.render_widget(Text::from(text), lower);
}

/// The kernel's tables: name, entries, capacity.
fn fills(report: &Report) -> [(&'static str, u64, u64); 3] {
    let fill = report.fill;
    [
        ("path", fill.paths, fill.paths_capacity),
        ("peer", fill.peers, fill.peers_capacity),
        ("pod block", fill.blocks, fill.blocks_capacity),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn share((_, used, room): (&str, u64, u64)) -> f64 {
    if room == 0 { 0.0 } else { used as f64 / room as f64 }
}

fn fill(report: &Report, theme: Theme, width: u16) -> Vec<Line<'static>> {
    fills(report).into_iter().map(|(name, used, room)| table_fill(name, used, room, theme, width)).collect()
}

fn table_fill(name: &str, used: u64, room: u64, theme: Theme, width: u16) -> Line<'static> {
    let label = label(&format!("{name} table"), width);
    if room == 0 {
        return Line::raw(format!("{label}{used}, capacity unknown"));
    }
    let share = share((name, used, room));
    let tone = match share {
        share if share >= 0.95 => Tone::Alarm,
        share if share >= 0.8 => Tone::Notice,
        _ => Tone::Plain,
    };
    let mut spans = vec![Span::raw(label)];
    if width >= 70 {
        let cells = usize::try_from(used.saturating_mul(20).div_ceil(room)).unwrap_or(20).min(20);
        spans.push(Span::styled(format!("[{}{}] ", "#".repeat(cells), ".".repeat(20 - cells)), theme.dim()));
    }
    let word = if tone == Tone::Plain { "" } else { "  nearly full" };
    let text = format!("{used} of {room}, {}{word}", units::ratio(Some(share)));
    spans.push(Span::styled(text, theme.tone(tone)));
    Line::from(spans)
}

/// The label of a line, aligned if there is room.
fn label(words: &str, width: u16) -> String {
    if width < NARROW { format!("{words}: ") } else { format!("{words:<20}") }
}

fn malformed_line(report: &Report, theme: Theme, width: u16) -> Line<'static> {
    let label = label("malformed", width);
    let reasons: Vec<String> = Event::ALL
        .into_iter()
        .skip(FIRST_REASON)
        .filter_map(|reason| {
            let of = |row: &DeviceRow| row.events.iter().map(|events| events[reason as usize]).sum::<u64>();
            let count: u64 = report.devices.iter().map(of).sum();
            (count != 0).then(|| format!("{count} {}", reason.label()))
        })
        .collect();
    if reasons.is_empty() {
        return Line::styled(label + "none", theme.dim());
    }
    Line::from(vec![Span::raw(label), Span::styled(reasons.join(", "), theme.tone(Tone::Notice))])
}

fn cost(app: &App, theme: Theme, width: u16) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled("  Cost of Observer", theme.title(false))];
    let programs = &app.costs.programs;
    if programs.is_empty() {
        let how = match (app.options.origin, app.options.statistics) {
            (Origin::Recording, _) => "not in the recording",
            (Origin::Live, false) => "press c to measure",
            (Origin::Live, true) => "waiting for a second sample",
        };
        lines.push(Line::raw(format!("{}not measured ({how})", label("programs", width))));
    } else {
        lines.push(Line::styled(
            "program                      runs/s   ns/run   CPU, % of a core",
            theme.dim(),
        ));
        let (mut runs, mut time) = (0, Duration::ZERO);
        for program in programs {
            lines.push(Line::raw(program_line(
                &program.name,
                program.runs,
                program.run_time,
                app.costs.interval,
            )));
            runs += program.runs;
            time += program.run_time;
        }
        lines.push(Line::styled(program_line("all", runs, time, app.costs.interval), theme.strong()));
    }
    if app.options.statistics || !programs.is_empty() {
        let note = "including 20 to 30 ns of measurement overhead per run; press c to stop";
        lines.push(Line::styled(note, theme.dim()));
    }
    lines.push(process(app, width));
    lines
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn program_line(name: &str, runs: u64, time: Duration, interval: Duration) -> String {
    let rate = crate::model::per_second(runs, interval).map_or_else(unknown, units::si);
    let each = if runs == 0 { unknown() } else { units::si(time.as_nanos() as f64 / runs as f64) };
    let share = (!interval.is_zero()).then(|| time.as_secs_f64() / interval.as_secs_f64());
    format!("{:<24}  {rate:>9}  {each:>7}  {:>17}", units::printable(name), units::percent(share))
}

fn unknown() -> String {
    units::UNKNOWN.to_owned()
}

fn process(app: &App, width: u16) -> Line<'static> {
    let label = label("this process", width);
    let [earlier, Some(now)] = app.process else {
        return Line::raw(label + "not measured");
    };
    let share = earlier.and_then(|earlier| {
        let passed = now.at.checked_sub(earlier.at).filter(|passed| !passed.is_zero())?;
        Some(now.cpu.checked_sub(earlier.cpu)?.as_secs_f64() / passed.as_secs_f64())
    });
    let cpu = units::ratio(share);
    let unit = if share.is_some() { " of a core" } else { " CPU" };
    if width < NARROW {
        return Line::raw(format!("{label}{cpu}{unit}, {}", units::bytes(now.memory)));
    }
    Line::raw(format!(
        "{label}{cpu}{unit}, {} RAM, history {}/{}",
        units::bytes(now.memory),
        units::bytes(app.ring.bytes()),
        units::bytes(super::ring::BUDGET as u64)
    ))
}
