//! A plan as text.

use std::fmt::Write as _;
use std::time::Duration;

use super::text::{Options, labelled};
use crate::advice::family;
use crate::advice::plan::{Cpu, Group, NewMtu, Placement, Plan, TcpPath, Traffic};
use crate::model::{Mode, per_second};
use crate::view::grid::{Cell, Column, Form};
use crate::view::text::{TableOptions, number, plain, section, strong};
use crate::view::{cost, units};

/// Maximum number of listed placements.
const PLACES: usize = 5;
/// Maximum number of listed peers with TCP connections.
const PEERS: usize = 10;

/// Writes a plan.
pub(super) fn show(text: &mut String, plan: &Plan, options: Options) {
    let table = TableOptions { width: options.width, colour: options.colour, ..TableOptions::default() };
    let label = |mode: Option<Mode>| mode.map_or_else(|| units::UNKNOWN.to_owned(), Mode::label);
    let labels: Vec<String> = plan
        .modes
        .iter()
        .map(|(ipv6, now, then)| format!("{} {} → {}", family(*ipv6), label(*now), label(*then)))
        .collect();
    let _ = writeln!(text, "\n{}", strong("Plan", options.colour));
    labelled(text, "", &labels.join(", "), 2, options.width);
    for line in &plan.assumptions {
        labelled(text, "assumption:", line, 2, options.width);
    }
    figures(text, plan, options);
    if let Some(traffic) = &plan.traffic {
        let form = Form { rates: true, bits: true, interval: traffic.interval };
        let groups: Vec<&Group> = traffic.groups.iter().collect();
        section(text, &table, "Traffic between nodes", &group_columns(), &groups, &form);
    }
    let form = Form { rates: true, bits: true, interval: interval(plan) };
    if plan.tcp.iter().any(TcpPath::changes) {
        let paths: Vec<&TcpPath> = plan.tcp.iter().take(PEERS).collect();
        section(text, &table, "Current TCP connections by peer", &tcp_columns(), &paths, &form);
        if let Some(more) = plan.tcp.len().checked_sub(PEERS).filter(|more| *more != 0) {
            labelled(text, "", &format!("and {more} more; --format json lists all"), 2, options.width);
        }
    }
    let mtus: Vec<&NewMtu> = plan.mtus.iter().collect();
    section(text, &table, "MTUs to set", &mtu_columns(), &mtus, &form);
    if !plan.reach.is_empty() {
        let _ = writeln!(text, "\n{}", strong("Ensure reachability without a tunnel first", options.colour));
        for line in &plan.reach {
            labelled(text, "", line, 2, options.width);
        }
    }
    if !plan.placement.is_empty() {
        let places: Vec<&Placement> = plan.placement.iter().take(PLACES).collect();
        let title = "Peers that would benefit most from being in this subnet";
        section(text, &table, title, &place_columns(), &places, &form);
    }
    steps(text, plan, options);
}

fn interval(plan: &Plan) -> Duration {
    plan.traffic.as_ref().map_or(Duration::ZERO, |traffic| traffic.interval)
}

fn figures(text: &mut String, plan: &Plan, options: Options) {
    let mut line =
        |name: &str, value: String| labelled(text, &format!("{name:<22}"), &value, 2, options.width);
    let Some(traffic) = &plan.traffic else {
        line("traffic", "not measured".to_owned());
        return;
    };
    line("encapsulated", shares(traffic));
    line("overhead", overhead(traffic));
    if let Some(fit) = &plan.fit {
        line(
            "tunnel fragmentation",
            format!("{} packets would no longer be fragmented", traffic.no_longer_fragmented()),
        );
        line("already too big", format!("{} packets", fit.too_big_now));
        let newly = match (fit.newly.exact, fit.newly.packets) {
            (_, 0) => "0 packets".to_owned(),
            (true, all) => format!("{} of {all} packets", fit.newly.most),
            (false, all) => format!("{} to {} of {all} packets", fit.newly.least, fit.newly.most),
        };
        line("newly too big", newly);
    }
    line("encapsulation CPU", plan.cpu.as_ref().map_or_else(Clone::clone, cpu));
    for row in &plan.in_software {
        for labels in cost::software_offload_notes(row) {
            line(
                "software offload",
                format!("{labels}; for native packets the NIC can do this if it supports it"),
            );
        }
    }
}

/// CPU time saved, in milliseconds per second and as a share of one CPU.
fn cpu(cpu: &Cpu) -> String {
    let (size, margin) = (cpu.less.abs() * 1e3, cpu.margin * 1e3);
    let share = units::ratio(Some(cpu.less.abs()));
    match cpu.less {
        less if less > 0.0 => format!(
            "saves at most {size:.2} ± {margin:.2} ms per second, {share} of one CPU; the cost of native packets in the \
             same functions is not subtracted; ± is the 95 % confidence interval of the sample"
        ),
        less if less < 0.0 => format!(
            "{size:.2} ± {margin:.2} ms per second more, {share} of one CPU; ± is the 95 % confidence interval of the sample"
        ),
        _ => "unchanged".to_owned(),
    }
}

fn shares(traffic: &Traffic) -> String {
    match traffic.encapsulated() {
        Some((now, then)) => {
            format!(
                "{} → {} of the L3 bytes of pod traffic",
                units::ratio(Some(now)),
                units::ratio(Some(then))
            )
        }
        None => "no pod traffic between nodes".to_owned(),
    }
}

fn overhead(traffic: &Traffic) -> String {
    let (now, then) = traffic.overhead();
    let rate = |bytes| {
        per_second(bytes, traffic.interval).map_or_else(|| units::UNKNOWN.to_owned(), units::bit_rate)
    };
    let change =
        if then <= now { format!("{} less", rate(now - then)) } else { format!("{} more", rate(then - now)) };
    format!("{} → {}, {change}", rate(now), rate(then))
}

fn group_columns<'a>() -> Vec<Column<&'a Group>> {
    use crate::model::State::Measured;
    vec![
        plain("FAMILY", |g, _| Cell::text(family(g.ipv6))),
        plain("SCOPE", |g, _| Cell::text(g.scope.label())),
        plain("CURRENT", |g, _| Cell::text(g.now.label())),
        plain("PLANNED", |g, _| Cell::text(g.then.label())),
        Column { unit: Form::count_unit, ..number("PACKETS", |g, f| f.count(Measured, Some(g.packets))) },
        Column { unit: Form::volume_unit, ..number("L3", |g, f| f.volume(Measured, Some(g.l3_bytes))) },
        Column {
            unit: Form::volume_unit,
            ..number("OVERHEAD", |g, f| f.volume(Measured, Some(g.overhead_now)))
        },
        Column {
            unit: Form::volume_unit,
            ..number("PLANNED", |g, f| f.volume(Measured, Some(g.overhead_then)))
        },
    ]
}

fn tcp_columns<'a>() -> Vec<Column<&'a TcpPath>> {
    let ms = |_: &Form| "ms";
    vec![
        plain("PEER", |p, _| Cell::address(p.now.peer)),
        plain("CURRENT", |p, _| Cell::text(p.now.class.label())),
        plain("PLANNED", |p, _| Cell::text(p.then.label())),
        Column { unit: ms, ..number("RTT P50", |p, _| cost::rtt_percentile(p.now.percentiles, 0)) },
        Column { unit: ms, ..number("P99", |p, _| cost::rtt_percentile(p.now.percentiles, 2)) },
        Column { unit: ms, rank: 2, ..number("HOOK P50", |p, _| cost::rtt_percentile(p.now.at_hook, 0)) },
        Column { unit: |_| "segments", ..number("RETRANS", |p, _| cost::retransmitted(&p.now)) },
        Column { unit: |_| "packets", rank: 1, ..number("DROPPED", |p, _| cost::dropped(&p.now)) },
    ]
}

fn mtu_columns<'a>() -> Vec<Column<&'a NewMtu>> {
    vec![
        plain("OBJECT", |m, _| Cell::text(&m.what)),
        number("CURRENT", |m, _| m.now.map_or_else(Cell::unknown, |mtu| Cell::text(mtu.to_string()))),
        number("PLANNED", |m, _| Cell::text(m.then.to_string())),
        plain("REASON", |m, _| Cell::text(&m.why)),
    ]
}

fn place_columns<'a>() -> Vec<Column<&'a Placement>> {
    use crate::model::State::Measured;
    vec![
        plain("PEER", |p, _| Cell::text(&p.name)),
        Column { unit: Form::volume_unit, ..number("L3", |p, f| f.volume(Measured, Some(p.l3_bytes))) },
        Column {
            unit: Form::volume_unit,
            ..number("OVERHEAD", |p, f| f.volume(Measured, Some(p.overhead_bytes)))
        },
        plain("POD BLOCKS", |p, _| {
            let blocks: Vec<String> =
                p.blocks.iter().map(|(address, len)| format!("{address}/{len}")).collect();
            Cell::text(blocks.join(" "))
        }),
    ]
}

fn steps(text: &mut String, plan: &Plan, options: Options) {
    let _ = writeln!(text, "\n{}", strong("Steps", options.colour));
    if plan.steps.is_empty() {
        text.push_str("  none: the node already has this mode\n");
        return;
    }
    for (nth, step) in plan.steps.iter().enumerate() {
        labelled(text, &format!("{}.", nth + 1), &step.what, 2, options.width);
        for command in &step.commands {
            let _ = writeln!(text, "       {command}");
        }
        labelled(text, "check:", &step.check, 5, options.width);
    }
}
