//! Cells and sentences shared by every format of a comparison.

use crate::model::compare::{
    CONFIDENCE, Change, Compared, Comparison, Decomposition, Effect, Estimate, Recorded, Side, SizeShare,
    Unit,
};
use crate::view::units;

/// A figure in its unit.
pub(super) fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Ratio => units::ratio(Some(value)),
        Unit::Bytes => format!("{} B", digits(value)),
        Unit::BitsPerSecond => units::si_unit(value, "bit/s"),
        Unit::PacketsPerSecond => units::si_unit(value, "/s"),
        Unit::PerMillion => units::si(value),
        Unit::Microseconds => format!("{} µs", digits(value)),
        Unit::Nanoseconds => format!("{} ns", digits(value)),
    }
}

/// Four digits or so: `1.0662`, `46.31`, `709.8`, `1500`.
fn digits(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.*}", decimals(value)) }
}

fn decimals(value: f64) -> usize {
    match value.abs() {
        size if size < 9.9995 => 4,
        size if size < 99.995 => 2,
        size if size < 999.95 => 1,
        _ => 0,
    }
}

/// A difference with its sign. Differences of ratios are in percentage points, because percent would be read as
/// relative.
pub(super) fn difference(unit: Unit, change: f64) -> String {
    let size = match unit {
        Unit::Ratio => points(change.abs()),
        _ => value(unit, change.abs()),
    };
    format!("{}{size}", sign(change))
}

fn sign(value: f64) -> &'static str {
    match value {
        v if v > 0.0 => "+",
        v if v < 0.0 => "−",
        _ => "",
    }
}

fn points(ratio: f64) -> String {
    match ratio * 100.0 {
        v if v > 0.0 && v < 0.005 => "<0.01 points".to_owned(),
        v => format!("{v:.2} points"),
    }
}

/// A figure with its interval: `3.45 % ± 0.12`.
pub(super) fn estimate(unit: Unit, figure: Option<Estimate>) -> String {
    let Some(figure) = figure else { return "not measured".to_owned() };
    let shown = value(unit, figure.value);
    match figure.margin {
        Some(margin) if margin > 0.0 => format!("{shown} ± {}", bare(unit, margin, figure.value)),
        _ => shown,
    }
}

/// A difference with its interval.
pub(super) fn change(unit: Unit, figure: Option<Change>) -> String {
    let Some(figure) = figure else { return units::UNKNOWN.to_owned() };
    let shown = difference(unit, figure.value);
    match figure.margin {
        Some(margin) if margin > 0.0 => format!("{shown} ± {}", bare(unit, margin, figure.value)),
        _ => shown,
    }
}

/// A margin with the digits of the value, and without its unit unless the unit may have a different prefix.
fn bare(unit: Unit, margin: f64, of: f64) -> String {
    match unit {
        Unit::Ratio => units::percent(Some(margin)),
        Unit::Bytes | Unit::Microseconds | Unit::Nanoseconds => {
            let least = 10_f64.powi(-i32::try_from(decimals(of)).unwrap_or(0));
            let shown = margin.max(least);
            let less = if margin < least { "<" } else { "" };
            format!("{less}{shown:.*}", decimals(of))
        }
        Unit::BitsPerSecond | Unit::PacketsPerSecond | Unit::PerMillion => value(unit, margin),
    }
}

/// The change relative to the value before: `−50.1 %`.
pub(super) fn relative(row: &Compared) -> String {
    match relative_change(row) {
        Some(ratio) => format!("{}{:.1} %", sign(ratio), ratio.abs() * 100.0),
        None => units::UNKNOWN.to_owned(),
    }
}

/// The change relative to the value before; `None` if that is zero.
pub(super) fn relative_change(row: &Compared) -> Option<f64> {
    let before = row.before?.value;
    (before != 0.0).then_some(row.change?.value / before)
}

/// Whether the change is significant.
pub(super) fn clear(row: &Compared) -> &'static str {
    match row.change {
        None => units::UNKNOWN,
        Some(change) if change.value == 0.0 => "no change",
        Some(_) if row.metric.is_maximum() => units::UNKNOWN,
        Some(change) => match change.is_clear() {
            None => "unknown",
            Some(false) => "not significant",
            Some(true) if change.value < 0.0 => "lower",
            Some(true) => "higher",
        },
    }
}

/// The titles of a row's cells.
pub(super) const TITLES: [&str; 6] = ["METRIC", "BEFORE", "AFTER", "CHANGE", "RELATIVE", "RESULT"];

/// A row's cells.
pub(super) fn cells(row: &Compared) -> [String; 6] {
    let unit = row.metric.unit;
    [
        row.metric.title.to_owned(),
        estimate(unit, row.before),
        estimate(unit, row.after),
        change(unit, row.change),
        relative(row),
        clear(row).to_owned(),
    ]
}

/// The cells of an effect: name, cause, contribution.
pub(super) fn effect(effect: Effect, part: Change) -> [String; 3] {
    let cause = if effect.is_mode() { "mode" } else { "traffic" };
    [effect.title().to_owned(), cause.to_owned(), change(Unit::Ratio, Some(part))]
}

/// The decomposition as a sentence.
pub(super) fn decomposed(parts: &Decomposition) -> String {
    let [before, after] = parts.ratios.map(|ratio| units::ratio(Some(ratio)));
    format!(
        "The overhead of pod traffic changed from {before} to {after} of its L3 bytes: {} due to the mode, {} due to \
         the traffic. With the traffic from before, the new mode would have {}.",
        change(Unit::Ratio, Some(parts.mode)),
        change(Unit::Ratio, Some(parts.traffic)),
        estimate(Unit::Ratio, Some(Estimate { value: parts.expected.value, margin: parts.expected.margin })),
    )
}

/// The meaning of the intervals, as a sentence.
pub(super) fn confidence() -> String {
    format!(
        "± is the {:.0} % confidence interval, from the variation within the recordings; points are percentage points.",
        CONFIDENCE * 100.0
    )
}

/// The name of a size class.
pub(super) fn size_class(class: &SizeShare, before: Option<u32>) -> String {
    match (class.up_to, before) {
        (Some(up_to), None) => format!("up to {up_to}"),
        (Some(up_to), Some(below)) => format!("{} to {up_to}", below + 1),
        (None, Some(below)) => format!("above {below}"),
        (None, None) => "all".to_owned(),
    }
}

/// The size classes with their names.
pub(super) fn size_classes(comparison: &Comparison) -> Vec<(String, &SizeShare)> {
    let mut below = None;
    comparison
        .sizes
        .iter()
        .map(|class| {
            let name = size_class(class, below);
            below = class.up_to;
            (name, class)
        })
        .collect()
}

/// The modes of a recording: `vxlan-always`, or `vxlan-always (IPv6 native)`.
pub(super) fn modes(recorded: &Recorded) -> String {
    let [ipv4, ipv6] = recorded.modes.clone().map(|modes| modes.join(" → "));
    match (ipv4.is_empty(), ipv6.is_empty()) {
        (true, true) => "mode unknown".to_owned(),
        (false, false) if ipv4 != ipv6 => format!("{ipv4} (IPv6 {ipv6})"),
        (true, false) => format!("{ipv6} (IPv6)"),
        _ => ipv4,
    }
}

/// The modes of a side, without duplicates.
pub(super) fn side_modes(side: &Side) -> String {
    let mut all: Vec<String> = Vec::new();
    for mode in side.recordings.iter().map(modes) {
        if !all.contains(&mode) {
            all.push(mode);
        }
    }
    units::printable(&all.join(", "))
}

/// The cells of a recording: file, node, mode, time, length.
pub(super) fn recorded(recorded: &Recorded) -> [String; 5] {
    [
        units::printable(&recorded.file),
        units::printable(&recorded.node),
        units::printable(&modes(recorded)),
        format!("{} to {}", units::time_of_day(recorded.begin), units::time_of_day(recorded.end)),
        format!(
            "{} in {} intervals",
            units::duration(recorded.end.saturating_sub(recorded.begin)),
            recorded.intervals
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_units_and_differences_have_signs() {
        assert_eq!(value(Unit::Ratio, 0.034_5), "3.45 %");
        assert_eq!(difference(Unit::Ratio, -0.034_5), "−3.45 points");
        assert_eq!(difference(Unit::Ratio, 0.000_01), "+<0.01 points");
        assert_eq!(difference(Unit::Bytes, 12.345), "+12.35 B");
        assert_eq!(difference(Unit::PerMillion, 0.0), "0");
        assert_eq!(value(Unit::Bytes, 1.066_2), "1.0662 B");
        let figure = Some(Estimate { value: 0.5, margin: Some(0.001_2) });
        assert_eq!(estimate(Unit::Ratio, figure), "50.00 % ± 0.12");
        assert_eq!(estimate(Unit::Ratio, None), "not measured");
        assert_eq!(
            change(Unit::BitsPerSecond, Some(Change { value: -2e6, margin: Some(1e6) })),
            "−2.00 Mbit/s ± 1.00 Mbit/s"
        );
    }
}
