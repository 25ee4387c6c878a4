//! The text table of `observer stat`.

use std::fmt::Write;

use observer_common::counters::{Event, FIRST_REASON};
use observer_common::kind::Direction;

use super::grid::{Cell, Column, Form, GAP, Tone, fit, layout};
use super::{columns, cost as costs, units};
use crate::model::{DeviceRow, Report};
use crate::snapshot::{Hook, UnknownPeer};

/// What the table shows, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// With the paths and the unknown peers.
    pub paths: bool,
    /// At most so many paths; `None`: all.
    pub top: Option<usize>,
    /// Characters in a line; 0: no limit.
    pub width: usize,
    /// Per second; otherwise what the interval added.
    pub rates: bool,
    /// Bits; otherwise bytes.
    pub bits: bool,
    /// With ANSI colours.
    pub colour: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { paths: false, top: None, width: 0, rates: true, bits: true, colour: false }
    }
}

/// A report as text, with a final newline.
#[must_use]
pub fn report(report: &Report, options: &TableOptions) -> String {
    with(report, options, "")
}

/// The same with an addition after the first line.
pub(super) fn with(report: &Report, options: &TableOptions, addition: &str) -> String {
    let form = Form { rates: options.rates, bits: options.bits, interval: report.interval };
    let mut text = header(report, options) + addition;
    section(
        &mut text,
        options,
        "Devices",
        &device_columns(),
        &report.devices.iter().collect::<Vec<_>>(),
        &form,
    );
    section(&mut text, options, "Traffic", &columns::lines(), &report.lines(), &form);
    if options.paths {
        paths(&mut text, report, options, &form);
        if !report.unknown_peers.is_empty() {
            let unknown_peers: Vec<&UnknownPeer> = report.unknown_peers.iter().collect();
            let title = "Tunnel peers that are no known nodes (in total)";
            let total = Form { rates: false, ..form };
            section(&mut text, options, title, &unknown_peer_columns(), &unknown_peers, &total);
        }
    }
    malformed(&mut text, report, options);
    cost(&mut text, report, options, &form);
    if !report.notes.is_empty() {
        text.push('\n');
    }
    for note in &report.notes {
        let label = paint("incomplete:", Tone::Alarm, options.colour);
        let _ = writeln!(text, "{label} {}", units::printable(note));
    }
    text
}

fn header(report: &Report, options: &TableOptions) -> String {
    let share = match report.underlay() {
        Some(sum) if sum.complete => units::ratio(sum.figures.overhead_ratio()),
        Some(sum) => format!("{} (incomplete)", units::ratio(sum.figures.overhead_ratio())),
        None => units::UNKNOWN.to_owned(),
    };
    let covers = if options.rates { "rates over" } else { "totals over" };
    // A capture may have no time stamps.
    let time = if report.taken.is_zero() {
        "an unknown time".to_owned()
    } else {
        format!("{} to {}", units::duration(report.interval), units::time_of_day(report.taken))
    };
    format!(
        "{}  {}  {covers} {time}  overhead on the underlay {share}\n",
        strong(&units::printable(&report.node), options.colour),
        units::printable(&report.origin),
    )
}

fn paths(text: &mut String, report: &Report, options: &TableOptions, form: &Form) {
    let mut lines = report.path_lines();
    let all = lines.len();
    lines.truncate(options.top.unwrap_or(all));
    let title = if lines.len() < all {
        format!("Paths (the first {} of {all}, by wire bytes)", lines.len())
    } else {
        "Paths".to_owned()
    };
    let mut columns = columns::paths();
    if lines.iter().any(|line| line.ends().is_some()) {
        columns[0].title = "SOURCE → DESTINATION";
    }
    section(text, options, &title, &columns, &lines, form);
}

/// What encapsulation costs, where it was asked for.
fn cost(text: &mut String, report: &Report, options: &TableOptions, form: &Form) {
    let Some(cost) = &report.cost else { return };
    let spans: Vec<_> = cost.spans.iter().collect();
    section(text, options, "Encapsulation", &costs::spans(), &spans, form);
    let softirqs: Vec<_> = cost.softirqs.iter().collect();
    if !softirqs.is_empty() {
        section(text, options, "Network softirqs, share of a CPU", &costs::softirqs(), &softirqs, form);
    }
    let tcp: Vec<_> = cost.tcp.iter().collect();
    section(text, options, "Latency and loss by peer node", &costs::tcp(), &tcp, form);
    for remark in costs::remarks(cost) {
        let _ = writeln!(text, "  {}", units::printable(&remark));
    }
}

fn malformed(text: &mut String, report: &Report, options: &TableOptions) {
    let mut found = Vec::new();
    for device in &report.devices {
        for direction in Direction::ALL {
            for event in &Event::ALL[FIRST_REASON..] {
                let count = device.events[direction as usize][*event as usize];
                if count != 0 {
                    let direction = device.device.known_direction(direction);
                    found.push((device.device.name.as_str(), direction, *event, count));
                }
            }
        }
    }
    if found.is_empty() {
        return;
    }
    type Entry<'a> = (&'a str, Option<Direction>, Event, u64);
    let columns: Vec<Column<Entry>> = vec![
        plain("DEVICE", |entry, _| Cell::text(entry.0)),
        plain("DIR", |entry, _| columns::direction(entry.1)),
        plain("REASON", |entry, _| Cell::text(entry.2.label())),
        number("PACKETS", |entry, _| Cell::text(entry.3.to_string())),
    ];
    let form = Form { rates: false, bits: false, interval: report.interval };
    section(text, options, "Malformed packets over the interval", &columns, &found, &form);
}

pub(super) fn plain<T>(title: &'static str, cell: fn(&T, &Form) -> Cell) -> Column<T> {
    Column { title, unit: |_| "", right: false, rank: 0, cell }
}

pub(super) fn number<T>(title: &'static str, cell: fn(&T, &Form) -> Cell) -> Column<T> {
    Column { title, unit: |_| "", right: true, rank: 0, cell }
}

fn hook(hook: Hook) -> Cell {
    let tone = if hook == Hook::Lost { Tone::Alarm } else { Tone::Plain };
    Cell::text(hook.label()).tone(tone)
}

fn bytes_or_unknown(bytes: u32) -> Cell {
    if bytes == 0 { Cell::unknown() } else { Cell::text(bytes.to_string()) }
}

fn device_columns<'a>() -> Vec<Column<&'a DeviceRow>> {
    vec![
        plain("NAME", |row, _| Cell::text(&row.device.name)),
        plain("ROLE", |row, _| Cell::text(row.device.role.label())),
        Column { rank: 4, ..plain("KIND", |row, _| kind(row)) },
        number("MTU", |row, _| bytes_or_unknown(row.device.mtu)),
        plain("TUNNEL", |row, _| tunnel(row)),
        Column {
            rank: 3,
            unit: |_| "B",
            ..number("ADDS", |row, _| {
                row.device.tunnel.map_or_else(blank, |tunnel| bytes_or_unknown(tunnel.overhead))
            })
        },
        Column {
            rank: 2,
            unit: |_| "MTU",
            ..number("UNDERLAY", |row, _| {
                row.device
                    .tunnel
                    .map_or_else(blank, |tunnel| bytes_or_unknown(tunnel.underlay_mtu.unwrap_or(0)))
            })
        },
        plain("INGRESS", |row, _| hook(row.device.hooks[0])),
        plain("EGRESS", |row, _| hook(row.device.hooks[1])),
        Column { rank: 1, unit: |_| "seen", ..number("PTB", |row, _| ptb(row)) },
    ]
}

fn blank() -> Cell {
    Cell::text("")
}

fn kind(row: &DeviceRow) -> Cell {
    if row.device.kind.is_empty() { Cell::text("hardware") } else { Cell::text(&row.device.kind) }
}

fn tunnel(row: &DeviceRow) -> Cell {
    match row.device.tunnel {
        None => blank(),
        Some(tunnel) => match tunnel.vni {
            Some(vni) => Cell::text(format!("{} VNI {vni}", tunnel.class.label())),
            None => Cell::text(tunnel.class.label()),
        },
    }
}

#[expect(clippy::cast_precision_loss, reason = "for sorting only")]
fn ptb(row: &DeviceRow) -> Cell {
    if row.device.hooks.iter().all(|hook| matches!(hook, Hook::None | Hook::Lost | Hook::Gone)) {
        return Cell::unknown();
    }
    let count: u64 =
        row.events.iter().map(|events| events[Event::PtbV4 as usize] + events[Event::PtbV6 as usize]).sum();
    Cell::number(count as f64, count.to_string()).notice_if_any()
}

fn unknown_peer_columns<'a>() -> Vec<Column<&'a UnknownPeer>> {
    vec![
        plain("ADDRESS", |row, _| Cell::address(row.id.peer)),
        plain("DEVICE", |row, _| Cell::text(&row.id.device)),
        plain("DIR", |row, _| Cell::text(row.id.direction.label())),
        plain("ENCAP", |row, _| Cell::text(row.id.class.label())),
        number("VNI", |row, _| Cell::text(columns::vni(row.id.vni))),
        number("PACKETS", |row, _| Cell::text(row.packets.to_string())),
        Column {
            unit: Form::volume_unit,
            ..number("WIRE", |row, form| form.volume(crate::model::State::Measured, Some(row.wire_bytes)))
        },
    ]
}

pub(super) fn section<T>(
    text: &mut String,
    options: &TableOptions,
    title: &str,
    columns: &[Column<T>],
    lines: &[T],
    form: &Form,
) {
    let _ = writeln!(text, "\n{}", strong(title, options.colour));
    if lines.is_empty() {
        text.push_str("  none\n");
        return;
    }
    let rows: Vec<Vec<Cell>> =
        lines.iter().map(|line| columns.iter().map(|column| (column.cell)(line, form)).collect()).collect();
    let indent = 2;
    let width = if options.width == 0 { 0 } else { options.width.saturating_sub(indent).max(1) };
    let layout = layout(columns, &rows, form, width);
    let mut put = |cells: Vec<String>| {
        let line = format!("{:indent$}{}", "", cells.join(&" ".repeat(GAP)));
        let _ = writeln!(text, "{}", line.trim_end());
    };
    let heads: [fn(&Column<T>, &Form) -> &'static str; 2] = [|c, _| c.title, |c, form| (c.unit)(form)];
    for head in heads {
        let cells: Vec<&str> = layout.shown.iter().map(|(index, _)| head(&columns[*index], form)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            put(layout
                .shown
                .iter()
                .zip(cells)
                .map(|((i, w), cell)| fit(cell, *w, columns[*i].right))
                .collect());
        }
    }
    for row in &rows {
        let cell = |(index, width): &(usize, usize)| {
            let fitted = fit(&row[*index].text, *width, columns[*index].right);
            paint(&fitted, row[*index].tone, options.colour)
        };
        put(layout.shown.iter().map(cell).collect());
    }
}

pub(super) fn strong(text: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Colours of the terminal's own palette that are readable on dark and on light.
pub(super) fn paint(text: &str, tone: Tone, colour: bool) -> String {
    match tone {
        Tone::Notice if colour => format!("\u{1b}[1;35m{text}\u{1b}[0m"),
        Tone::Alarm if colour => format!("\u{1b}[1;31m{text}\u{1b}[0m"),
        _ => text.to_owned(),
    }
}
