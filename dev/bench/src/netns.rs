//! Network namespaces of the benchmark's own. They have no name, so the kernel removes them with all
//! that is in them when this process ends, however it ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A namespace.
pub struct Netns(File);

/// Moves this thread into another namespace. Calls nothing but the kernel.
fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open.
    if unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

impl Netns {
    /// A new one.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn new() -> Result<Self> {
        let made = std::thread::spawn(|| {
            // SAFETY: concerns this thread only.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.join().ok().context("a thread of the benchmark panicked")?;
        let new = Self(file.context("cannot make a network namespace")?);
        new.ip("link set lo up")?;
        Ok(new)
    }

    /// Runs a function in it.
    ///
    /// # Errors
    /// The function's own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = || {
                enter(self.0.as_raw_fd()).context("cannot enter a network namespace")?;
                work()
            };
            scope.spawn(inside).join().ok().context("a thread of the benchmark panicked")?
        })
    }

    /// A command that will run in it, and end with this thread.
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

    /// Runs `ip` with these words in it.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, words: &str) -> Result<String> {
        let output = self
            .command("ip")
            .args(words.split_whitespace())
            .stdin(Stdio::null())
            .output()
            .context("cannot start `ip`; install iproute2")?;
        if !output.status.success() {
            bail!("`ip {words}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// How `ip link set … netns` may call it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// The index of a device in it.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn ifindex(&self, device: &str) -> Result<u32> {
        let said: serde_json::Value = serde_json::from_str(&self.ip(&format!("-j link show dev {device}"))?)
            .context("cannot read what `ip` says")?;
        let index = said[0]["ifindex"].as_u64().and_then(|index| u32::try_from(index).ok());
        index.with_context(|| format!("`ip` does not say the index of {device}"))
    }
}

/// A program that is killed when it is no longer needed.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Either fails only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
