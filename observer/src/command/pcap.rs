//! `observer pcap`.

use std::path::Path;

use anyhow::{Result, bail};

use super::output::Output;
use crate::capture::{
    CaptureError, Counter, Damage, Event, MAX_VXLAN_PORTS, Options, Progress, Records, VXLAN_PORT, Wanted,
    open,
};
use crate::cli::{EventChoice, Format, PcapArgs};
use crate::model::Report;
use crate::view::table::TableOptions;
use crate::view::{csv, pcap};

/// Frames between two updates of the progress bar.
const STEP: u64 = 1 << 14;
/// Events are written in pieces of about this many bytes.
const PIECE: usize = 1 << 16;

/// Runs `observer pcap`.
///
/// # Errors
/// What could not be opened, read to its end, counted or written. The report on the rest is written first.
pub fn run(args: &PcapArgs) -> Result<()> {
    let additional = args.vxlan_ports.iter().filter(|port| **port != VXLAN_PORT).count();
    if additional > MAX_VXLAN_PORTS {
        bail!(
            "cannot use {additional} additional VXLAN ports: the maximum is {MAX_VXLAN_PORTS}; remove some"
        );
    }
    let output = Output::open(&args.output)?;
    let mut reading = Reading {
        counter: Counter::new(&Options { mtu: args.mtu, vxlan_ports: &args.vxlan_ports }),
        output,
        events: String::new(),
        format: args.output.format,
        wanted: match args.events {
            None => Wanted::Nothing,
            Some(EventChoice::Notable) => Wanted::Notable,
            Some(EventChoice::All) => Wanted::All,
        },
        open: true,
    };
    if args.events.is_some() && args.output.format == Format::Csv {
        reading.events = pcap::event_csv_header().to_owned();
    }
    let mut problems = Vec::new();
    for path in &args.files {
        if !reading.open {
            return Ok(());
        }
        reading.file(path, &mut problems)?;
    }
    reading.report(args)?;
    match problems.as_slice() {
        [] => Ok(()),
        [problem] => bail!("{problem}"),
        [first, more @ ..] => {
            let more: Vec<String> = more.iter().map(|problem| format!("\n  {problem}")).collect();
            bail!("cannot count everything: {} problems:\n  {first}{}", problems.len(), more.concat())
        }
    }
}

struct Reading {
    counter: Counter,
    output: Output,
    events: String,
    format: Format,
    wanted: Wanted,
    /// The output has not been closed by its reader.
    open: bool,
}

impl Reading {
    /// Counts one file, and collects its problems.
    fn file(&mut self, path: &Path, problems: &mut Vec<CaptureError>) -> Result<()> {
        let name = path.display().to_string();
        self.counter.begin(&name);
        let before = problems.len();
        match open(path) {
            Err(problem) => problems.push(problem),
            Ok((source, size)) => {
                let progress = Progress::start(&name, size);
                let mut records = Records::new(source);
                let outcome = self.records(&mut records, &progress);
                progress.finish();
                if let Err(problem) = outcome? {
                    problems.push(CaptureError::damaged(&name, problem));
                }
            }
        }
        let unsupported = self.counter.unsupported().iter();
        problems.extend(unsupported.map(|(link, frames)| CaptureError::link_type(&name, *link, *frames)));
        for problem in &problems[before..] {
            self.counter.problem(problem);
        }
        Ok(())
    }

    fn records(
        &mut self,
        records: &mut Records<Box<dyn std::io::Read>>,
        progress: &Progress,
    ) -> Result<Result<(), Damage>> {
        let mut frames = 0_u64;
        loop {
            match records.next_record() {
                Err(damage) => return Ok(Err(damage)),
                Ok(None) => break,
                Ok(Some((record, interface))) => {
                    if let Some(event) = self.counter.count(&record, interface, self.wanted) {
                        self.events += &self.event(&event);
                    }
                }
            }
            frames += 1;
            if frames.is_multiple_of(STEP) {
                progress.set(records.offset());
            }
            if self.events.len() > PIECE && !self.flush()? {
                break;
            }
        }
        Ok(Ok(()))
    }

    fn event(&self, event: &Event) -> String {
        match self.format {
            Format::Json => pcap::event_json(event),
            Format::Csv => pcap::event_csv(event),
            Format::Table => pcap::event_text(event),
        }
    }

    fn flush(&mut self) -> Result<bool> {
        if !self.events.is_empty() {
            self.open = self.output.write(&self.events)?;
            self.events.clear();
        }
        Ok(self.open)
    }

    fn report(&mut self, args: &PcapArgs) -> Result<()> {
        if !self.flush()? {
            return Ok(());
        }
        let report = Report::total(&self.counter.snapshot());
        let files = self.counter.files();
        let text = match self.format {
            Format::Json => pcap::json(&report, files) + "\n",
            // A CSV file has one header: with --events, its rows are the events.
            Format::Csv if args.events.is_some() => return Ok(()),
            Format::Csv if args.paths.is_some() => csv::paths_header() + "\n" + &csv::paths(&report),
            Format::Csv => csv::rows_header() + "\n" + &csv::rows(&report),
            Format::Table => {
                let options = TableOptions {
                    paths: args.paths.is_some(),
                    top: args.paths,
                    rates: false,
                    bits: false,
                    colour: self.output.colour,
                    ..TableOptions::default()
                };
                pcap::table(&report, files, &options)
            }
        };
        self.output.write(&text)?;
        Ok(())
    }
}
