//! Whether the processor is ours alone.
//!
//! A virtual CPU is often one of two threads of a core, and somebody else's machine is the other. For some
//! milliseconds, and again some milliseconds later, everything then takes up to twice as long: not everything by the
//! same factor, so that ratios move too, and nothing in the machine tells. A loop of additions does, which
//! fills the core: what was measured between two such loops that took their time is measured again.

use std::arch::asm;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::clock;

/// Turns of the loop: about ten microseconds.
const TURNS: u32 = 4_000;
/// How much longer than at its fastest the loop may take.
const TOLERANCE: f64 = 1.25;
/// Loops that find out how fast it can be.
const FIRST: u32 = 5_000;
/// Loops that find out which CPU is quieter.
const LOOK: u32 = 1_000;
/// How long something is measured again before it is taken as it is.
const PATIENCE: Duration = Duration::from_secs(2);

static TAKEN: AtomicU64 = AtomicU64::new(0);
static AGAIN: AtomicU64 = AtomicU64::new(0);
static SHARED: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds that were waited for a quiet processor, and how many may be in one part of the benchmark.
static WAITED: AtomicU64 = AtomicU64::new(0);
static PATIENCE_IN_ALL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The fastest loop, nanoseconds.
    static FASTEST: Cell<f64> = const { Cell::new(f64::INFINITY) };
}

/// How long the loop takes now, in nanoseconds.
fn probe() -> f64 {
    let (mut a, mut b, mut c, mut d, mut e, mut f) = (0_u64, 1_u64, 2_u64, 3_u64, 4_u64, 5_u64);
    let start = Instant::now();
    for _ in 0..TURNS {
        for step in [1, 3] {
            a = a.wrapping_add(step);
            b = b.wrapping_add(step);
            c = c.wrapping_add(step);
            d = d.wrapping_add(step);
            e = e.wrapping_add(step);
            f = f.wrapping_add(step);
            // SAFETY: nothing; it keeps the six in registers, and the additions from becoming one.
            unsafe {
                asm!("/* {0} {1} {2} {3} {4} {5} */", inout(reg) a, inout(reg) b, inout(reg) c,
                    inout(reg) d, inout(reg) e, inout(reg) f, options(nomem, nostack, pure));
            }
        }
    }
    let time = start.elapsed().as_nanos() as f64;
    std::hint::black_box([a, b, c, d, e, f]);
    time
}

/// How long one part of the benchmark may wait for a quiet processor; then it takes what it can have.
pub fn be_patient(time: Duration) {
    PATIENCE_IN_ALL.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
}

/// Whether the processor is ours now.
fn is_quiet() -> bool {
    let time = probe();
    let fastest = FASTEST.get().min(time);
    FASTEST.set(fastest);
    time <= fastest * TOLERANCE
}

/// Finds out how fast the loop can be, if that is not known.
fn find_fastest() {
    if FASTEST.get().is_infinite() {
        (0..FIRST).for_each(|_| _ = is_quiet());
    }
}

/// Keeps this thread on the CPU that is quieter now.
///
/// # Errors
/// The kernel refused.
pub fn settle() -> Result<()> {
    let (mut best, mut most) = (None, 0);
    for cpu in clock::all_cpus() {
        clock::pin(&[*cpu])?;
        find_fastest();
        let quiet = (0..LOOK).filter(|_| is_quiet()).count();
        if quiet >= most {
            (best, most) = (Some(*cpu), quiet);
        }
    }
    best.map_or(Ok(()), |cpu| clock::pin(&[cpu]))
}

/// Measures something short, as often as it takes until the processor was ours before and behind it; `dropped` is
/// given what is not taken.
///
/// # Errors
/// Those of `measure`.
pub fn measure<T>(mut measure: impl FnMut() -> Result<T>, mut dropped: impl FnMut(T)) -> Result<T> {
    find_fastest();
    let start = Instant::now();
    let patient = || start.elapsed() < PATIENCE && WAITED.load(Relaxed) < PATIENCE_IN_ALL.load(Relaxed);
    let mut last;
    TAKEN.fetch_add(1, Relaxed);
    let result = loop {
        while !is_quiet() && patient() {}
        let one = Instant::now();
        let result = measure()?;
        last = one.elapsed();
        if is_quiet() {
            break result;
        }
        if !patient() {
            SHARED.fetch_add(1, Relaxed);
            break result;
        }
        AGAIN.fetch_add(1, Relaxed);
        dropped(result);
    };
    let waited = start.elapsed().saturating_sub(last);
    WAITED.fetch_add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    Ok(result)
}

/// What was taken, measured again, and taken though the processor was shared, since this was last asked.
fn tally() -> (u64, u64, u64) {
    WAITED.store(0, Relaxed);
    (TAKEN.swap(0, Relaxed), AGAIN.swap(0, Relaxed), SHARED.swap(0, Relaxed))
}

/// A sentence about it.
pub fn sentence() -> String {
    let (taken, again, shared) = tally();
    let percent = 100.0 * again as f64 / (taken + again).max(1) as f64;
    let others = if shared == 0 {
        String::new()
    } else {
        format!(" {:.1} % could not be had otherwise.", 100.0 * shared as f64 / taken.max(1) as f64)
    };
    format!(
        "Measured in pieces, each again until a loop of additions before and behind it says that the core was not \
         shared with somebody else's machine: {percent:.0} % were thrown away.{others}"
    )
}
