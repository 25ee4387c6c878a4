//! Detects a busy sibling thread of the core, and discards samples taken meanwhile.
//!
//! A virtual CPU is often one of two threads of a core whose other thread belongs to another virtual machine.
//! Everything then takes up to twice as long, for milliseconds at a time. The factor varies, so ratios change
//! too, and nothing inside the machine indicates it. A calibration loop of additions, which uses the whole core,
//! detects it: samples next to a slow loop are measured again.

use std::arch::asm;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::clock;

/// Iterations of the calibration loop: about ten microseconds.
const ITERATIONS: u32 = 4_000;
/// How much longer than its fastest time the loop may take.
const TOLERANCE: f64 = 1.25;
/// Loops to find the fastest time.
const CALIBRATION: u32 = 5_000;
/// Loops to find the quieter CPU.
const COMPARISON: u32 = 1_000;
/// How long a sample is repeated before a disturbed one is used.
const SAMPLE_WAIT: Duration = Duration::from_secs(2);

/// Samples used, samples discarded, and disturbed samples used because waiting took too long.
static USED: AtomicU64 = AtomicU64::new(0);
static DISCARDED: AtomicU64 = AtomicU64::new(0);
static DISTURBED: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds waited in this part of the benchmark, and their limit.
static WAITED: AtomicU64 = AtomicU64::new(0);
static WAIT_LIMIT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Fastest time of the loop, in nanoseconds.
    static FASTEST: Cell<f64> = const { Cell::new(f64::INFINITY) };
}

/// Time that the loop takes now, in nanoseconds.
fn probe() -> f64 {
    let (mut a, mut b, mut c, mut d, mut e, mut f) = (0_u64, 1_u64, 2_u64, 3_u64, 4_u64, 5_u64);
    let start = Instant::now();
    for _ in 0..ITERATIONS {
        for step in [1, 3] {
            a = a.wrapping_add(step);
            b = b.wrapping_add(step);
            c = c.wrapping_add(step);
            d = d.wrapping_add(step);
            e = e.wrapping_add(step);
            f = f.wrapping_add(step);
            // SAFETY: an empty statement; it stops the compiler from merging the additions.
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

/// Limits the time that one part of the benchmark may wait; after that, disturbed samples are used.
pub fn limit_waiting(time: Duration) {
    WAIT_LIMIT.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
}

/// Whether the core is undisturbed now.
fn is_quiet() -> bool {
    let time = probe();
    let fastest = FASTEST.get().min(time);
    FASTEST.set(fastest);
    time <= fastest * TOLERANCE
}

/// Finds the fastest time of the loop, if it is not known yet.
fn find_fastest() {
    if FASTEST.get().is_infinite() {
        (0..CALIBRATION).for_each(|_| _ = is_quiet());
    }
}

/// Pins this thread to the CPU that is quieter now.
///
/// # Errors
/// The kernel refused.
pub fn pin_to_quietest() -> Result<()> {
    let (mut best, mut most) = (None, 0);
    for cpu in clock::all_cpus() {
        clock::pin(&[*cpu])?;
        find_fastest();
        let quiet = (0..COMPARISON).filter(|_| is_quiet()).count();
        if quiet >= most {
            (best, most) = (Some(*cpu), quiet);
        }
    }
    best.map_or(Ok(()), |cpu| clock::pin(&[cpu]))
}

/// Measures something short, and repeats it until the core was undisturbed ahead of it and after it. `dropped`
/// gets the discarded results.
///
/// # Errors
/// Those of `measure`.
pub fn measure<T>(mut measure: impl FnMut() -> Result<T>, mut dropped: impl FnMut(T)) -> Result<T> {
    find_fastest();
    let start = Instant::now();
    let patient = || start.elapsed() < SAMPLE_WAIT && WAITED.load(Relaxed) < WAIT_LIMIT.load(Relaxed);
    let mut last;
    USED.fetch_add(1, Relaxed);
    let result = loop {
        while !is_quiet() && patient() {}
        let one = Instant::now();
        let result = measure()?;
        last = one.elapsed();
        if is_quiet() {
            break result;
        }
        if !patient() {
            DISTURBED.fetch_add(1, Relaxed);
            break result;
        }
        DISCARDED.fetch_add(1, Relaxed);
        dropped(result);
    };
    let waited = start.elapsed().saturating_sub(last);
    WAITED.fetch_add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    Ok(result)
}

/// Samples used, discarded, and disturbed but used, since the last call.
fn tally() -> (u64, u64, u64) {
    WAITED.store(0, Relaxed);
    (USED.swap(0, Relaxed), DISCARDED.swap(0, Relaxed), DISTURBED.swap(0, Relaxed))
}

/// A note about the discarded samples since the last call.
pub fn describe() -> String {
    let (used, discarded, disturbed) = tally();
    let percent = 100.0 * discarded as f64 / (used + discarded).max(1) as f64;
    let rest = if disturbed == 0 {
        String::new()
    } else {
        format!(" {:.1} % of the samples used were disturbed.", 100.0 * disturbed as f64 / used.max(1) as f64)
    };
    format!(
        "Samples taken while a calibration loop detected a busy sibling thread were discarded and measured again \
         ({percent:.0} %).{rest}"
    )
}
