//! `observer trace`.

use std::io::{self, Write as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use observer_common::event::{Event, SNAP, Wanted};

use super::session::{Signals, block_on, options};
use crate::cli::IngressHook;
use crate::cli::trace::{TraceArgs, TraceFormat};
use crate::config::Settings;
use crate::kernel::{Capacities, Live, Options, Purpose, Trace, sys};
use crate::trace::{Expression, compile, told};
use crate::view::trace as view;

/// Bytes of the ring buffer: some 4,000 packets' worth.
const RING: u32 = 1 << 20;
/// How often hooks are cared for and losses are told.
const TICK: Duration = Duration::from_secs(1);
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// Runs `observer trace`.
///
/// # Errors
/// The filter is wrong, or what could not be attached, read or written.
pub fn run(args: &TraceArgs, settings: &Settings) -> Result<()> {
    let filter = args.filter.as_deref().map(Expression::parse).transpose()?;
    let attach = args.attach.clone().or(settings);
    if args.attach.ingress == Some(IngressHook::Xdp) {
        bail!("`trace` looks at TC only; leave `--ingress xdp` out");
    }
    let options = Options { purpose: Purpose::Trace, ingress: crate::kernel::Ingress::Tc, ..options(attach) };
    // Nothing is counted: no room for paths is needed.
    let capacities = Capacities { trace: RING, paths: 1, ..options.capacities };
    block_on(async {
        let mut signals = Signals::new()?;
        let mut live = Live::start(Options { capacities, ..options }).await?;
        let result = stream(&mut live, args, filter.as_ref(), &mut signals).await;
        live.stop().await;
        result
    })
}

fn wanted(args: &TraceArgs) -> Wanted {
    Wanted {
        why: args.why.iter().fold(0, |set, why| set | why.bits()),
        snap: SNAP as u32,
        every: if args.rate == 0 { 0 } else { SECOND / u64::from(args.rate) },
        burst: args.rate,
        steps: 0,
    }
}

async fn stream(
    live: &mut Live,
    args: &TraceArgs,
    filter: Option<&Expression>,
    signals: &mut Signals,
) -> Result<()> {
    let steps = filter.map(|filter| compile(filter, &|name| live.slot(name))).transpose()?;
    let mut trace = Trace::start(live, wanted(args), &steps.unwrap_or_default())?;
    eprintln!("Watching {}. Ctrl-C ends.", live.watched().collect::<Vec<_>>().join(", "));
    let clock = clock();
    let end = args.duration.map(|duration| Instant::now() + duration);
    let most = args.count.unwrap_or(u64::MAX);
    let mut shown = 0;
    let mut told_losses = (0, 0);
    loop {
        let due = end.map_or(Instant::now() + TICK, |end| end.min(Instant::now() + TICK));
        let over = tokio::select! {
            ready = trace.ready() => { ready?; false }
            cared = live.care_until(due) => { cared?; end.is_some_and(|end| Instant::now() >= end) }
            () = signals.any() => true,
        };
        let reading = print(&mut trace, live, args.format, clock, most, &mut shown)?;
        told_losses = losses(&trace, told_losses)?;
        if over || !reading || shown >= most {
            break;
        }
    }
    let (suppressed, lost) = told_losses;
    eprintln!("{shown} packets shown, {suppressed} suppressed by the rate limit, {lost} lost.");
    Ok(())
}

/// Prints what is there; false where nobody reads any more.
fn print(
    trace: &mut Trace,
    live: &Live,
    format: TraceFormat,
    clock: u64,
    most: u64,
    shown: &mut u64,
) -> Result<bool> {
    let config = live.topology().config();
    let mut out = io::stdout().lock();
    while *shown < most
        && let Some(bytes) = trace.take()
    {
        let Some((event, packet)) = Event::split(&bytes) else { continue };
        let device = live.name_of(event.slot).unwrap_or("?");
        let told = told(event, packet, device, &config, clock);
        let line = match format {
            TraceFormat::Text => view::text(&told),
            TraceFormat::Json => view::json(&told),
        };
        match writeln!(out, "{line}") {
            Ok(()) => *shown += 1,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => return Err(error).context("cannot write the packets"),
        }
    }
    Ok(true)
}

/// Tells what was kept back or lost since the last time; returns the sums.
fn losses(trace: &Trace, before: (u64, u64)) -> Result<(u64, u64)> {
    let tallies = trace.tallies()?;
    let suppressed = tallies.iter().map(|(_, tally)| tally.suppressed).sum();
    let lost = tallies.iter().map(|(_, tally)| tally.lost).sum();
    if (suppressed, lost) != before {
        eprintln!("{} suppressed by the rate limit, {} lost.", suppressed - before.0, lost - before.1);
    }
    Ok((suppressed, lost))
}

/// What to add to `CLOCK_MONOTONIC` for nanoseconds since 1970.
fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(now.saturating_sub(sys::monotonic()).as_nanos()).unwrap_or(0)
}
