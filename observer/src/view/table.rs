//! The text table of `observer stat`.

use std::fmt::Write;

use observer_common::counters::{Event, FIRST_REASON};
use observer_common::kind::Direction;

use super::grid::{Cell, Column, Form, Tone};
use super::text::{number, paint, plain, section, strong};
use super::{columns, cost as costs, units};
use crate::model::{DeviceRow, Report};
use crate::snapshot::{Hook, UnknownPeer};

pub use super::text::TableOptions;

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
            let title = "Unknown tunnel peers (totals since counting began)";
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
    let covers = if options.rates { "rates" } else { "counts" };
    // A capture may have no timestamps.
    let time = if report.taken.is_zero() {
        "an unknown time".to_owned()
    } else {
        format!("{} until {}", units::duration(report.interval), units::time_of_day(report.taken))
    };
    format!(
        "{}  {}  {covers} over {time}  underlay overhead {share}\n",
        strong(&units::printable(&report.node), options.colour),
        units::printable(&report.origin),
    )
}

fn paths(text: &mut String, report: &Report, options: &TableOptions, form: &Form) {
    let mut lines = report.path_lines();
    let all = lines.len();
    lines.truncate(options.top.unwrap_or(all));
    let title = if lines.len() < all {
        format!("Paths (top {} of {all} by wire bytes)", lines.len())
    } else {
        "Paths".to_owned()
    };
    let mut columns = columns::paths();
    if lines.iter().any(|line| line.ends().is_some()) {
        columns[0].title = "SOURCE → DESTINATION";
    }
    section(text, options, &title, &columns, &lines, form);
}

/// The cost of encapsulation, if it was measured.
fn cost(text: &mut String, report: &Report, options: &TableOptions, form: &Form) {
    let Some(cost) = &report.cost else { return };
    let spans: Vec<_> = cost.spans.iter().collect();
    section(text, options, "Encapsulation", &costs::spans(), &spans, form);
    let softirqs: Vec<_> = cost.softirqs.iter().collect();
    if !softirqs.is_empty() {
        section(text, options, "Network softirqs by CPU", &costs::softirqs(), &softirqs, form);
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
    section(text, options, "Malformed packets in this interval", &columns, &found, &form);
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
            ..number("OVERHEAD", |row, _| {
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
        Column { rank: 1, unit: |_| "messages", ..number("PTB", |row, _| ptb(row)) },
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
