//! Network namespaces: entering them, running `ip` in them, finding and ending processes in them.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

/// The directory in which `ip netns` keeps the names.
const NAMES: &str = "/run/netns";

/// The file of a namespace.
pub fn path(netns: &str) -> PathBuf {
    Path::new(NAMES).join(netns)
}

/// The names of all namespaces that belong to the lab `prefix`.
///
/// The pattern is exact, so that the labs `observer` and `observer-test` do not share namespaces.
pub fn of_lab(prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(NAMES) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| belongs(prefix, name))
        .collect();
    names.sort();
    names
}

fn belongs(prefix: &str, name: &str) -> bool {
    let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')) else { return false };
    rest == "router"
        || rest.strip_prefix("node-").is_some_and(|letter| letter.len() == 1)
        || rest.strip_prefix("pod-").is_some_and(|pod| pod.len() == 2)
}

/// Moves the calling thread into a namespace.
///
/// # Errors
/// There is no such namespace, or this process may not enter it.
pub fn enter(netns: &str) -> Result<()> {
    let file = File::open(path(netns)).with_context(|| format!("no network namespace {netns}"))?;
    // SAFETY: setns takes a descriptor that lives until the end of this function.
    if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("cannot enter namespace {netns}"));
    }
    Ok(())
}

/// Runs `work` in a thread inside a namespace; sockets opened there stay there.
///
/// # Errors
/// The namespace cannot be entered, or `work` fails.
pub fn within<T: Send>(netns: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(netns)?;
            work()
        });
        thread.join().map_err(|_| anyhow!("a thread in {netns} panicked"))?
    })
}

/// Whether the calling process is in the namespace that has this name now.
pub fn is_current(netns: &str) -> bool {
    match (fs::metadata(path(netns)), fs::metadata("/proc/self/ns/net")) {
        (Ok(named), Ok(own)) => (named.dev(), named.ino()) == (own.dev(), own.ino()),
        _ => false,
    }
}

/// Moves the calling process into a namespace like `ip netns exec`, with a `/sys` that shows the namespace's devices.
/// Unlike it, this keeps the BPF file system, tracefs and cgroups, which a new `/sys` would hide.
///
/// # Errors
/// The namespace cannot be entered or the mounts fail.
pub fn enter_with_sys(netns: &str, scratch: &Path) -> Result<()> {
    enter(netns)?;
    // SAFETY: unshare takes no pointers.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error()).context("cannot create a mount namespace");
    }
    mount(None, Path::new("/"), None, libc::MS_SLAVE | libc::MS_REC)?;
    fs::create_dir_all(scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    mount(None, scratch, Some("sysfs"), 0)?;
    for kept in ["fs/bpf", "fs/cgroup", "kernel/tracing", "kernel/debug"] {
        let (old, new) = (Path::new("/sys").join(kept), scratch.join(kept));
        if old.is_dir() && new.is_dir() {
            mount(Some(&old), &new, None, libc::MS_BIND | libc::MS_REC)?;
        }
    }
    mount(Some(scratch), Path::new("/sys"), None, libc::MS_MOVE)
}

fn mount(source: Option<&Path>, target: &Path, kind: Option<&str>, flags: libc::c_ulong) -> Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes()).context("a path with a NUL");
    let source_text = text(source.unwrap_or(Path::new("none")))?;
    let target_text = text(target)?;
    let kind = CString::new(kind.unwrap_or("none")).context("a kind with a NUL")?;
    // SAFETY: the three strings end with NUL and outlive the call; no data is passed.
    let done = unsafe {
        libc::mount(source_text.as_ptr(), target_text.as_ptr(), kind.as_ptr(), flags, std::ptr::null())
    };
    if done != 0 {
        return Err(io::Error::last_os_error())
            .with_context(|| format!("cannot mount {source_text:?} at {}", target.display()));
    }
    Ok(())
}

/// Runs a batch of commands in one `ip` in a namespace, or in the root namespace.
///
/// # Errors
/// The first command that failed, and the error of `ip`.
pub fn ip(netns: Option<&str>, commands: &[String]) -> Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("ip");
    if let Some(netns) = netns {
        command.args(["-n", netns]);
    }
    // Killed with its parent, so that it does not add to a lab that `down` is about to remove.
    // SAFETY: prctl with this option is safe to call between fork and exec, and takes no pointers.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start ip (package iproute2)")?;
    let mut input = child.stdin.take().context("ip has no standard input")?;
    // A failed write means that ip ended early; its error is reported below.
    let _ = input.write_all((commands.join("\n") + "\n").as_bytes());
    drop(input);
    let output = child.wait_with_output().context("cannot wait for ip")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said
        .rsplit("Command failed -:")
        .next()
        .and_then(|number| number.trim().parse::<usize>().ok())
        .and_then(|number| commands.get(number.saturating_sub(1)));
    let place = netns.unwrap_or("the root namespace");
    bail!("`ip {}` failed in {place}: {}", line.map_or("-batch", String::as_str), said.trim());
}

/// Sets kernel parameters under `/proc/sys/net` in a namespace. Those with a leading `-` may be missing.
///
/// # Errors
/// A parameter that cannot be written.
pub fn sysctl(netns: &str, settings: &[(&str, &str)]) -> Result<()> {
    within(netns, || {
        for (name, value) in settings {
            let (name, optional) = name.strip_prefix('-').map_or((*name, false), |name| (name, true));
            let file = Path::new("/proc/sys/net").join(name);
            match fs::write(&file, value) {
                Err(error) if !(optional && error.kind() == io::ErrorKind::NotFound) => {
                    return Err(error).with_context(|| format!("cannot set {} in {netns}", file.display()));
                }
                _ => {}
            }
        }
        Ok(())
    })
}

/// The processes whose main thread is in one of the namespaces, except this one.
pub fn processes(namespaces: &[String]) -> Vec<libc::pid_t> {
    let wanted: Vec<(u64, u64)> = namespaces
        .iter()
        .filter_map(|netns| fs::metadata(path(netns)).ok())
        .map(|found| (found.dev(), found.ino()))
        .collect();
    every_process()
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|found| wanted.contains(&(found.dev(), found.ino())))
        })
        .collect()
}

/// The identifiers of all processes except this one.
pub(crate) fn every_process() -> impl Iterator<Item = libc::pid_t> {
    let own = libc::pid_t::try_from(std::process::id()).unwrap_or(0);
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(move |pid| *pid != own)
}

/// Ends processes: SIGTERM, two seconds, SIGKILL, two seconds.
///
/// # Errors
/// A process survives that.
pub fn end(pids: &[libc::pid_t]) -> Result<()> {
    let alive = |pid: libc::pid_t| {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
    };
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        for &pid in pids.iter().filter(|pid| alive(**pid)) {
            // SAFETY: kill takes no pointers; `pid` is positive, so it is one process.
            unsafe { libc::kill(pid, signal) };
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while pids.iter().any(|pid| alive(*pid)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    match pids.iter().find(|pid| alive(**pid)) {
        Some(pid) => bail!("process {pid} of the lab does not end"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_owns_its_namespaces_and_no_others() {
        let cases = [
            ("observer", "observer-node-a", true),
            ("observer", "observer-pod-a1", true),
            ("observer", "observer-router", true),
            ("observer", "observer-test-node-a", false),
            ("observer", "observer", false),
            ("observer", "observerx-router", false),
            ("observer-test", "observer-test-node-a", true),
            ("observer", "observer-node-abc", false),
        ];
        for (prefix, name, expected) in cases {
            assert_eq!(belongs(prefix, name), expected, "{prefix} {name}");
        }
    }
}
