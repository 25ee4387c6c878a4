//! Rows as CSV (RFC 4180, `\n` line ends): one line per device, direction and encapsulation, or one line per path.
//! Empty fields are unknown.

use std::fmt::Display;

use observer_common::counters::{PathCounter, Total};

use crate::model::Report;
use crate::snapshot::Vni;

/// The header of [`rows`], without a newline.
#[must_use]
pub fn rows_header() -> String {
    let fixed = [
        "taken_seconds",
        "interval_seconds",
        "node",
        "device",
        "role",
        "direction",
        "encapsulation",
        "state",
    ];
    let counters = Total::ALL.iter().map(|counter| counter.label());
    join(fixed.into_iter().chain(counters).chain(["overhead_bytes", "overhead_ratio"]))
}

/// The rows of a report, each with a newline.
#[must_use]
pub fn rows(report: &Report) -> String {
    let mut text = String::new();
    for line in report.lines() {
        let figures = line.figures();
        let mut fields = common(report);
        fields.extend([
            line.device.device.name.clone(),
            line.device.device.role.label().to_owned(),
            line.known_direction().map_or_else(String::new, |direction| direction.label().to_owned()),
            line.row.map_or_else(String::new, |row| row.class.label().to_owned()),
            line.state.label().to_owned(),
        ]);
        fields.extend(Total::ALL.iter().map(|counter| optional(line.count(*counter))));
        fields.push(optional(figures.map(|f| f.overhead_bytes())));
        fields.push(optional(figures.and_then(|f| f.overhead_ratio())));
        text.push_str(&join(fields.iter().map(String::as_str)));
        text.push('\n');
    }
    text
}

/// The header of [`paths`], without a newline.
#[must_use]
pub fn paths_header() -> String {
    let fixed = [
        "taken_seconds",
        "interval_seconds",
        "node",
        "device",
        "direction",
        "encapsulation",
        "vni",
        "peer",
        "source",
        "destination",
        "scope",
        "state",
    ];
    let counters = PathCounter::ALL.iter().map(|counter| counter.label());
    join(fixed.into_iter().chain(counters).chain(["overhead_bytes", "overhead_ratio"]))
}

/// The paths of a report, each with a newline.
#[must_use]
pub fn paths(report: &Report) -> String {
    let mut text = String::new();
    for line in report.path_lines() {
        let (id, figures) = (&line.path.id, &line.path.figures);
        let vni = match id.vni {
            Vni::None => String::new(),
            Vni::Own(number) => number.to_string(),
            Vni::Unknown => "unknown".to_owned(),
        };
        let mut fields = common(report);
        fields.extend([
            id.device.to_string(),
            line.known_direction().map_or_else(String::new, |direction| direction.label().to_owned()),
            id.class.label().to_owned(),
            vni,
            optional(line.peer()),
            optional(line.ends().map(|ends| ends.0)),
            optional(line.ends().map(|ends| ends.1)),
            line.path.scope.label().to_owned(),
            line.state.label().to_owned(),
        ]);
        fields.extend(PathCounter::ALL.iter().map(|counter| optional(line.count(*counter))));
        fields.push(figures.overhead_bytes().to_string());
        fields.push(optional(figures.overhead_ratio()));
        text.push_str(&join(fields.iter().map(String::as_str)));
        text.push('\n');
    }
    text
}

fn common(report: &Report) -> Vec<String> {
    vec![
        report.taken.as_secs_f64().to_string(),
        report.interval.as_secs_f64().to_string(),
        report.node.clone(),
    ]
}

pub(super) fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

pub(super) fn join<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    fields.map(quoted).collect::<Vec<_>>().join(",")
}

/// A field, quoted if necessary.
pub(crate) fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;

    #[test]
    fn every_line_has_the_fields_of_the_header() {
        let report = Report::between(&fixture::snapshot(10), &fixture::lost(11, 10));
        for (header, body) in [(rows_header(), rows(&report)), (paths_header(), paths(&report))] {
            assert!(!body.is_empty());
            for line in body.lines() {
                assert_eq!(line.split(',').count(), header.split(',').count(), "{line}");
            }
        }
    }

    #[test]
    fn unknown_is_empty() {
        let mut snapshot = fixture::snapshot(1);
        snapshot.devices[0].totals.clear();
        snapshot.devices[0].hooks[0] = crate::snapshot::Hook::Lost;
        let first = rows(&Report::total(&snapshot));
        let first = first.lines().next().expect("a row");
        assert!(first.contains("eth0,underlay,ingress,,lost,,,"), "{first}");
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quoted("a\"b,c"), "\"a\"\"b,c\"");
    }
}
