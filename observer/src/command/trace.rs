//! `observer trace`.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use observer_common::event::{Event, SNAP, TraceConfig, Why};

use super::output::{NewFile, message};
use super::session::{Signals, block_on};
use crate::cli::trace::{TraceArgs, TraceFormat};
use crate::kernel::{Capacities, Drops, Live, Options, Purpose, Trace, possible_cpus, sys};
use crate::trace::{Dropped, Expression, TracedPacket, compile, traced_packet};
use crate::view::pcapng::Capture;
use crate::view::trace as view;

/// Minimum size of the ring buffer in bytes: headers of about 4,000 packets.
const RING: u32 = 1 << 20;
/// Packets of the snap length that it can store.
const ROOM: u32 = 512;
/// How often hooks are checked and losses are reported.
const TICK: Duration = Duration::from_secs(1);
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// Runs `observer trace`.
///
/// # Errors
/// The filter is wrong, a program cannot be attached, or packets cannot be read or written.
pub fn run(args: &TraceArgs) -> Result<()> {
    let filter = args.filter.as_deref().map(Expression::parse).transpose()?;
    let options = Options { purpose: Purpose::Trace, ..Options::from(&args.attach) };
    // Nothing is counted, so no paths are needed.
    let capacities = Capacities { trace: ring(snap(args)), paths: 1, ..options.capacities };
    let longer = if snap(args) > SNAP as u32 { possible_cpus()? } else { 1 };
    let options = Options { capacities: Capacities { longer, ..capacities }, ..options };
    // Before anything is attached, to fail early.
    let mut sink = Sink::open(args)?;
    block_on(async {
        let mut signals = Signals::new()?;
        let mut live = match Live::start(options).await {
            Ok(live) => live,
            Err(error) => {
                sink.forget();
                return Err(error.into());
            }
        };
        let result = stream(&mut live, args, filter.as_ref(), &mut sink, &mut signals).await;
        live.stop().await;
        result
    })
}

/// Bytes of each packet that the kernel sends: at least the headers, for the printed lines.
fn snap(args: &TraceArgs) -> u32 {
    if args.pcapng.is_some() { args.snap.max(SNAP as u32) } else { SNAP as u32 }
}

/// Size of the ring buffer for packets of this length.
fn ring(snap: u32) -> u32 {
    let event = snap.saturating_add(size_of::<Event>() as u32);
    event.saturating_mul(ROOM).next_power_of_two().max(RING)
}

fn wanted(args: &TraceArgs) -> TraceConfig {
    TraceConfig {
        why: args.why.iter().fold(0, |set, why| set | why.bits()),
        snap: snap(args),
        every: if args.rate == 0 { 0 } else { SECOND / u64::from(args.rate) },
        burst: args.rate,
        steps: 0,
    }
}

async fn stream(
    live: &mut Live,
    args: &TraceArgs,
    filter: Option<&Expression>,
    sink: &mut Sink<'_>,
    signals: &mut Signals,
) -> Result<()> {
    let steps = filter.map(|filter| compile(filter, &|name| live.slot(name))).transpose()?;
    let wanted = wanted(args);
    let mut trace = Trace::start(live, wanted, &steps.unwrap_or_default())?;
    let drops = drops(live, wanted)?;
    for missing in &drops.missing {
        message(missing);
    }
    message(format_args!("Tracing {}; press Ctrl-C to stop.", live.watched().collect::<Vec<_>>().join(", ")));
    let clock = clock();
    let end = args.duration.map(|duration| Instant::now() + duration);
    let most = args.count.unwrap_or(u64::MAX);
    let mut shown = 0;
    let mut reported = (0, 0);
    loop {
        let due = end.map_or(Instant::now() + TICK, |end| end.min(Instant::now() + TICK));
        let over = tokio::select! {
            ready = trace.ready() => { ready?; false }
            cared = live.run_until(due) => { cared?; end.is_some_and(|end| Instant::now() >= end) }
            () = signals.any() => true,
        };
        let reading = show(&mut trace, live, &drops, sink, clock, most, &mut shown)?;
        reported = losses(&trace, reported)?;
        if over || !reading || shown >= most {
            break;
        }
    }
    let (suppressed, lost) = reported;
    message(format_args!("{shown} packets shown, {suppressed} suppressed by the rate limit, {lost} lost."));
    Ok(())
}

/// Traces drops if requested. If that fails and nothing else is requested, the command fails.
fn drops(live: &mut Live, wanted: TraceConfig) -> Result<Drops> {
    if wanted.why & Why::Drop.bit() == 0 {
        return Ok(Drops::default());
    }
    match Drops::start(live) {
        Err(error) if wanted.why == Why::Drop.bit() => Err(error).context("cannot trace drops"),
        Err(error) => Ok(Drops::none(&error)),
        Ok(drops) => Ok(drops),
    }
}

/// Prints the pending packets; false if the reader has gone.
fn show(
    trace: &mut Trace,
    live: &Live,
    drops: &Drops,
    sink: &mut Sink<'_>,
    clock: u64,
    most: u64,
    shown: &mut u64,
) -> Result<bool> {
    let config = live.topology().config();
    while *shown < most
        && let Some(bytes) = trace.take()
    {
        let Some((event, bytes)) = Event::split(&bytes) else { continue };
        let device = live.name_of(event.slot).unwrap_or("?");
        let mut packet = traced_packet(event, bytes, device, &config, clock);
        if event.is(Why::Drop) {
            let [reason, function] = [drops.reason(event.reason), drops.function(event.location)];
            packet.drop =
                Some(Dropped { reason: reason.map(str::to_owned), function: function.map(str::to_owned) });
        }
        if !sink.write(&packet)? {
            return Ok(false);
        }
        *shown += 1;
    }
    sink.flush()
}

/// Destination of packets.
struct Sink<'a> {
    /// Lines on standard output.
    lines: Option<TraceFormat>,
    file: Option<CaptureFile<'a>>,
}

impl<'a> Sink<'a> {
    fn open(args: &'a TraceArgs) -> Result<Self> {
        let to_stdout = args.pcapng.as_deref() == Some(Path::new("-"));
        if to_stdout && args.format.is_some() {
            bail!(
                "cannot write both lines and a capture file to standard output; omit --format, or use --pcapng FILE"
            );
        }
        let lines = (!to_stdout).then(|| args.format.unwrap_or(TraceFormat::Text));
        let file = args.pcapng.as_deref().map(|path| CaptureFile::open(path, args.snap, args.force));
        Ok(Self { lines, file: file.transpose()? })
    }

    /// Removes the capture file if it is new and nothing was traced.
    fn forget(&self) {
        if let Some(file) = self.file.as_ref().filter(|file| file.ours) {
            let _ = std::fs::remove_file(file.path);
        }
    }

    /// Writes a packet; false if the reader has gone.
    fn write(&mut self, packet: &TracedPacket) -> Result<bool> {
        let line = match self.lines {
            Some(TraceFormat::Text) => Some(view::text(packet)),
            Some(TraceFormat::Json) => Some(view::json(packet)),
            None => None,
        };
        if let Some(line) = line {
            let written = writeln!(io::stdout().lock(), "{line}");
            if !reading(written).context("cannot write packets")? {
                return Ok(false);
            }
        }
        match &mut self.file {
            Some(file) => file.write(packet),
            None => Ok(true),
        }
    }

    /// Flushes; false if the reader has gone.
    fn flush(&mut self) -> Result<bool> {
        match &mut self.file {
            Some(file) => file.flush(),
            None => Ok(true),
        }
    }
}

/// A capture file.
struct CaptureFile<'a> {
    path: &'a Path,
    /// Whether it is new.
    ours: bool,
    capture: Capture,
    to: BufWriter<Box<dyn Write>>,
}

impl<'a> CaptureFile<'a> {
    /// Creates the file and writes its header.
    fn open(path: &'a Path, snap: u32, force: bool) -> Result<Self> {
        let to_stdout = path == Path::new("-");
        if to_stdout && io::stdout().is_terminal() {
            bail!(
                "cannot write a capture file to a terminal; redirect standard output, or use --pcapng FILE"
            );
        }
        let ours = !to_stdout && !path.exists();
        let to = BufWriter::new(NewFile::at(path, force)?.open()?);
        let (capture, start) = Capture::new(snap).context("cannot start the capture file")?;
        let mut file = Self { path, ours, capture, to };
        let begun = file.to.write_all(&start).and_then(|()| file.to.flush());
        begun.with_context(|| format!("cannot write to {}", path.display()))?;
        Ok(file)
    }

    fn write(&mut self, packet: &TracedPacket) -> Result<bool> {
        let written = self.capture.packet(packet).and_then(|block| self.to.write_all(&block));
        self.still(written)
    }

    fn flush(&mut self) -> Result<bool> {
        let flushed = self.to.flush();
        self.still(flushed)
    }

    fn still(&self, result: io::Result<()>) -> Result<bool> {
        reading(result).with_context(|| {
            format!("cannot write packets to {}; the packets written so far can be read", self.path.display())
        })
    }
}

/// False if the reader has gone.
fn reading(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reports suppressed and lost packets since the last report; returns the totals.
fn losses(trace: &Trace, before: (u64, u64)) -> Result<(u64, u64)> {
    let tallies = trace.tallies()?;
    let suppressed = tallies.iter().map(|(_, tally)| tally.suppressed).sum();
    let lost = tallies.iter().map(|(_, tally)| tally.lost).sum();
    if (suppressed, lost) != before {
        message(format_args!(
            "{} suppressed by the rate limit, {} lost.",
            suppressed - before.0,
            lost - before.1
        ));
    }
    Ok((suppressed, lost))
}

/// Offset from `CLOCK_MONOTONIC` to nanoseconds since 1970.
fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(now.saturating_sub(sys::monotonic()).as_nanos()).unwrap_or(0)
}
