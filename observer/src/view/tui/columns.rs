//! Columns that only screens have: fragments by line and by path, and hooks by device.

use observer_common::counters::{Event, FIRST_REASON, PathCounter, Total};
use observer_common::kind::Direction;

use crate::model::{DeviceRow, Figures, Fragments, Line, PathLine};
use crate::snapshot::Hook;
use crate::view::columns::{column, counter, encapsulation, no_unit, path_encapsulation, ptb, total};
use crate::view::grid::{Cell, Column, Form, Tone};

/// Whether the line has fragments or packets that do not fit.
pub(super) fn has_fragments(line: &Line) -> bool {
    line.figures().is_none_or(|figures| {
        let others = [Total::WouldFragment, Total::WouldDrop, Total::OuterV6Atomic, Total::InnerV6Atomic];
        figures.fragments() != 0 || others.iter().any(|counter| figures.get(*counter) != 0)
    })
}

/// Whether the path has fragments, packets that do not fit or PTB messages.
pub(super) fn path_has_fragments(line: &PathLine) -> bool {
    let figures = &line.path.figures;
    let others =
        [PathCounter::WouldFragment, PathCounter::WouldDrop, PathCounter::Ptb, PathCounter::Oversized];
    figures.fragments() != 0 || others.iter().any(|counter| figures.get(*counter) != 0)
}

/// Fragments of one layer and position, both address families.
fn at(line: &Line, form: &Form, layer: fn(&Figures) -> Fragments, position: usize) -> Cell {
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
pub(super) fn fragments<'a>() -> Vec<Column<Line<'a>>> {
    const OUTER: fn(&Figures) -> Fragments = Figures::outer_fragments;
    const INNER: fn(&Figures) -> Fragments = Figures::inner_fragments;
    vec![
        column("DEVICE", no_unit, false, 0, |line, _| Cell::text(&line.device.device.name)),
        column("DIR", no_unit, false, 1, |line, _| Cell::text(line.direction.label())),
        column("ENCAP", no_unit, false, 0, |line, _| encapsulation(line)),
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
pub(super) fn fragmented_paths<'a>() -> Vec<Column<PathLine<'a>>> {
    vec![
        column("PEER", no_unit, false, 0, |line, _| Cell::address(line.path.id.peer)),
        column("SCOPE", no_unit, false, 8, |line, _| Cell::text(line.path.scope.label())),
        column("DIR", no_unit, false, 1, |line, _| Cell::text(line.path.id.direction.label())),
        column("ENCAP", no_unit, false, 0, |line, _| path_encapsulation(line)),
        column("DEVICE", no_unit, false, 10, |line, _| Cell::text(&line.path.id.device)),
        column("O.FIRST", Form::count_unit, true, 3, |l, f| noticed(l, f, PathCounter::OuterFirst)),
        column("O.MID", Form::count_unit, true, 9, |l, f| noticed(l, f, PathCounter::OuterMiddle)),
        column("O.LAST", Form::count_unit, true, 7, |l, f| noticed(l, f, PathCounter::OuterLast)),
        column("INNER", Form::count_unit, true, 6, |l, f| noticed(l, f, PathCounter::Inner)),
        column("OVERSIZED", Form::count_unit, true, 11, |l, f| noticed(l, f, PathCounter::Oversized)),
        column("W.FRAG", Form::count_unit, true, 5, |l, f| noticed(l, f, PathCounter::WouldFragment)),
        column("W.DROP", Form::count_unit, true, 4, |l, f| noticed(l, f, PathCounter::WouldDrop)),
        column("PTB", |_| "(MTU)", true, 2, |line, _| ptb(line)),
    ]
}

fn hook(row: &DeviceRow, direction: Direction) -> Cell {
    match row.device.hooks[direction as usize] {
        Hook::Lost => Cell::text("LOST").tone(Tone::Alarm),
        hook => Cell::text(hook.label()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for sorting only")]
fn number(count: u64) -> Cell {
    Cell::number(count as f64, count.to_string()).notice_if_any()
}

fn event(row: &DeviceRow, which: Event) -> Cell {
    number(Direction::ALL.iter().map(|direction| row.events[*direction as usize][which as usize]).sum())
}

fn malformed(row: &DeviceRow) -> u64 {
    row.events.iter().map(|events| events[FIRST_REASON..].iter().sum::<u64>()).sum()
}

/// Hooks by device.
pub(super) fn hooks<'a>() -> Vec<Column<&'a DeviceRow>> {
    vec![
        column("DEVICE", no_unit, false, 0, |row, _| Cell::text(&row.device.name)),
        column("ROLE", no_unit, false, 5, |row, _| Cell::text(row.device.role.label())),
        column("MTU", no_unit, true, 3, |row, _| match row.device.mtu {
            0 => Cell::unknown(),
            mtu => Cell::number(f64::from(mtu), mtu.to_string()),
        }),
        column("INGRESS", no_unit, false, 0, |row, _| hook(row, Direction::Ingress)),
        column("EGRESS", no_unit, false, 0, |row, _| hook(row, Direction::Egress)),
        column("LOST", |_| "times", true, 1, |row, _| number(row.device.losses.iter().sum())),
        column("MALFORMED", |_| "packets", true, 2, |row, _| number(malformed(row))),
        column("OVERFLOW", |_| "paths", true, 4, |row, _| event(row, Event::PathOverflow)),
        column("OVERFLOW", |_| "unknown peers", true, 6, |row, _| event(row, Event::UnknownPeerOverflow)),
    ]
}

/// Text of a device that filters match.
pub(super) fn hook_labels(row: &&DeviceRow) -> String {
    let [ingress, egress] = row.device.hooks.map(Hook::label);
    format!("{} {} {ingress} {egress}", row.device.name, row.device.role.label())
}
