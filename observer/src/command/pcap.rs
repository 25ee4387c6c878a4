//! `observer pcap`.

use std::path::Path;

use anyhow::{Result, bail};

use super::output::Output;
use crate::capture::{CaptureError, Counter, Options, Progress, Records, Wanted, open};
use crate::cli::{EventChoice, Format, PcapArgs};
use crate::view::pcap;

/// Frames between two looks at the progress bar.
const STEP: u64 = 1 << 14;
/// Events are written in pieces of about so many bytes.
const PIECE: usize = 1 << 16;

/// Runs `observer pcap`.
///
/// # Errors
/// What could not be opened, read to its end, counted or written; what was counted is written before.
pub fn run(args: &PcapArgs) -> Result<()> {
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
        listening: true,
    };
    reading.header();
    let mut problems = Vec::new();
    for path in &args.files {
        if !reading.listening {
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
            bail!("{} problems:\n  {first}{}", problems.len(), more.concat())
        }
    }
}

struct Reading {
    counter: Counter,
    output: Output,
    events: String,
    format: Format,
    wanted: Wanted,
    /// Somebody reads what is written.
    listening: bool,
}

impl Reading {
    fn header(&mut self) {
        if self.wanted != Wanted::Nothing && self.format == Format::Csv {
            self.events = pcap::events_header();
        }
    }

    /// Counts one file; what is wrong with it is noted.
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
    ) -> Result<Result<(), crate::capture::Damage>> {
        let mut frames = 0_u64;
        loop {
            match records.next_record() {
                Err(damage) => return Ok(Err(damage)),
                Ok(None) => break,
                Ok(Some((record, interface))) => {
                    if let Some(event) = self.counter.count(&record, interface, self.wanted) {
                        self.events += &pcap::event(&event, self.format);
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

    fn flush(&mut self) -> Result<bool> {
        if !self.events.is_empty() {
            self.listening = self.output.write(&self.events)?;
            self.events.clear();
        }
        Ok(self.listening)
    }

    fn report(&mut self, args: &PcapArgs) -> Result<()> {
        if !self.flush()? {
            return Ok(());
        }
        let summary = self.counter.summary();
        let text = match self.format {
            Format::Json => pcap::json(&summary, args.paths).to_string() + "\n",
            // A CSV file has one header: with events asked for, they are the rows.
            Format::Csv if args.events.is_some() => return Ok(()),
            Format::Csv if args.paths.is_some() => pcap::csv_paths(&summary, args.paths),
            Format::Csv => pcap::csv(&summary),
            Format::Table => pcap::table(&summary, args.paths, self.output.colour),
        };
        self.output.write(&text)?;
        Ok(())
    }
}
