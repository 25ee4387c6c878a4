//! The text of `observer doctor`, for 80 columns.

use std::fmt::Write as _;
use std::time::Duration;

use super::plan;
use super::text::labelled;
use crate::advice::plan::Plan;
use crate::advice::{Diagnosis, FelixFile, Finding, ModeView, Observed, PeerView, Seen, Severity};
use crate::model::Mode;
use crate::view::grid::{Cell, Column, Form, Tone};
use crate::view::text::{TableOptions, number, paint, plain, section, strong};
use crate::view::units;

pub use super::text::Options;

/// Default width.
pub const WIDTH: usize = 80;

/// A diagnosis as text, with a final newline.
#[must_use]
pub fn diagnosis(diagnosis: &Diagnosis<'_>, plan: Option<&Plan>, options: Options) -> String {
    let table = TableOptions { width: options.width, colour: options.colour, ..TableOptions::default() };
    let form = Form { rates: false, bits: false, interval: Duration::ZERO };
    let mut text = header(diagnosis, options);
    if !diagnosis.findings.is_empty() {
        let _ = writeln!(text, "\n{}", strong("Findings", options.colour));
        for (nth, finding) in diagnosis.findings.iter().enumerate() {
            if nth != 0 {
                text.push('\n');
            }
            show(&mut text, finding, options);
        }
    }
    let view = &diagnosis.view;
    let modes: Vec<&ModeView> = view.modes.iter().collect();
    section(&mut text, &table, "Mode", &mode_columns(), &modes, &form);
    for mode in &view.modes {
        for line in &mode.evidence {
            labelled(&mut text, mode.family(), line, 4, options.width);
        }
    }
    let peers: Vec<&PeerView> = view.peers.iter().collect();
    section(&mut text, &table, "Peers", &peer_columns(), &peers, &form);
    section(&mut text, &table, "MTU", &mtu_columns(), &mtus(diagnosis), &form);
    notes(&mut text, diagnosis, options);
    if let Some(plan) = plan {
        plan::show(&mut text, plan, options);
    }
    text
}

fn header(diagnosis: &Diagnosis<'_>, options: Options) -> String {
    let facts = diagnosis.view.facts;
    let measured = match &facts.observed {
        Some(report) => format!("measured {}", units::duration(report.interval)),
        None => "traffic not measured".to_owned(),
    };
    format!(
        "{}  {}  {measured}\n",
        strong(&units::printable(facts.name()), options.colour),
        verdict(&diagnosis.findings, options.colour)
    )
}

fn verdict(findings: &[Finding], colour: bool) -> String {
    if findings.is_empty() {
        return "no findings".to_owned();
    }
    let count = |severity: Severity| findings.iter().filter(|f| f.severity == severity).count();
    let labels: Vec<String> = [Severity::Error, Severity::Warning, Severity::Notice]
        .into_iter()
        .map(|severity| (severity, count(severity)))
        .filter(|(_, count)| *count != 0)
        .map(|(severity, count)| {
            let plural = if count == 1 { "" } else { "s" };
            paint(&format!("{count} {}{plural}", severity.label()), tone(severity), colour)
        })
        .collect();
    labels.join(", ")
}

const fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Alarm,
        Severity::Warning => Tone::Notice,
        Severity::Notice => Tone::Plain,
    }
}

fn show(text: &mut String, finding: &Finding, options: Options) {
    let label = finding.severity.label().to_uppercase();
    let head = format!("{label} {}", finding.id);
    let _ = writeln!(text, "  {}", paint(&head, tone(finding.severity), options.colour));
    labelled(text, "", &units::printable(&finding.title), 4, options.width);
    for line in &finding.evidence {
        labelled(text, "observed", &units::printable(line), 4, options.width);
    }
    labelled(text, "reason  ", &finding.explanation, 4, options.width);
    for remedy in &finding.remedies {
        labelled(text, "remedy  ", &format!("{}:", remedy.what), 4, options.width);
        // Not wrapped, so that it can be copied.
        let _ = writeln!(text, "             {}", units::printable(&remedy.command));
    }
    labelled(text, "details ", &finding.anchor(), 4, options.width);
}

fn mode_columns<'a>() -> Vec<Column<&'a ModeView>> {
    vec![
        plain("FAMILY", |mode, _| Cell::text(mode.family())),
        plain("ROUTES", |mode, _| label(mode.routes)),
        plain("OBSERVED", |mode, _| label(mode.observed)),
        plain("DECLARED", |mode, _| label(mode.declared)),
    ]
}

fn label(mode: Option<Mode>) -> Cell {
    mode.map_or_else(Cell::unknown, |mode| Cell::text(mode.label()))
}

fn peer_columns<'a>() -> Vec<Column<&'a PeerView>> {
    vec![
        plain("PEER", |peer, _| Cell::address(peer.address)),
        plain("SCOPE", |peer, _| Cell::text(peer.scope.label())),
        number("BLOCKS", |peer, _| Cell::text(peer.blocks.len().to_string())),
        plain("ROUTED", |peer, _| classes(&peer.routed)),
        plain("SENT", |peer, _| observed(peer.egress.as_ref())),
        plain("RECEIVED", |peer, _| observed(peer.ingress.as_ref())),
        Column { rank: 1, ..plain("DECLARED", |peer, _| classes(&peer.declared)) },
    ]
}

fn classes(classes: &[observer_common::kind::Class]) -> Cell {
    if classes.is_empty() {
        return Cell::unknown();
    }
    let labels: Vec<&str> = classes.iter().map(|class| class.label()).collect();
    Cell::text(labels.join("+"))
}

/// Unknown if not measured; idle if measured without packets.
fn observed(observed: Option<&Observed>) -> Cell {
    match observed {
        None => Cell::unknown(),
        Some(observed) if observed.packets() == 0 => Cell::text("idle"),
        Some(observed) => Cell::text(observed.describe()),
    }
}

/// One line of the MTU table.
struct MtuLine {
    name: String,
    role: &'static str,
    mtu: u32,
    right: Option<u32>,
    why: String,
    /// What was measured on it, if it is a device.
    seen: Option<Seen>,
}

fn mtus(diagnosis: &Diagnosis<'_>) -> Vec<MtuLine> {
    let mtu = &diagnosis.view.mtu;
    let mut lines: Vec<MtuLine> = Vec::new();
    for (name, value) in &mtu.underlays {
        lines.push(MtuLine {
            name: name.clone(),
            role: "underlay",
            mtu: *value,
            right: None,
            why: String::new(),
            seen: mtu.seen.get(name).copied(),
        });
    }
    for tunnel in &mtu.tunnels {
        lines.push(MtuLine {
            name: tunnel.device.clone(),
            role: "tunnel",
            mtu: tunnel.mtu,
            right: tunnel.right(),
            why: tunnel.sum(),
            seen: mtu.seen.get(&tunnel.device).copied(),
        });
    }
    for (value, count) in mtu.pods_by_mtu() {
        let plural = if count == 1 { "" } else { "s" };
        lines.push(MtuLine {
            name: format!("{count} pod{plural}"),
            role: "workload",
            mtu: value,
            right: mtu.right_room,
            why: "smallest on all paths".to_owned(),
            seen: None,
        });
    }
    if let FelixFile::Mtu(value) = mtu.file {
        lines.push(MtuLine {
            name: diagnosis.view.facts.felix_path.clone(),
            role: "file",
            mtu: value,
            right: mtu.right_room,
            why: "for new pods".to_owned(),
            seen: None,
        });
    }
    if let (Some(detected), false) = (mtu.detected(), mtu.tunnels.is_empty() && mtu.pods.is_empty()) {
        let from = mtu.matching.iter().flatten().find(|(_, own)| *own == detected);
        lines.push(MtuLine {
            name: "Felix detects".to_owned(),
            role: "rule",
            mtu: detected,
            right: mtu.underlay(),
            why: from.map_or_else(
                || "no device matches the pattern".to_owned(),
                |(name, _)| format!("from {name}"),
            ),
            seen: None,
        });
    }
    lines
}

fn mtu_columns() -> Vec<Column<MtuLine>> {
    vec![
        plain("NAME", |line, _| Cell::text(&line.name)),
        plain("ROLE", |line, _| Cell::text(line.role)),
        number("MTU", |line, _| {
            let wrong = line.right.is_some_and(|right| right != line.mtu);
            Cell::text(line.mtu.to_string()).tone(if wrong { Tone::Notice } else { Tone::Plain })
        }),
        number("EXPECTED", |line, _| {
            line.right.map_or_else(Cell::unknown, |right| Cell::text(right.to_string()))
        }),
        Column { rank: 2, unit: |_| "packet", ..number("LARGEST", |line, _| largest(line)) },
        Column { rank: 3, unit: |_| "messages", ..number("PTB", |line, _| ptb(line)) },
        Column { rank: 1, ..plain("REASON", |line, _| Cell::text(&line.why)) },
    ]
}

fn largest(line: &MtuLine) -> Cell {
    match line.seen {
        Some(seen) if seen.largest != 0 => Cell::text(seen.largest.to_string()),
        _ => Cell::unknown(),
    }
}

fn ptb(line: &MtuLine) -> Cell {
    line.seen.map_or_else(Cell::unknown, |seen| Cell::text(seen.ptb.to_string()))
}

fn notes(text: &mut String, diagnosis: &Diagnosis<'_>, options: Options) {
    let facts = diagnosis.view.facts;
    let mut lines: Vec<String> = facts.topology.notes.clone();
    lines.extend(facts.observed.iter().flat_map(|report| report.notes.clone()));
    if facts.calico.is_none() {
        lines.push("the declared configuration is unknown; use --resources or --kubernetes".to_owned());
    }
    if diagnosis.view.mtu.matching.is_none() {
        lines.push(format!("Felix's interface pattern `{}` is not valid", diagnosis.view.mtu.pattern.0));
    }
    lines.dedup();
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", strong("Notes", options.colour));
    for line in lines {
        labelled(text, "", &units::printable(&line), 2, options.width);
    }
}
