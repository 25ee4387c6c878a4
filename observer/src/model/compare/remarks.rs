//! Limits of a comparison, as sentences.

use std::collections::BTreeSet;

use super::{Recorded, Side, estimate};
use crate::model::Figures;
use crate::snapshot::Hook;

/// How much a remark limits the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Information.
    Note,
    /// Some figures are not directly comparable.
    Caution,
    /// No figure is comparable.
    Void,
}

impl Weight {
    /// The label in every view.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Caution => "caution",
            Self::Void => "void",
        }
    }
}

/// A remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Its name in JSON.
    pub id: &'static str,
    /// How much it limits.
    pub weight: Weight,
    /// The sentence.
    pub text: String,
}

/// Ratio of mean packet sizes above which the traffic is considered different.
const OTHER_SIZES: f64 = 1.10;
/// The same for packet rates.
const OTHER_RATE: f64 = 1.5;
/// The same for shares, as a difference.
const OTHER_SHARE: f64 = 0.10;
/// Share of skipped intervals above which the remark is a caution.
const SKIPPED: f64 = 0.10;
/// Recordings shorter than this, in seconds, miss slower variation.
const SHORT: f64 = 30.0;

pub(super) fn of(before: &Side, after: &Side) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (side, name) in [(before, "before"), (after, "after")] {
        measured(&mut remarks, side, name);
        for recorded in &side.recordings {
            file(&mut remarks, recorded);
        }
    }
    what(&mut remarks, before, after);
    traffic(&mut remarks, before, after);
    if [before, after]
        .iter()
        .all(|side| side.total.extras.work.is_some() || side.total.extras.round_trips.is_some())
    {
        let text = "latency and CPU time also depend on other load: record the same mode twice to see how much they vary \
                    without a change";
        add(&mut remarks, "other_load", Weight::Note, text.to_owned());
    }
    remarks.sort_by_key(|remark| std::cmp::Reverse(remark.weight));
    remarks
}

fn add(remarks: &mut Vec<Remark>, id: &'static str, weight: Weight, text: String) {
    remarks.push(Remark { id, weight, text });
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with two digits")]
fn measured(remarks: &mut Vec<Remark>, side: &Side, name: &str) {
    let (skipped, intervals) = side.skipped();
    if intervals == 0 || skipped == intervals {
        let text = format!("{name}: no interval was measured, so there is nothing to compare");
        return add(remarks, "nothing_measured", Weight::Void, text);
    }
    if side.total.pods().packets() == 0 {
        let text = format!("{name}: there was no pod traffic between nodes");
        return add(remarks, "no_pod_traffic", Weight::Void, text);
    }
    if skipped != 0 {
        let weight = if skipped as f64 > SKIPPED * intervals as f64 { Weight::Caution } else { Weight::Note };
        let text = format!(
            "{name}: {skipped} of {intervals} intervals were skipped, because an underlay device was not watched all \
             the time"
        );
        add(remarks, "intervals_skipped", weight, text);
    }
    if estimate(side, |sample| Some(sample.seconds)).is_some_and(|seconds| seconds.margin.is_none()) {
        let text = format!("{name}: too few intervals for confidence intervals; record for longer");
        add(remarks, "too_few_intervals", Weight::Caution, text);
    } else if side.length().as_secs_f64() < SHORT * side.recordings.len() as f64 {
        let text = format!(
            "{name}: {:.0} s per recording is short: the confidence intervals do not include slower variation",
            side.length().as_secs_f64() / side.recordings.len() as f64
        );
        add(remarks, "short", Weight::Note, text);
    }
}

fn file(remarks: &mut Vec<Remark>, recorded: &Recorded) {
    if let Some(error) = &recorded.file_error {
        add(remarks, "incomplete_file", Weight::Note, error.clone());
    }
    if !recorded.lost.is_empty() {
        let text = format!("{}: hooks were lost at {}", recorded.file, recorded.lost.join(", "));
        add(remarks, "lost_hooks", Weight::Caution, text);
    }
    for (family, modes) in ["IPv4", "IPv6"].into_iter().zip(&recorded.modes) {
        if modes.len() > 1 {
            let text = format!(
                "{}: the {family} mode changed during the recording ({}), so it is neither before nor after",
                recorded.file,
                modes.join(", then ")
            );
            add(remarks, "mode_changed", Weight::Void, text);
        }
    }
}

/// The set of values over a side's recordings.
fn all<T: Ord>(side: &Side, of: impl Fn(&Recorded) -> Vec<T>) -> BTreeSet<T> {
    side.recordings.iter().flat_map(of).collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "none".to_owned() } else { Vec::from_iter(names.iter().cloned()).join(", ") }
}

/// Whether both sides have the same nodes, devices and programs.
fn what(remarks: &mut Vec<Remark>, before: &Side, after: &Side) {
    let devices = |of: fn(&Recorded) -> &Vec<(String, u32)>| {
        move |recorded: &Recorded| -> Vec<String> {
            of(recorded).iter().map(|(name, mtu)| format!("{name} (MTU {mtu})")).collect()
        }
    };
    let mut differ = |id, weight, title: &str, of: &dyn Fn(&Recorded) -> Vec<String>| {
        let (b, a) = (all(before, of), all(after, of));
        if b != a {
            add(remarks, id, weight, format!("{title}: {} before, {} after", listed(&b), listed(&a)));
        }
    };
    differ("nodes", Weight::Caution, "different nodes", &|r| vec![r.node.clone()]);
    differ("underlays", Weight::Caution, "different underlay devices or MTUs", &devices(|r| &r.underlays));
    differ("tunnels", Weight::Note, "different tunnel devices or MTUs", &devices(|r| &r.tunnels));
    differ("kernels", Weight::Note, "different kernels", &|r| vec![r.origin.clone()]);
    differ("versions", Weight::Note, "different versions of Observer", &|r| vec![r.observer.clone()]);
    let hooks = |side: &Side| all(side, |r| r.hooks.iter().map(|hook| hook.label().to_owned()).collect());
    if hooks(before) != hooks(after) && !hooks(before).contains(Hook::Lost.label()) {
        let text =
            format!("different hooks: {} before, {} after", listed(&hooks(before)), listed(&hooks(after)));
        add(remarks, "hooks", Weight::Note, text);
    }
    if before.recordings.len() != after.recordings.len() {
        let (b, a) = (before.recordings.len(), after.recordings.len());
        let text =
            format!("{b} recordings before, {a} after: figures per node are means over different nodes");
        add(remarks, "recordings", Weight::Caution, text);
    }
    let begin = after.recordings.iter().map(|r| r.begin).min();
    let end = before.recordings.iter().map(|r| r.end).max();
    if begin.zip(end).is_some_and(|(begin, end)| begin < end) {
        let text = "the recordings from after begin before those from before have ended".to_owned();
        add(remarks, "order", Weight::Caution, text);
    }
}

/// Whether both sides carried the same traffic.
#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn traffic(remarks: &mut Vec<Remark>, before: &Side, after: &Side) {
    let metric = |side: &Side, id: &str| {
        super::METRICS.iter().find(|metric| metric.id == id).and_then(|metric| metric.of(&side.total))
    };
    let factor = |id: &str| {
        let (b, a) = (metric(before, id)?, metric(after, id)?);
        (b > 0.0 && a > 0.0).then(|| (b, a, (b / a).max(a / b)))
    };
    if let Some((b, a, by)) = factor("mean_inner_size").filter(|(_, _, by)| *by > OTHER_SIZES) {
        let text = format!(
            "different packet sizes (mean {b:.0} B before, {a:.0} B after, factor {by:.2}): overhead ratios are not \
             directly comparable, figures per packet are; the decomposition separates mode and traffic"
        );
        add(remarks, "packet_sizes", Weight::Caution, text);
    }
    if let Some((_, _, by)) = factor("packet_rate").filter(|(_, _, by)| *by > OTHER_RATE) {
        let text = format!(
            "different packet rate (factor {by:.2}): figures per packet are comparable; latency and CPU time depend on \
             the load"
        );
        add(remarks, "packet_rate", Weight::Caution, text);
    }
    let share = |part: &Figures, whole: &Figures| {
        (whole.packets() != 0).then(|| part.packets() as f64 / whole.packets() as f64)
    };
    let mut shares = |id, title: &str, of: &dyn Fn(&Side) -> Option<f64>| {
        if let Some((b, a)) = of(before).zip(of(after)).filter(|(b, a)| (b - a).abs() > OTHER_SHARE) {
            let text = format!("{title}: {:.0} % of packets before, {:.0} % after", b * 100.0, a * 100.0);
            add(remarks, id, Weight::Note, text);
        }
    };
    shares("directions", "different share of incoming traffic", &|side| {
        share(&side.total.entering, &side.total.pods())
    });
    shares("external", "different share of external traffic", &|side| {
        share(&side.total.other, &side.total.all())
    });
    shares("destinations", "different share of traffic within the subnet", &|side| {
        let scopes = &side.total.scopes;
        let all: u64 = scopes.iter().flatten().sum();
        (all != 0).then(|| scopes[0].iter().sum::<u64>() as f64 / all as f64)
    });
}
