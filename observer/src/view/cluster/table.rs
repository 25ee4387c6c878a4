//! The fleet as text.

use std::fmt::Write as _;

use crate::fleet::{Fleet, ModeCount, Node, Pair, Progress, Route};
use crate::view::grid::{Cell, Column, Form, Tone};
use crate::view::text::{TableOptions, number, paint, plain, section, strong};
use crate::view::units;

/// Maximum number of listed nodes that have not switched yet.
const REMAINING: usize = 8;

/// The fleet as text, with a final newline.
#[must_use]
pub fn report(fleet: &Fleet, options: &TableOptions) -> String {
    let form = Form { rates: true, bits: options.bits, interval: fleet.window };
    let mut text = header(fleet, options, &form);
    let clusters = fleet.nodes.windows(2).any(|pair| pair[0].cluster != pair[1].cluster);
    let nodes: Vec<&Node> = fleet.nodes.iter().collect();
    section(&mut text, options, "Nodes", &node_columns(clusters), &nodes, &form);
    let modes: Vec<&ModeCount> = fleet.modes.iter().collect();
    section(&mut text, options, "Modes", &mode_columns(), &modes, &form);
    let routes: Vec<(&Route, f64)> =
        fleet.routes.iter().map(|route| (route, share(route, &fleet.routes))).collect();
    section(&mut text, options, "Routes to pod blocks of other nodes", &route_columns(), &routes, &form);
    if let Some(progress) = &fleet.progress {
        switch(&mut text, progress, options);
    }
    let pairs: Vec<&Pair> = fleet.pairs.iter().collect();
    let title = "Largest paths across subnets, as counted by the sender";
    section(&mut text, options, title, &pair_columns(clusters), &pairs, &form);
    if !fleet.notes.is_empty() {
        text.push('\n');
    }
    for note in &fleet.notes {
        let label = paint("incomplete:", Tone::Alarm, options.colour);
        let _ = writeln!(text, "{label} {}", units::printable(note));
    }
    text
}

fn header(fleet: &Fleet, options: &TableOptions, form: &Form) -> String {
    let silent = fleet.nodes.iter().filter(|node| !node.answering).count();
    let silent = if silent == 0 { String::new() } else { format!(", {silent} not reporting") };
    let plural = if fleet.nodes.len() == 1 { "" } else { "s" };
    format!(
        "{}{silent}  rates over {} until {}\n{} on underlay devices, overhead {}\n",
        strong(&format!("{} node{plural}", fleet.nodes.len()), options.colour),
        units::duration(fleet.window),
        units::time_of_day(fleet.taken),
        fleet.traffic.wire.map_or_else(
            || units::UNKNOWN.to_owned(),
            |wire| units::si_unit(wire * factor(form), form.volume_unit())
        ),
        units::ratio(fleet.traffic.overhead_ratio()),
    )
}

fn switch(text: &mut String, progress: &Progress, options: &TableOptions) {
    let _ = writeln!(text, "\n{}", strong(&format!("Switch to {}", progress.goal.label()), options.colour));
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let done = (progress.blocks != 0).then(|| progress.blocks_done as f64 / progress.blocks as f64);
    let _ = writeln!(
        text,
        "  {} of {} blocks done ({}), {} of {} nodes complete",
        progress.blocks_done,
        progress.blocks,
        units::ratio(done),
        progress.nodes_done,
        progress.nodes
    );
    if !progress.left.is_empty() {
        let more = progress.left.len().saturating_sub(REMAINING);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let names = progress.left[..progress.left.len().min(REMAINING)].join(", ");
        let _ = writeln!(text, "  remaining: {}{more}", units::printable(&names));
    }
}

/// The share of a route among those of the same family and scope.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn share(route: &Route, all: &[Route]) -> f64 {
    let same = all.iter().filter(|other| other.family == route.family && other.scope == route.scope);
    route.blocks as f64 / same.map(|other| other.blocks).sum::<u64>().max(1) as f64
}

fn factor(form: &Form) -> f64 {
    if form.bits { 8.0 } else { 1.0 }
}

fn volume(bytes: Option<f64>, form: &Form) -> Cell {
    bytes.map_or_else(Cell::unknown, |bytes| {
        let value = bytes * factor(form);
        Cell::number(value, units::si(value))
    })
}

fn rate(value: Option<f64>) -> Cell {
    value.map_or_else(Cell::unknown, |value| Cell::number(value, units::si(value)).notice_if_any())
}

fn percent(ratio: Option<f64>) -> Cell {
    ratio.map_or_else(Cell::unknown, |value| Cell::number(value, units::percent(ratio)))
}

#[expect(clippy::cast_precision_loss, reason = "for sorting only")]
fn whole(count: u64) -> Cell {
    Cell::number(count as f64, count.to_string())
}

fn text(text: &str) -> Cell {
    if text.is_empty() { Cell::unknown() } else { Cell::text(text) }
}

fn mode(node: &Node, family: &str) -> Cell {
    match node.modes.get(family) {
        None => Cell::unknown(),
        Some(mode) if mode == "mixed" => Cell::text(mode).tone(Tone::Notice),
        Some(mode) => Cell::text(mode),
    }
}

fn state(node: &Node) -> Cell {
    match (node.answering, node.hooks_lost) {
        (false, _) => Cell::text("no data").tone(Tone::Alarm),
        (true, None | Some(0)) => Cell::text("ok"),
        (true, Some(lost)) => Cell::text(format!("{lost} lost")).tone(Tone::Alarm),
    }
}

/// A column of numbers with a unit and a rank.
fn figure<T>(
    title: &'static str,
    unit: fn(&Form) -> &'static str,
    rank: u8,
    cell: fn(&T, &Form) -> Cell,
) -> Column<T> {
    Column { unit, rank, ..number(title, cell) }
}

fn node_columns<'a>(clusters: bool) -> Vec<Column<&'a Node>> {
    let mut columns = vec![
        plain("NODE", |node: &&Node, _| Cell::text(&node.name)),
        Column { rank: 1, ..plain("HOOKS", |node, _| state(node)) },
        plain("MODE", |node, _| mode(node, "ipv4")),
        Column { rank: 5, ..plain("MODE (IPv6)", |node, _| mode(node, "ipv6")) },
        figure("WIRE", Form::volume_unit, 2, |node, form| volume(node.traffic.wire, form)),
        figure("OVERHEAD", Form::volume_unit, 6, |node, form| volume(node.traffic.overhead, form)),
        figure("OVERHEAD", |_| "%", 0, |node, _| percent(node.traffic.overhead_ratio())),
        figure("FRAGM", Form::count_unit, 3, |node, _| rate(node.fragments)),
        figure("W.DROP", Form::count_unit, 4, |node, _| rate(node.would_drop)),
        figure("PTB", Form::count_unit, 7, |node, _| rate(node.ptb)),
        Column { rank: 8, ..plain("VERSION", |node, _| text(&node.version)) },
    ];
    if clusters {
        columns.insert(0, Column { rank: 9, ..plain("CLUSTER", |node, _| text(&node.cluster)) });
    }
    columns
}

fn mode_columns<'a>() -> Vec<Column<&'a ModeCount>> {
    vec![
        plain("FAMILY", |count: &&ModeCount, _| Cell::text(&count.family)),
        plain("MODE", |count, _| Cell::text(&count.mode)),
        number("NODES", |count, _| whole(count.nodes)),
    ]
}

fn route_columns<'a>() -> Vec<Column<(&'a Route, f64)>> {
    vec![
        plain("FAMILY", |(route, _): &(&Route, f64), _| Cell::text(&route.family)),
        plain("SCOPE", |(route, _), _| Cell::text(&route.scope)),
        plain("ENCAP", |(route, _), _| Cell::text(&route.encapsulation)),
        number("BLOCKS", |(route, _), _| whole(route.blocks)),
        figure("SHARE", |_| "%", 0, |(_, share), _| percent(Some(*share))),
        number("NODES", |(route, _), _| whole(route.nodes)),
    ]
}

fn pair_columns<'a>(clusters: bool) -> Vec<Column<&'a Pair>> {
    let mut columns = vec![
        plain("FROM", |pair: &&Pair, _| Cell::text(&pair.from)),
        plain("TO", |pair, _| Cell::text(&pair.to)),
        Column { rank: 3, ..plain("ENCAP", |pair, _| Cell::text(&pair.encapsulation)) },
        figure("L3", Form::volume_unit, 1, |pair, form| volume(Some(pair.l3), form)),
        figure("OVERHEAD", Form::volume_unit, 2, |pair, form| volume(pair.overhead, form)),
        figure("OVERHEAD", |_| "%", 0, |pair, _| percent(pair.overhead_ratio())),
    ];
    if clusters {
        columns.insert(0, Column { rank: 9, ..plain("CLUSTER", |pair, _| text(&pair.cluster)) });
    }
    columns
}
