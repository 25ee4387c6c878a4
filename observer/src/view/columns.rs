//! Columns shared by the text tables and the screens.

use observer_common::counters::{PathCounter, Total};
use observer_common::kind::Direction;

use super::grid::{Cell, Column, Form, Tone};
use crate::model::{Figures, Line, PathLine, State};
use crate::snapshot::Vni;

/// The VNI as text.
pub(crate) fn vni(vni: Vni) -> String {
    match vni {
        Vni::None => super::units::UNKNOWN.to_owned(),
        Vni::Own(number) => number.to_string(),
        Vni::Unknown => "unknown".to_owned(),
    }
}

/// The encapsulation of a line, or the reason why there is none.
pub(crate) fn encapsulation(line: &Line) -> Cell {
    let class = line.row.map(|row| row.class.label());
    match (class, line.state) {
        (Some(class), State::Measured) => Cell::text(class),
        (Some(class), _) => Cell::text(format!("{class} (lost)")).tone(Tone::Alarm),
        (None, State::Measured) => Cell::text("idle"),
        (None, State::Lost) => Cell::text("hook lost").tone(Tone::Alarm),
        (None, State::NotWatched) => Cell::text("not watched"),
    }
}

pub(crate) fn total(line: &Line, form: &Form, counter: Total) -> Cell {
    form.count(line.state, line.count(counter))
}

pub(crate) fn no_unit(_: &Form) -> &'static str {
    ""
}

fn percent_unit(_: &Form) -> &'static str {
    "%"
}

pub(crate) fn column<T>(
    title: &'static str,
    unit: fn(&Form) -> &'static str,
    right: bool,
    rank: u8,
    cell: fn(&T, &Form) -> Cell,
) -> Column<T> {
    Column { title, unit, right, rank, cell }
}

/// Traffic by device, direction and encapsulation.
pub(crate) fn lines<'a>() -> Vec<Column<Line<'a>>> {
    vec![
        column("DEVICE", no_unit, false, 0, |line, _| Cell::text(&line.device.device.name)),
        column("ROLE", no_unit, false, 9, |line, _| Cell::text(line.device.device.role.label())),
        column("DIR", no_unit, false, 1, |line, _| direction(line.known_direction())),
        column("ENCAP", no_unit, false, 0, |line, _| encapsulation(line)),
        column("PACKETS", Form::count_unit, true, 4, |line, form| total(line, form, Total::Packets)),
        column("WIRE", Form::volume_unit, true, 3, |line, form| {
            form.volume(line.state, line.figures().map(|f| f.get(Total::WireBytes)))
        }),
        column("OVERHEAD", Form::volume_unit, true, 5, |line, form| {
            form.volume(line.state, line.figures().map(|f| f.overhead_bytes()))
        }),
        column("OVERHEAD", percent_unit, true, 2, |line, form| {
            form.percent(line.state, line.figures().and_then(|f| f.overhead_ratio()))
        }),
        column("FRAGM", Form::count_unit, true, 6, |line, form| {
            let fragments = line.figures().as_ref().map(Figures::fragments);
            form.count(line.state, fragments).notice_if_any()
        }),
        column("OVERSIZED", Form::count_unit, true, 7, |line, form| {
            total(line, form, Total::Oversized).notice_if_any()
        }),
        column("W.FRAG", Form::count_unit, true, 10, |line, form| {
            total(line, form, Total::WouldFragment).notice_if_any()
        }),
        column("W.DROP", Form::count_unit, true, 8, |line, form| {
            total(line, form, Total::WouldDrop).notice_if_any()
        }),
    ]
}

pub(crate) fn counter(line: &PathLine, form: &Form, counter: PathCounter) -> Cell {
    form.count(line.state, line.count(counter))
}

#[expect(clippy::cast_precision_loss, reason = "for sorting only")]
pub(crate) fn ptb(line: &PathLine) -> Cell {
    let figures = &line.path.figures;
    let (count, mtu) = (figures.get(PathCounter::Ptb), figures.get(PathCounter::PtbMtu));
    let text = match (count, mtu) {
        (0, _) if line.state != State::Measured => return Cell::unknown(),
        (0, _) => "0".to_owned(),
        (count, 0) => count.to_string(),
        (count, mtu) => format!("{count} ({mtu})"),
    };
    Cell::number(count as f64, text).notice_if_any()
}

pub(crate) fn path_encapsulation(line: &PathLine) -> Cell {
    let class = line.path.id.class.label();
    match line.state {
        State::Measured => Cell::text(class),
        State::Lost | State::NotWatched => Cell::text(format!("{class} (lost)")).tone(Tone::Alarm),
    }
}

/// Paths.
pub(crate) fn paths<'a>() -> Vec<Column<PathLine<'a>>> {
    vec![
        column("PEER", no_unit, false, 0, |line, _| peer(line)),
        column("SCOPE", no_unit, false, 4, |line, _| Cell::text(line.path.scope.label())),
        column("DIR", no_unit, false, 1, |line, _| direction(line.known_direction())),
        column("ENCAP", no_unit, false, 0, |line, _| path_encapsulation(line)),
        column("VNI", no_unit, true, 8, |line, _| vni_cell(line.path.id.vni)),
        column("DEVICE", no_unit, false, 12, |line, _| Cell::text(&line.path.id.device)),
        column("PACKETS", Form::count_unit, true, 7, |line, form| counter(line, form, PathCounter::Packets)),
        column("WIRE", Form::volume_unit, true, 2, |line, form| {
            form.volume(line.state, Some(line.path.figures.get(PathCounter::WireBytes)))
        }),
        column("OVERHEAD", Form::volume_unit, true, 9, |line, form| {
            form.volume(line.state, Some(line.path.figures.overhead_bytes()))
        }),
        column("OVERHEAD", percent_unit, true, 3, |line, form| {
            form.percent(line.state, line.path.figures.overhead_ratio())
        }),
        column("FRAGM", Form::count_unit, true, 5, |line, form| {
            form.count(line.state, Some(line.path.figures.fragments())).notice_if_any()
        }),
        column("OVERSIZED", Form::count_unit, true, 6, |line, form| {
            counter(line, form, PathCounter::Oversized).notice_if_any()
        }),
        column("W.FRAG", Form::count_unit, true, 13, |line, form| {
            counter(line, form, PathCounter::WouldFragment).notice_if_any()
        }),
        column("W.DROP", Form::count_unit, true, 11, |line, form| {
            counter(line, form, PathCounter::WouldDrop).notice_if_any()
        }),
        column("PTB", |_| "(MTU)", true, 10, |line, _| ptb(line)),
    ]
}

pub(crate) fn direction(direction: Option<Direction>) -> Cell {
    direction.map_or_else(Cell::unknown, |direction| Cell::text(direction.label()))
}

/// The peer, or both ends where a capture has them.
fn peer(line: &PathLine) -> Cell {
    let peer = line.path.id.peer;
    line.ends().map_or_else(|| Cell::address(peer), |ends| Cell::ends(peer, ends))
}

fn vni_cell(id: Vni) -> Cell {
    match id {
        Vni::None => Cell::unknown(),
        Vni::Own(number) => Cell::number(f64::from(number), number.to_string()),
        Vni::Unknown => Cell::text("unknown").tone(Tone::Notice),
    }
}

/// Text of a line that filters match.
pub(crate) fn line_labels(line: &Line) -> String {
    let device = &line.device.device;
    let (role, direction) = (device.role.label(), line.direction.label());
    format!("{} {role} {direction} {}", device.name, encapsulation(line).text)
}

/// Text of a path that filters match.
pub(crate) fn path_labels(line: &PathLine) -> String {
    let id = &line.path.id;
    let (scope, direction) = (line.path.scope.label(), id.direction.label());
    format!("{} {scope} {direction} {} {} {}", id.peer, path_encapsulation(line).text, vni(id.vni), id.device)
}
