//! CPU time, CPU affinity and statistics.

use std::io;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};

/// CPU time of this thread in nanoseconds, without other processes.
pub fn thread_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is valid for the duration of the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The CPUs that this process may use.
pub fn all_cpus() -> &'static [usize] {
    static CPUS: OnceLock<Vec<usize>> = OnceLock::new();
    CPUS.get_or_init(|| allowed().unwrap_or_else(|_| vec![0]))
}

fn allowed() -> Result<Vec<usize>> {
    // SAFETY: all zeros is an empty set, and the call fills it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return Err(io::Error::last_os_error()).context("cannot read the CPU affinity of this process");
        }
        set
    };
    let most = 8 * size_of::<libc::cpu_set_t>();
    // SAFETY: every number is below the size of the set.
    Ok((0..most).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Pins this thread to these CPUs.
///
/// # Errors
/// The kernel refused.
pub fn pin(cpus: &[usize]) -> Result<()> {
    // SAFETY: all zeros is an empty set; `CPU_SET` takes numbers below its size, which `all_cpus` returned.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for cpu in cpus {
            libc::CPU_SET(*cpu, &mut set);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result != 0 {
        bail!("cannot pin to CPU {cpus:?}: {}", io::Error::last_os_error());
    }
    Ok(())
}

/// Pins this thread to the last CPU, because interrupts and other processes tend to use the first.
///
/// # Errors
/// The kernel refused.
pub fn pin_to_one() -> Result<()> {
    let cpus = all_cpus();
    pin(&cpus[cpus.len() - 1..])
}

/// The median of the values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The median and its 95 % confidence interval (sign test, for any distribution).
pub fn interval(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let rank = ((n - 1.96 * n.sqrt()) / 2.0).floor().max(0.0) as usize;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(rank), median(values), at(sorted.len().saturating_sub(rank + 1)))
}

/// The same of the ratios within each round. Anything that slows the machine down for longer than a round
/// affects both values of a ratio.
pub fn paired(values: &[f64], to: &[f64]) -> (f64, f64, f64) {
    interval(&values.iter().zip(to).map(|(value, to)| value / to).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_no_values() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_are_taken_within_each_round() {
        let (to, values) = ([1.0, 2.0, 4.0, 8.0, 16.0], [0.5, 1.0, 2.0, 4.0, 16.0]);
        let (low, middle, high) = paired(&values, &to);
        assert!((middle - 0.5).abs() < f64::EPSILON && low <= middle && middle <= high);
        assert!((high - 1.0).abs() < f64::EPSILON, "five values give a wide interval: {high}");
    }
}
