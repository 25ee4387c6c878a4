//! The header: the node, its devices, and the time of the figures.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};

use super::app::{App, Measure};
use super::feed::Origin;
use super::tab::Tab;
use super::theme::Theme;
use crate::model::{DeviceRow, Report};
use crate::snapshot::{Device, Hook};
use crate::topology::Role;
use crate::view::grid::{Tone, fit};
use crate::view::units;

/// One line for the node and, if there is room, one for the tabs.
pub(super) fn draw(app: &App, theme: Theme, frame: &mut Frame, area: Rect) {
    let mut lines = vec![node(app, theme, area.width)];
    if area.height > 1 {
        lines.push(tabs(app, theme));
    }
    frame.render_widget(Text::from(lines), area);
}

/// Before the first figures.
pub(super) fn waiting(theme: Theme, frame: &mut Frame, area: Rect) {
    frame.render_widget(Line::styled("Waiting for data …", theme.dim()), area);
}

fn node(app: &App, theme: Theme, width: u16) -> Line<'static> {
    let mut spans = Vec::new();
    let Some(report) = &app.report else { return Line::styled("observer top", theme.strong()) };
    spans.push(Span::styled(units::printable(&report.node), theme.strong()));
    if app.failure.is_some() {
        spans.push(Span::styled("  STALE", theme.tone(Tone::Alarm)));
    }
    if app.paused {
        let behind = if app.behind == 0 { String::new() } else { format!(" −{}", app.behind) };
        spans.push(Span::styled(format!("  PAUSED{behind}"), theme.tone(Tone::Notice)));
    }
    let pace = match app.options.origin {
        Origin::Live => format!("every {}", units::duration(app.options.interval)),
        Origin::Recording => format!("recording, {}×", app.options.speed),
    };
    let facts =
        [units::time_of_day(report.taken), app.covers(report), pace, units::printable(&report.origin)];
    let mut room = usize::from(width).saturating_sub(Line::from(spans.clone()).width());
    // The time that the figures cover matters most.
    let mut fits = [false; 4];
    for index in [1, 0, 2, 3] {
        let needed = facts[index].chars().count() + 2;
        fits[index] = needed <= room;
        room -= if fits[index] { needed } else { 0 };
    }
    spans.extend(
        facts.into_iter().zip(fits).filter(|(_, fits)| *fits).map(|(fact, _)| Span::raw(format!("  {fact}"))),
    );
    Line::from(spans)
}

fn tabs(app: &App, theme: Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for tab in Tab::ALL {
        spans.push(Span::styled(tab.label(), if tab == app.tab { theme.reverse() } else { theme.dim() }));
    }
    let form = match app.measure {
        Measure::PerSecond => "per second",
        Measure::Interval => "counts",
        Measure::Total if app.since_start => "totals",
        // The history contains intervals only.
        Measure::Total => "counts",
    };
    let unit = if app.options.bits { "bits" } else { "bytes" };
    spans.push(Span::styled(format!(" {unit}, {form}"), theme.dim()));
    Line::from(spans)
}

/// Underlay and tunnel devices, one line each if they fit, and the number of others at the end of a line with room.
pub(super) fn devices(report: &Report, theme: Theme, width: u16, most: usize) -> Vec<Line<'static>> {
    let main: Vec<&DeviceRow> = report
        .devices
        .iter()
        .filter(|row| matches!(row.device.role, Role::Underlay | Role::Tunnel))
        .collect();
    let others = others(report);
    let room = most.saturating_sub(usize::from(!others.is_empty())).max(1);
    let names = main.iter().take(room).map(|row| row.device.name.chars().count()).max().unwrap_or(0);
    let mut lines: Vec<Line> = main.iter().take(room).map(|row| device(row, names, theme, width)).collect();
    let mut rest = others;
    if main.len() > room {
        rest.insert(0, Span::raw(format!("+ {} underlay or tunnel devices  ", main.len() - room)));
    }
    if rest.is_empty() {
        return lines;
    }
    let rest = Line::from(rest);
    let room = usize::from(width).saturating_sub(rest.width() + 2);
    match lines.iter_mut().rev().find(|line| line.width() <= room) {
        Some(line) => {
            line.spans.push(Span::raw(" ".repeat(usize::from(width) - rest.width() - line.width())));
            line.spans.extend(rest);
        }
        None => lines.push(rest),
    }
    lines
}

/// Tunnel devices whose MTU is too high for their underlay, in one line.
pub(super) fn wrong(report: &Report, theme: Theme, width: u16) -> Option<Line<'static>> {
    let wrong = report.devices.iter().filter_map(|row| Some((&row.device, fits(&row.device)?)));
    let wrong: Vec<(&Device, (u32, u32))> = wrong.collect();
    let text = match &wrong[..] {
        [] => return None,
        [(device, (right, _))] => {
            let name = units::printable(&device.name);
            format!("{name}: MTU {}, should be {right}", device.mtu)
        }
        _ => {
            let names: Vec<String> = wrong.iter().map(|(device, _)| units::printable(&device.name)).collect();
            format!("MTU too high: {}", names.join(", "))
        }
    };
    Some(Line::styled(fit(&text, usize::from(width), false), theme.tone(Tone::Alarm)))
}

/// The correct MTU of a tunnel device and the MTU of its underlay, if its own is too high.
fn fits(device: &Device) -> Option<(u32, u32)> {
    let tunnel = device.tunnel?;
    let underlay = tunnel.underlay_mtu?;
    let right = underlay.saturating_sub(tunnel.overhead);
    (device.mtu > right).then_some((right, underlay))
}

fn device(row: &DeviceRow, names: usize, theme: Theme, width: u16) -> Line<'static> {
    let device = &row.device;
    let name = units::printable(&device.name);
    let mtu = if device.mtu == 0 { units::UNKNOWN.to_owned() } else { device.mtu.to_string() };
    let mut spans = vec![
        Span::styled(format!("{name:<names$}"), theme.strong()),
        Span::raw(format!("  {:<8}  MTU {mtu:<5}", device.role.label())),
    ];
    spans.push(Span::raw("  in "));
    spans.push(hook(device.hooks[0], theme));
    spans.push(Span::raw(" out "));
    spans.push(hook(device.hooks[1], theme));
    if let Some((right, underlay)) = fits(device) {
        let room = usize::from(width).saturating_sub(Line::from(spans.clone()).width());
        let texts = [
            format!("  MTU too high: should be {right} on {underlay}"),
            format!("  should be {right} on {underlay}"),
            format!("  max {right}"),
        ];
        let text = texts.into_iter().find(|text| text.chars().count() <= room);
        // Even without room, the line must not look like a correct one.
        let text = text.unwrap_or_else(|| " !".to_owned());
        spans.push(Span::styled(text, theme.tone(Tone::Alarm)));
    }
    if let Some(tunnel) = device.tunnel {
        let vni = tunnel.vni.map(|vni| format!(" VNI {vni}")).unwrap_or_default();
        let on = tunnel.underlay_mtu.map(|underlay| format!(" on MTU {underlay}")).unwrap_or_default();
        let (class, adds) = (tunnel.class.label(), format!("+{} B", tunnel.overhead));
        let room = usize::from(width).saturating_sub(Line::from(spans.clone()).width());
        let facts = [
            format!("  {class}{vni} {adds}{on}"),
            format!("  {class} {adds}{on}"),
            format!("  {class} {adds}"),
            format!("  {adds}"),
        ];
        spans.extend(facts.into_iter().find(|facts| facts.chars().count() <= room).map(Span::raw));
    }
    Line::from(spans)
}

fn hook(hook: Hook, theme: Theme) -> Span<'static> {
    match hook {
        Hook::Lost => Span::styled("LOST", theme.tone(Tone::Alarm)),
        other => Span::raw(other.label()),
    }
}

/// The number of workload and other devices.
fn others(report: &Report) -> Vec<Span<'static>> {
    let of = |role| report.devices.iter().filter(move |row| row.device.role == role).count();
    let (workloads, others) = (of(Role::Workload), of(Role::Other));
    let mut counts = Vec::new();
    if workloads != 0 {
        counts.push(format!("{workloads} workload device{}", if workloads == 1 { "" } else { "s" }));
    }
    if others != 0 {
        counts.push(format!("{others} other device{}", if others == 1 { "" } else { "s" }));
    }
    if counts.is_empty() {
        return Vec::new();
    }
    vec![Span::raw(format!("+ {}", counts.join(", ")))]
}
