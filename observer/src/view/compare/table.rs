//! The comparison as text.

use std::fmt::Write as _;
use std::time::Duration;

use super::labels;
use crate::model::compare::{Comparison, Group, Outcome, Verdict, Weight};
use crate::view::grid::{Cell, Column, Form, Tone};
use crate::view::text::{TableOptions, paint, plain, section, strong};
use crate::view::units;

/// Not used: all cells are preformatted text.
const FORM: Form = Form { rates: false, bits: false, interval: Duration::ZERO };

/// A comparison as text, with a final newline.
#[must_use]
pub fn comparison(of: &Comparison, colour: bool) -> String {
    let options = TableOptions { colour, ..TableOptions::default() };
    let mut text = format!(
        "{}  {}  →  {}\n",
        strong("Before and after", colour),
        labels::side_modes(&of.before),
        labels::side_modes(&of.after)
    );
    section(&mut text, &options, "Recordings", &recording_columns(), &recordings(of), &FORM);
    let verdicts: Vec<&Verdict> = of.verdicts.iter().collect();
    section(&mut text, &options, "Verdict", &verdict_columns(), &verdicts, &FORM);
    for group in Group::ALL {
        let rows: Vec<[String; 6]> = of
            .rows
            .iter()
            .filter(|row| row.metric.group == group && row.is_shown())
            .map(labels::cells)
            .collect();
        section(&mut text, &options, group.title(), &figure_columns(), &rows, &FORM);
    }
    if let Some(parts) = &of.decomposition {
        let rows: Vec<[String; 3]> =
            parts.effects.iter().map(|(effect, part)| labels::effect(*effect, *part)).collect();
        section(&mut text, &options, "Why the overhead changed", &effect_columns(), &rows, &FORM);
        let _ = writeln!(text, "  {}", labels::decomposed(parts));
    }
    let sizes: Vec<[String; 3]> = labels::size_classes(of)
        .into_iter()
        .map(|(name, class)| [name, units::ratio(class.shares[0]), units::ratio(class.shares[1])])
        .collect();
    section(&mut text, &options, "Packet sizes of pod traffic, L3 bytes", &size_columns(), &sizes, &FORM);
    let _ = writeln!(text, "\n{}", labels::confidence());
    for remark in &of.remarks {
        let tone = if remark.weight == Weight::Note { Tone::Plain } else { Tone::Alarm };
        let label = paint(&format!("{}:", remark.weight.label()), tone, colour);
        let _ = writeln!(text, "{label} {}", units::printable(&remark.text));
    }
    text
}

fn recordings(of: &Comparison) -> Vec<[String; 6]> {
    let side = |name: &'static str, side: &crate::model::compare::Side| -> Vec<[String; 6]> {
        let row = |recorded| {
            let [file, node, modes, time, length] = labels::recorded(recorded);
            [name.to_owned(), file, node, modes, time, length]
        };
        side.recordings.iter().map(row).collect()
    };
    [side("before", &of.before), side("after", &of.after)].concat()
}

fn right<T>(column: Column<T>) -> Column<T> {
    Column { right: true, ..column }
}

fn recording_columns() -> Vec<Column<[String; 6]>> {
    vec![
        plain("", |row, _| Cell::text(&row[0])),
        plain("FILE", |row, _| Cell::text(&row[1])),
        plain("NODE", |row, _| Cell::text(&row[2])),
        plain("MODE", |row, _| Cell::text(&row[3])),
        plain("TIME", |row, _| Cell::text(&row[4])),
        plain("LENGTH", |row, _| Cell::text(&row[5])),
    ]
}

fn verdict_columns<'a>() -> Vec<Column<&'a Verdict>> {
    vec![
        plain("AIM", |verdict, _| Cell::text(verdict.aim.title())),
        plain("OUTCOME", |verdict, _| {
            let tone = match verdict.outcome {
                Outcome::Worse => Tone::Alarm,
                Outcome::NotReached => Tone::Notice,
                Outcome::Reached | Outcome::Inconclusive => Tone::Plain,
            };
            Cell::text(verdict.outcome.title()).tone(tone)
        }),
        plain("REASON", |verdict, _| Cell::text(&verdict.reason)),
    ]
}

fn figure_columns() -> Vec<Column<[String; 6]>> {
    vec![
        plain(labels::TITLES[0], |row, _| Cell::text(&row[0])),
        right(plain(labels::TITLES[1], |row, _| Cell::text(&row[1]))),
        right(plain(labels::TITLES[2], |row, _| Cell::text(&row[2]))),
        right(plain(labels::TITLES[3], |row, _| Cell::text(&row[3]))),
        right(plain(labels::TITLES[4], |row, _| Cell::text(&row[4]))),
        plain(labels::TITLES[5], |row, _| Cell::text(&row[5])),
    ]
}

fn effect_columns() -> Vec<Column<[String; 3]>> {
    vec![
        plain("EFFECT", |row, _| Cell::text(&row[0])),
        plain("CAUSE", |row, _| Cell::text(&row[1])),
        right(plain("CHANGE", |row, _| Cell::text(&row[2]))),
    ]
}

fn size_columns() -> Vec<Column<[String; 3]>> {
    vec![
        plain("BYTES", |row, _| Cell::text(&row[0])),
        right(plain("BEFORE", |row, _| Cell::text(&row[1]))),
        right(plain("AFTER", |row, _| Cell::text(&row[2]))),
    ]
}
