//! `observer stat`.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::output::Output;
use super::replay::{self, Selection};
use super::session::{Signals, Source, block_on, measure};
use crate::cli::{Format, StatArgs};
use crate::model::Report;
use crate::view::table::TableOptions;
use crate::view::{csv, json, table};

/// Runs `observer stat`.
///
/// # Errors
/// A program cannot be attached, or figures cannot be read or written.
pub fn run(args: &StatArgs) -> Result<()> {
    let mut output = Output::open(&args.output)?;
    let count = args.count.unwrap_or(if args.repeat { u64::MAX } else { 1 });
    if let Some(path) = &args.replay {
        return replayed(path, args, &mut output);
    }
    block_on(async {
        let mut signals = Signals::new()?;
        let cost = measure(args.cost);
        let mut source = Source::open(&args.attach, &args.source, cost).await?;
        let result = tokio::select! {
            result = report(&mut source, args, count, &mut output) => result,
            () = signals.any() => Ok(()),
        };
        source.stop().await;
        result
    })
}

/// The reports of a recording.
fn replayed(path: &Path, args: &StatArgs, output: &mut Output) -> Result<()> {
    let selection = Selection {
        devices: &args.attach.devices.devices,
        step: args.repeat.then_some(args.interval),
        count: args.count.unwrap_or(u64::MAX),
        total: args.total,
    };
    let mut first = true;
    replay::reports(path, &selection, |report| {
        let text = render(report, args, first, output.colour);
        first = false;
        output.write(&text)
    })
}

async fn report(source: &mut Source, args: &StatArgs, count: u64, output: &mut Output) -> Result<()> {
    let mut earlier = source.read()?;
    let mut due = Instant::now();
    for nth in 0..count {
        due += args.interval;
        source.run_until(due).await?;
        let later = source.read()?;
        let report = if args.total { Report::total(&later) } else { Report::between(&earlier, &later) };
        if !output.write(&render(&report, args, nth == 0, output.colour))? {
            break;
        }
        earlier = later;
    }
    Ok(())
}

/// One report in the requested format.
fn render(report: &Report, args: &StatArgs, first: bool, colour: bool) -> String {
    match args.output.format {
        Format::Json => json::line(report) + "\n",
        Format::Csv => {
            let (header, rows) = if args.paths.is_some() {
                (csv::paths_header(), csv::paths(report))
            } else {
                (csv::rows_header(), csv::rows(report))
            };
            if first { format!("{header}\n{rows}") } else { rows }
        }
        Format::Table => {
            let options = TableOptions {
                paths: args.paths.is_some(),
                top: args.paths,
                rates: !args.total,
                bits: !args.bytes,
                colour,
                ..TableOptions::default()
            };
            let text = table::report(report, &options);
            if first { text } else { format!("\n{text}") }
        }
    }
}
