//! Network namespaces of the benchmark. They have no name, so the kernel removes them and their devices when
//! this process ends for any reason.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A namespace.
pub struct Netns(File);

/// Moves this thread into another namespace. Makes a single system call, so it is safe between fork and exec.
fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open.
    if unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

impl Netns {
    /// Creates a namespace.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn new() -> Result<Self> {
        let thread = std::thread::spawn(|| {
            // SAFETY: affects this thread only.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            File::open("/proc/thread-self/ns/net")
        });
        let file = thread.join().ok().context("a thread of the benchmark panicked")?;
        let new = Self(file.context("cannot create a network namespace")?);
        new.ip("link set lo up")?;
        Ok(new)
    }

    /// Runs a function in it.
    ///
    /// # Errors
    /// Those of the function.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = || {
                enter(self.0.as_raw_fd()).context("cannot enter a network namespace")?;
                work()
            };
            scope.spawn(inside).join().ok().context("a thread of the benchmark panicked")?
        })
    }

    /// A command that runs in it and is killed when this thread ends.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let namespace = self.0.as_raw_fd();
        let mut command = Command::new(program);
        // SAFETY: only system calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                enter(namespace)
            });
        }
        command
    }

    /// Runs `ip` with these arguments in it.
    ///
    /// # Errors
    /// `ip` failed.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        let output = self
            .command("ip")
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .output()
            .context("cannot start `ip`; install iproute2")?;
        if !output.status.success() {
            bail!("`ip {arguments}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A path for `ip link set … netns`.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// The index of a device in it.
    ///
    /// # Errors
    /// There is no device of that name.
    pub fn ifindex(&self, device: &str) -> Result<u32> {
        let links: serde_json::Value = serde_json::from_str(&self.ip(&format!("-j link show dev {device}"))?)
            .context("cannot parse the output of `ip`")?;
        let index = links[0]["ifindex"].as_u64().and_then(|index| u32::try_from(index).ok());
        index.with_context(|| format!("`ip` prints no index of {device}"))
    }
}

/// A program that is killed on drop.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
