//! This process and its terminal: CPU time, memory, hang-up, privileges.

pub mod sandbox;

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// CPU time (user and system) of this process; `None` if the kernel does not report it.
pub fn own_cpu() -> Option<Duration> {
    // rustix has no getrusage.
    // SAFETY: all zeros is a value of the struct, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) == 0).then_some(usage)?
    };
    let time = |time: libc::timeval| {
        let micros = time.tv_sec.checked_mul(1_000_000)?.checked_add(time.tv_usec)?;
        Some(Duration::from_micros(u64::try_from(micros).ok()?))
    };
    Some(time(usage.ru_utime)? + time(usage.ru_stime)?)
}

/// Resident memory of this process in bytes; `None` if /proc is not available.
pub fn own_memory() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Waits until standard input is readable, up to `most`; true if its other end is closed.
#[must_use]
pub fn hung_up(most: Duration) -> bool {
    let stdin = rustix::stdio::stdin();
    let mut input = [PollFd::new(&stdin, PollFlags::IN)];
    let most = Timespec::try_from(most).ok();
    poll(&mut input, most.as_ref()).is_ok_and(|ready| ready > 0)
        && input[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}
