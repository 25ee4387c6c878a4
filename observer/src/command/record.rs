//! `observer record`.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::output::{NewFile, message};
use super::session::{Signals, Source, block_on, measure};
use crate::cli::{AttachArgs, DeviceArgs, IngressHook, RecordArgs};
use crate::kernel::Measure;
use crate::model::Report;
use crate::recording::{End, Header, Writer};
use crate::snapshot::Snapshot;
use crate::view::units;

/// Runs `observer record`.
///
/// # Errors
/// A program cannot be attached, or figures cannot be read or written; snapshots written so far remain.
pub fn run(args: &RecordArgs) -> Result<()> {
    let interval = args.interval;
    let header = |first: &Snapshot| Header {
        observer: env!("CARGO_PKG_VERSION").to_owned(),
        node: first.node.clone(),
        origin: first.origin.clone(),
        created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        interval,
        options: options(&args.attach, measure(args.cost)),
    };
    let file = NewFile::at(&args.output, args.force)?;
    block_on(async {
        let mut signals = Signals::new()?;
        let mut source = Source::open(&args.attach, &args.source, measure(args.cost)).await?;
        let result = async {
            let first = source.read()?;
            let to = Counted { to: file.open()?, bytes: 0 };
            let writer = Writer::new(to, &header(&first));
            let mut recorder = Recorder {
                writer: writer.with_context(|| failed(&args.output))?,
                output: &args.output,
                progress: Progress::start(args.length),
                started: Instant::now(),
                snapshots: 0,
                last: first.clone(),
            };
            // The reader of standard output has gone, which is not an error.
            if !recorder.write(first)? {
                return Ok(());
            }
            let end = tokio::select! {
                end = recorder.go_on(&mut source, interval, args.length) => end,
                () = signals.any() => Ok(End::Interrupted),
            };
            recorder.finish(&mut source, end)
        }
        .await;
        source.stop().await;
        result
    })
}

struct Recorder<'a> {
    writer: Writer<Counted>,
    output: &'a Path,
    progress: Progress,
    started: Instant,
    snapshots: u64,
    last: Snapshot,
}

impl Recorder<'_> {
    /// Writes a snapshot every interval until the end.
    async fn go_on(
        &mut self,
        source: &mut Source,
        interval: Duration,
        length: Option<Duration>,
    ) -> Result<End> {
        let over = length.map(|length| self.started + length);
        let mut due = self.started;
        loop {
            due += interval;
            let next = over.map_or(due, |over| due.min(over));
            source.run_until(next).await?;
            if !self.write(source.read()?)? {
                return Ok(End::Interrupted);
            }
            if over.is_some_and(|over| next >= over) {
                return Ok(End::Done);
            }
        }
    }

    /// Writes a snapshot; false if the reader has gone.
    fn write(&mut self, snapshot: Snapshot) -> Result<bool> {
        let report = Report::between(&self.last, &snapshot);
        match self.writer.snapshot(snapshot.clone()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => return Err(error).with_context(|| failed(self.output)),
        }
        self.snapshots += 1;
        self.progress.show(self.started.elapsed(), self.snapshots, &report);
        self.last = snapshot;
        Ok(true)
    }

    /// Ends the recording, after an interruption with one more snapshot.
    fn finish(mut self, source: &mut Source, end: Result<End>) -> Result<()> {
        let reason = match &end {
            Ok(reason) => *reason,
            Err(_) => End::Failed,
        };
        if reason == End::Interrupted
            && let Ok(last) = source.read()
        {
            self.write(last)?;
        }
        self.progress.finish();
        let written = match self.writer.end(reason) {
            Ok(to) => to.bytes,
            // Reported above: the reader has gone, or the disk is full.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe || end.is_err() => 0,
            Err(error) => return Err(error).with_context(|| failed(self.output)),
        };
        end?;
        if self.output != Path::new("-") {
            message(format_args!(
                "{}: {} snapshots over {}, {}",
                self.output.display(),
                self.snapshots,
                units::duration(self.started.elapsed()),
                units::bytes(written),
            ));
        }
        Ok(())
    }
}

fn failed(path: &Path) -> String {
    format!("cannot write the recording to {}; the snapshots written so far can be read", path.display())
}

/// The options, by their names on the command line.
fn options(attach: &AttachArgs, cost: Option<Measure>) -> Map<String, Value> {
    let mut options = Map::new();
    let DeviceArgs { devices, workloads, .. } = &attach.devices;
    if !devices.is_empty() {
        options.insert("devices".to_owned(), json!(devices));
    }
    if *workloads {
        options.insert("workloads".to_owned(), true.into());
    }
    if attach.ingress == IngressHook::Xdp {
        options.insert("ingress".to_owned(), "xdp".into());
    }
    if let Some(Measure { sample, hooks }) = cost {
        options.insert("cost_sample".to_owned(), sample.into());
        options.insert("cost_rtt_at_hooks".to_owned(), hooks.into());
    }
    options
}

/// Counts the bytes written.
struct Counted {
    to: Box<dyn Write>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A progress line on a terminal.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn start(length: Option<Duration>) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let template =
            if length.is_some() { "recording {bar:30} {msg}" } else { "recording {spinner} {msg}" };
        let milliseconds = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let bar = length.map_or_else(ProgressBar::new_spinner, |l| ProgressBar::new(milliseconds(l)));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    fn show(&self, elapsed: Duration, snapshots: u64, report: &Report) {
        let Some(bar) = &self.0 else { return };
        bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let overhead = report.underlay().and_then(|underlay| underlay.figures.overhead_ratio());
        bar.set_message(format!(
            "{}  {snapshots} snapshots  overhead {}",
            units::duration(elapsed),
            units::ratio(overhead)
        ));
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
