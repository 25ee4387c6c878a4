//! The report on captures with a section about the files.

use std::time::Duration;

use serde_json::{Value, json};

use crate::capture::FileSummary;
use crate::model::Report;
use crate::view::grid::{Cell, Column, Form};
use crate::view::table::{TableOptions, with};
use crate::view::text::{number, plain, section};
use crate::view::{json as stat_json, units};

/// The report as one line of JSON (`docs/pcap-json.md`) without a newline.
#[must_use]
pub fn json(report: &Report, files: &[FileSummary]) -> String {
    let capture = json!({
        "complete": files.iter().all(FileSummary::is_complete),
        "files": files.iter().map(file).collect::<Vec<_>>(),
    });
    stat_json::captured(report, &capture)
}

fn file(file: &FileSummary) -> Value {
    json!({
        "first_seconds": file.times.map(|times| times.0.as_secs_f64()),
        "frames": file.frames,
        "last_seconds": file.times.map(|times| times.1.as_secs_f64()),
        "link_types": file.link_types,
        "name": file.name,
        "problems": file.problems,
        "snap_length": file.snap_length,
        "snapped": file.snapped,
        "uncounted": file.uncounted,
    })
}

/// The report as text with a final newline.
#[must_use]
pub fn table(report: &Report, files: &[FileSummary], options: &TableOptions) -> String {
    let mut text = String::new();
    let form = Form { rates: options.rates, bits: options.bits, interval: report.interval };
    let files: Vec<&FileSummary> = files.iter().collect();
    section(&mut text, options, "Files", &columns(), &files, &form);
    with(report, options, &text)
}

fn columns<'a>() -> Vec<Column<&'a FileSummary>> {
    vec![
        plain("FILE", |file, _| Cell::text(&file.name)),
        plain("LINK", |file, _| Cell::text(file.link_types.iter().copied().collect::<Vec<_>>().join(","))),
        number("FRAMES", |file, _| Cell::text(file.frames.to_string())),
        number("UNCOUNTED", |file, _| Cell::text(file.uncounted.to_string())),
        number("SNAPPED", |file, _| Cell::text(file.snapped.to_string())),
        Column {
            unit: |_| "B",
            ..number("SNAP LENGTH", |file, _| match file.snap_length {
                Some(length) => Cell::text(length.to_string()),
                None => Cell::text("none"),
            })
        },
        plain("FROM", |file, _| time(file.times.map(|times| units::time_of_day(times.0)))),
        plain("SPAN", |file, _| time(file.times.map(|(first, last)| span(first, last)))),
    ]
}

fn span(first: Duration, last: Duration) -> String {
    units::duration(last.saturating_sub(first))
}

fn time(text: Option<String>) -> Cell {
    text.map_or_else(Cell::unknown, Cell::text)
}
