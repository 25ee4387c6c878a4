//! CPU time and memory of other processes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Cost of a complete run of a program.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// From start to end.
    pub wall: Duration,
    /// CPU time, user and system. (Peak memory is not available this way: the kernel starts it from the
    /// parent's.)
    pub cpu: Duration,
}

/// Runs a program to its end and discards its output.
///
/// # Errors
/// It does not start, or fails.
pub fn run(command: &mut Command) -> Result<Run> {
    let start = Instant::now();
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = silent.spawn().with_context(|| format!("cannot start {:?}", silent.get_program()))?;
    let id = libc::pid_t::try_from(child.id()).context("a process id is too large")?;
    let mut status = 0;
    // SAFETY: all zeros is a value of the struct; both pointers are valid for the duration of the call, and
    // no other code waits for this child.
    let (waited, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(id, &raw mut status, 0, &raw mut usage), usage)
    };
    let wall = start.elapsed();
    if waited != id || !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0 {
        bail!("{:?} failed: status {status:#x}", command.get_program());
    }
    let time = |it: libc::timeval| {
        Duration::from_secs(it.tv_sec.unsigned_abs()) + Duration::from_micros(it.tv_usec.unsigned_abs())
    };
    Ok(Run { wall, cpu: time(usage.ru_utime) + time(usage.ru_stime) })
}

/// CPU time of all threads of a running process.
///
/// # Errors
/// It has ended, or the kernel does not provide `schedstat`.
pub fn cpu_time(id: u32) -> Result<Duration> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{id}/task")).context("the process has ended")? {
        let path = thread.context("the process has ended")?.path().join("schedstat");
        let text = std::fs::read_to_string(&path).context("cannot read the CPU time of a process")?;
        let time = text.split_whitespace().next().and_then(|time| time.parse::<u64>().ok());
        sum += time.context("cannot read the CPU time of a process")?;
    }
    Ok(Duration::from_nanos(sum))
}

/// Memory of a running process in bytes: current and peak.
///
/// # Errors
/// It has ended.
pub fn memory(id: u32) -> Result<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).context("the process has ended")?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    };
    field("VmRSS").zip(field("VmHWM")).context("cannot read the memory of a process")
}
