//! What this process costs itself.

use std::time::Duration;

/// CPU time, user and system.
pub(super) fn cpu() -> Duration {
    // SAFETY: all zeros is a value of the struct, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let time = |value: libc::timeval| {
        let micros = i64::from(value.tv_sec) * 1_000_000 + i64::from(value.tv_usec);
        Duration::from_micros(micros.unsigned_abs())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Resident memory, bytes; `None` where /proc does not say.
pub(super) fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: takes a number and returns one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}
