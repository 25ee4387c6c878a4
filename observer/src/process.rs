//! This process and its terminal: CPU time, memory, hang-up, privileges.

pub mod sandbox;

/// CPU time (user and system) of this process; `None` if the kernel does not report it.
pub fn own_cpu() -> Option<std::time::Duration> {
    // SAFETY: all zeros is a value of the struct, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) == 0).then_some(usage)?
    };
    let time = |time: libc::timeval| {
        let micros = time.tv_sec.checked_mul(1_000_000)?.checked_add(time.tv_usec)?;
        Some(std::time::Duration::from_micros(u64::try_from(micros).ok()?))
    };
    Some(time(usage.ru_utime)? + time(usage.ru_stime)?)
}

/// Resident memory of this process in bytes; `None` if /proc is not available.
pub fn own_memory() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: the call has no memory of ours.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    Some(pages * page)
}

/// Waits until standard input is readable, up to `most`; true if its other end is closed.
#[must_use]
pub fn hung_up(most: std::time::Duration) -> bool {
    let mut input = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
    let milliseconds = i32::try_from(most.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one struct, which is valid for the duration of the call.
    let ready = unsafe { libc::poll(&raw mut input, 1, milliseconds) };
    ready > 0 && input.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
}
