//! `observer stat`.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::output::Output;
use super::session::{Signals, block_on, options};
use crate::cli::{Format, StatArgs};
use crate::config::Settings;
use crate::kernel::{Live, Options};
use crate::model::Report;
use crate::view::table::TableOptions;
use crate::view::{csv, json, table};

/// Runs `observer stat`.
///
/// # Errors
/// What could not be attached, read or written.
pub fn run(args: &StatArgs, settings: &Settings) -> Result<()> {
    let mut output = Output::open(&args.output)?;
    let interval = args.interval.or(settings.interval.map(|i| i.0)).unwrap_or(Duration::from_secs(1));
    let once = args.interval.is_none();
    let count = args.count.unwrap_or(if once { 1 } else { u64::MAX });
    let attach = args.attach.clone().or(settings);
    block_on(async {
        let mut signals = Signals::new()?;
        let options = Options { price: args.price.sample(), ..options(attach) };
        let mut live = Live::start(options).await?;
        let result = tokio::select! {
            result = report(&mut live, args, interval, count, &mut output) => result,
            () = signals.any() => Ok(()),
        };
        live.stop().await;
        result
    })
}

async fn report(
    live: &mut Live,
    args: &StatArgs,
    interval: Duration,
    count: u64,
    output: &mut Output,
) -> Result<()> {
    let mut earlier = live.read()?;
    let mut due = Instant::now();
    for nth in 0..count {
        due += interval;
        live.care_until(due).await?;
        let later = live.read()?;
        let report = if args.total { Report::total(&later) } else { Report::between(&earlier, &later) };
        if !output.write(&render(&report, args, nth == 0, output.colour))? {
            break;
        }
        earlier = later;
    }
    Ok(())
}

/// One report in the format that was asked for.
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
