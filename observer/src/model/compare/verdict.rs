//! Whether a switch reached what it was made for.

use super::{Change, Compared, Decomposition, Estimate, Remark, Side, Weight, change};

/// What a switch is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Less encapsulation.
    LessEncapsulation,
    /// Less overhead.
    LessOverhead,
    /// Fewer fragments.
    FewerFragments,
    /// No new packets that are too big.
    NothingNewTooBig,
    /// Lower latency.
    Latency,
    /// Less CPU time.
    Cpu,
}

impl Aim {
    /// The word that JSON uses.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::LessEncapsulation => "less_encapsulation",
            Self::LessOverhead => "less_overhead",
            Self::FewerFragments => "fewer_fragments",
            Self::NothingNewTooBig => "nothing_new_too_big",
            Self::Latency => "latency",
            Self::Cpu => "cpu",
        }
    }

    /// What people read.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::LessEncapsulation => "less encapsulation",
            Self::LessOverhead => "less overhead",
            Self::FewerFragments => "fewer fragments",
            Self::NothingNewTooBig => "nothing newly too big",
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
    /// No: it is as it was.
    NotReached,
    /// The contrary.
    Worse,
    /// The figures do not tell.
    CannotTell,
}

impl Outcome {
    /// The word that JSON uses.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::NotReached => "not_reached",
            Self::Worse => "worse",
            Self::CannotTell => "cannot_tell",
        }
    }

    /// What people read.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::NotReached => "not reached",
            Self::Worse => "worse",
            Self::CannotTell => "cannot tell",
        }
    }
}

/// A verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// On what.
    pub aim: Aim,
    /// Which.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// The metric that decided; `None` where none did.
    pub metric: Option<&'static str>,
}

/// An improvement below this share of what was there before is none.
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
        None => untold(aim, "not measured".to_owned(), Some(id)),
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
            (verdict.outcome, verdict.reason) = (Outcome::CannotTell, void.text.clone());
        }
    }
    verdicts
}

fn untold(aim: Aim, reason: String, metric: Option<&'static str>) -> Verdict {
    Verdict { aim, outcome: Outcome::CannotTell, reason, metric }
}

/// Where less is better.
fn one(aim: Aim, row: &Compared) -> Verdict {
    let metric = Some(row.metric.id);
    let (Some(before), Some(after), Some(change)) = (row.before, row.after, row.change) else {
        return untold(aim, "not measured".to_owned(), metric);
    };
    let (outcome, reason) = judge(before.value, after.value, change);
    Verdict { aim, outcome, reason: reason.to_owned(), metric }
}

/// Judges a change where less is better.
fn judge(before: f64, after: f64, change: Change) -> (Outcome, &'static str) {
    if before == 0.0 && after == 0.0 {
        return (Outcome::Reached, "there was none, and there is none");
    }
    let Some((low, high)) = change.interval() else {
        return (Outcome::CannotTell, "the recordings are too short to tell a change from chance");
    };
    if high < 0.0 {
        (Outcome::Reached, "it fell, by more than chance explains")
    } else if low > 0.0 {
        (Outcome::Worse, "it rose, by more than chance explains")
    } else if low > -RELEVANT * before {
        (Outcome::NotReached, "it is as it was: a fall by a tenth can be excluded")
    } else {
        (Outcome::CannotTell, "the traffic varies more than the change: record for longer")
    }
}

/// Overhead: what counts is the part that the mode explains.
fn overhead(row: Option<&Compared>, decomposition: Option<&Decomposition>) -> Verdict {
    let (aim, metric) = (Aim::LessOverhead, Some("overhead_ratio"));
    let Some((row, parts)) = row.zip(decomposition) else {
        return untold(aim, "not measured".to_owned(), metric);
    };
    let [before, after] = parts.ratios;
    if before == 0.0 && after == 0.0 {
        let reason = "there was none, and there is none".to_owned();
        return Verdict { aim, outcome: Outcome::Reached, reason, metric };
    }
    let (outcome, _) = judge(before, before + parts.mode.value, parts.mode);
    let (mode, seen) = (parts.mode.value, row.change.map_or(0.0, |change| change.value));
    let mode_points = format!("{:+.2} points", mode * 100.0).replace('-', "−");
    let reason = match outcome {
        Outcome::Reached => format!("the mode explains {mode_points} of the overhead ratio"),
        Outcome::Worse => format!("the mode adds to the overhead: {mode_points}"),
        Outcome::NotReached => format!("what the mode explains is no fall by a tenth: {mode_points}"),
        Outcome::CannotTell => format!("what the mode explains ({mode_points}) is within what chance does"),
    };
    // Traffic that hides what the mode did, or claims it.
    let hides = seen.signum() != mode.signum() && seen != 0.0 && mode != 0.0;
    let seen = format!("{:+.2}", seen * 100.0).replace('-', "−");
    let reason = if hides {
        format!("{reason}; the traffic changed too, so that {seen} points were seen")
    } else {
        reason
    };
    Verdict { aim, outcome, reason, metric }
}

/// CPU time: what counts is the part that comes from fewer packets in tunnels. The time for one moves with
/// everything else that the machine does, between two recordings of the same mode too.
fn cpu(row: Option<&Compared>, before: &Side, after: &Side) -> Verdict {
    let (aim, metric) = (Aim::Cpu, Some("encapsulation_time"));
    let known = row.and_then(|row| Some((row.before?.value, row.change?.value)));
    let explained = change(before, after, |b, a| b.pod_packet_time_explained(a));
    let Some(((was, seen), explained)) = known.zip(explained) else {
        return untold(aim, "not measured".to_owned(), metric);
    };
    let (outcome, reason) = judge(was, was + explained.value, explained);
    let nanoseconds = |value: f64| format!("{value:+.0} ns").replace('-', "−");
    let reason = if was == 0.0 && seen == 0.0 {
        reason.to_owned()
    } else {
        format!(
            "{} of {was:.0} ns a pod packet come from other shares in tunnels; the time for a packet in one did \
             {}, as other load does too",
            nanoseconds(explained.value),
            nanoseconds(seen - explained.value)
        )
    };
    Verdict { aim, outcome, reason, metric }
}

/// None of several may rise; one that did decides.
fn nothing_new(rows: &[Option<&Compared>], before: &Side, after: &Side) -> Verdict {
    let aim = Aim::NothingNewTooBig;
    let packets = before.total.pods().packets().min(after.total.pods().packets());
    let mut doubt = None;
    let mut known = false;
    for row in rows.iter().flatten() {
        let (Some(b), Some(a), Some(change)) = (row.before, row.after, row.change) else { continue };
        known = true;
        if a.value <= b.value {
            continue;
        }
        let what = |said: &str| format!("{}: {said}", row.metric.title);
        match change.is_clear() {
            Some(true) => {
                let outcome = Outcome::Worse;
                let reason = what(&format!("{} before, {} after, per million packets", figure(b), figure(a)));
                return Verdict { aim, outcome, reason, metric: Some(row.metric.id) };
            }
            _ => {
                let said = format!(
                    "{} before, {} after, per million packets, which may be chance",
                    figure(b),
                    figure(a)
                );
                doubt.get_or_insert((what(&said), row.metric.id));
            }
        }
    }
    match doubt {
        Some((reason, metric)) => untold(aim, reason, Some(metric)),
        None if !known => untold(aim, "not measured".to_owned(), None),
        None => {
            let reason = format!("nothing rose, in {packets} packets or more on each side");
            Verdict { aim, outcome: Outcome::Reached, reason, metric: None }
        }
    }
}

fn figure(estimate: Estimate) -> String {
    if estimate.value == 0.0 { "none".to_owned() } else { format!("{:.1}", estimate.value) }
}
