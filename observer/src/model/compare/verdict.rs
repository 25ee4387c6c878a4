//! Whether a mode switch reached its aims.

use super::{Change, Compared, Decomposition, Estimate, Remark, Side, Weight, change};

/// An aim of a mode switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Less encapsulation.
    LessEncapsulation,
    /// Less overhead.
    LessOverhead,
    /// Fewer fragments.
    FewerFragments,
    /// No additional packets that are too big.
    NoNewOversized,
    /// Lower latency.
    Latency,
    /// Less CPU time.
    Cpu,
}

impl Aim {
    /// The label in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::LessEncapsulation => "less_encapsulation",
            Self::LessOverhead => "less_overhead",
            Self::FewerFragments => "fewer_fragments",
            Self::NoNewOversized => "no_new_oversized",
            Self::Latency => "latency",
            Self::Cpu => "cpu",
        }
    }

    /// The label in other formats.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::LessEncapsulation => "less encapsulation",
            Self::LessOverhead => "less overhead",
            Self::FewerFragments => "fewer fragments",
            Self::NoNewOversized => "no new oversized packets",
            Self::Latency => "lower latency",
            Self::Cpu => "less CPU time",
        }
    }
}

/// Whether an aim was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Yes.
    Reached,
    /// No: unchanged.
    NotReached,
    /// The opposite.
    Worse,
    /// The figures are inconclusive.
    Inconclusive,
}

impl Outcome {
    /// The label in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::NotReached => "not_reached",
            Self::Worse => "worse",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// The label in other formats.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::NotReached => "not reached",
            Self::Worse => "worse",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// A verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The aim.
    pub aim: Aim,
    /// The outcome.
    pub outcome: Outcome,
    /// The reason, a sentence.
    pub reason: String,
    /// The metric that decided; if there is one.
    pub metric: Option<&'static str>,
}

/// A change below this share of the value before does not count as an improvement.
const RELEVANT: f64 = 0.10;

pub(super) fn of(
    before: &Side,
    after: &Side,
    rows: &[Compared],
    decomposition: Option<&Decomposition>,
    remarks: &[Remark],
) -> Vec<Verdict> {
    let void = remarks.iter().find(|remark| remark.weight == Weight::Void);
    let row = |id: &'static str| rows.iter().find(|row| row.metric.id == id);
    let simple = |aim, id: &'static str| match row(id) {
        Some(row) => one(aim, row),
        None => inconclusive(aim, "not measured".to_owned(), Some(id)),
    };
    let mut verdicts = vec![
        simple(Aim::LessEncapsulation, "encapsulated_packets"),
        overhead(row("overhead_ratio"), decomposition),
        simple(Aim::FewerFragments, "fragments"),
        nothing_new(&["oversized", "would_drop", "ptb"].map(row), before, after),
        simple(Aim::Latency, "rtt"),
        cpu(row("encapsulation_time"), before, after),
    ];
    if let Some(void) = void {
        for verdict in &mut verdicts {
            (verdict.outcome, verdict.reason) = (Outcome::Inconclusive, void.text.clone());
        }
    }
    verdicts
}

fn inconclusive(aim: Aim, reason: String, metric: Option<&'static str>) -> Verdict {
    Verdict { aim, outcome: Outcome::Inconclusive, reason, metric }
}

/// A verdict on a metric where less is better.
fn one(aim: Aim, row: &Compared) -> Verdict {
    let metric = Some(row.metric.id);
    let (Some(before), Some(after), Some(change)) = (row.before, row.after, row.change) else {
        return inconclusive(aim, "not measured".to_owned(), metric);
    };
    let (outcome, reason) = assess(before.value, after.value, change);
    Verdict { aim, outcome, reason: reason.to_owned(), metric }
}

/// The outcome of a change where less is better.
fn assess(before: f64, after: f64, change: Change) -> (Outcome, &'static str) {
    if before == 0.0 && after == 0.0 {
        return (Outcome::Reached, "none before, none after");
    }
    let Some((low, high)) = change.interval() else {
        return (Outcome::Inconclusive, "the recordings are too short for a confidence interval");
    };
    if high < 0.0 {
        (Outcome::Reached, "significant decrease")
    } else if low > 0.0 {
        (Outcome::Worse, "significant increase")
    } else if low > -RELEVANT * before {
        (Outcome::NotReached, "no change: a decrease of 10 % or more can be ruled out")
    } else {
        (Outcome::Inconclusive, "the traffic varies more than the change; record for longer")
    }
}

/// Overhead: only the part that the mode explains counts.
fn overhead(row: Option<&Compared>, decomposition: Option<&Decomposition>) -> Verdict {
    let (aim, metric) = (Aim::LessOverhead, Some("overhead_ratio"));
    let Some((row, parts)) = row.zip(decomposition) else {
        return inconclusive(aim, "not measured".to_owned(), metric);
    };
    let [before, after] = parts.ratios;
    if before == 0.0 && after == 0.0 {
        let reason = "none before, none after".to_owned();
        return Verdict { aim, outcome: Outcome::Reached, reason, metric };
    }
    let (outcome, _) = assess(before, before + parts.mode.value, parts.mode);
    let (mode, seen) = (parts.mode.value, row.change.map_or(0.0, |change| change.value));
    let mode_points = format!("{:+.2} points", mode * 100.0).replace('-', "−");
    let reason = match outcome {
        Outcome::Reached => format!("the mode changes the overhead ratio by {mode_points}"),
        Outcome::Worse => format!("the mode increases the overhead ratio by {mode_points}"),
        Outcome::NotReached => {
            format!("no change by the mode: a decrease of 10 % or more can be ruled out ({mode_points})")
        }
        Outcome::Inconclusive => format!("the change by the mode ({mode_points}) is within random variation"),
    };
    // The traffic may hide or reverse the effect of the mode.
    let hides = seen.signum() != mode.signum() && seen != 0.0 && mode != 0.0;
    let seen = format!("{:+.2}", seen * 100.0).replace('-', "−");
    let reason = if hides {
        format!("{reason}; the traffic changed too, so the total change is {seen} points")
    } else {
        reason
    };
    Verdict { aim, outcome, reason, metric }
}

/// CPU time: only the part from fewer tunnelled packets counts. The time per packet depends on other load, even between
/// two recordings of the same mode.
fn cpu(row: Option<&Compared>, before: &Side, after: &Side) -> Verdict {
    let (aim, metric) = (Aim::Cpu, Some("encapsulation_time"));
    let known = row.and_then(|row| Some((row.before?.value, row.change?.value)));
    let explained = change(before, after, |b, a| b.pod_packet_time_explained(a));
    let Some(((was, seen), explained)) = known.zip(explained) else {
        return inconclusive(aim, "not measured".to_owned(), metric);
    };
    let (outcome, reason) = assess(was, was + explained.value, explained);
    let nanoseconds = |value: f64| format!("{value:+.0} ns").replace('-', "−");
    let reason = if was == 0.0 && seen == 0.0 {
        reason.to_owned()
    } else {
        format!(
            "{} of {was:.0} ns per pod packet from the share of tunnelled packets; {} from the time per tunnelled \
             packet, which depends on other load too",
            nanoseconds(explained.value),
            nanoseconds(seen - explained.value)
        )
    };
    Verdict { aim, outcome, reason, metric }
}

/// None of several metrics may increase; one that does decides.
fn nothing_new(rows: &[Option<&Compared>], before: &Side, after: &Side) -> Verdict {
    let aim = Aim::NoNewOversized;
    let packets = before.total.pods().packets().min(after.total.pods().packets());
    let mut doubt = None;
    let mut known = false;
    for row in rows.iter().flatten() {
        let (Some(b), Some(a), Some(change)) = (row.before, row.after, row.change) else { continue };
        known = true;
        if a.value <= b.value {
            continue;
        }
        let what = |text: &str| format!("{}: {text}", row.metric.title);
        match change.is_clear() {
            Some(true) => {
                let outcome = Outcome::Worse;
                let reason = what(&format!("{} before, {} after, per million packets", figure(b), figure(a)));
                return Verdict { aim, outcome, reason, metric: Some(row.metric.id) };
            }
            _ => {
                let text = format!(
                    "{} before, {} after, per million packets, which may be random variation",
                    figure(b),
                    figure(a)
                );
                doubt.get_or_insert((what(&text), row.metric.id));
            }
        }
    }
    match doubt {
        Some((reason, metric)) => inconclusive(aim, reason, Some(metric)),
        None if !known => inconclusive(aim, "not measured".to_owned(), None),
        None => {
            let reason = format!("no increase in at least {packets} packets on each side");
            Verdict { aim, outcome: Outcome::Reached, reason, metric: None }
        }
    }
}

fn figure(estimate: Estimate) -> String {
    if estimate.value == 0.0 { "none".to_owned() } else { format!("{:.1}", estimate.value) }
}
