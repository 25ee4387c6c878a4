//! A terminal for `observer top`: takes what it draws, and presses keys.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::ptr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::netns::Running;

/// A terminal of 160 columns and 50 lines, and the program on it.
pub struct Terminal {
    /// The program; dropping it ends it.
    pub running: Running,
    keys: File,
    /// What was drawn, and when it was read.
    drawn: Receiver<(Instant, Vec<u8>)>,
    /// What was read last and not looked at, and when that was.
    last: Vec<u8>,
    read: Instant,
}

impl Terminal {
    /// Starts a program on a terminal of its own, and reads what it draws.
    ///
    /// # Errors
    /// There is no terminal, or the program does not start.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let (mut ours, mut theirs) = (-1, -1);
        let size = libc::winsize { ws_row: 50, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the pointers are valid for the duration of the call, or null where that is allowed.
        let result = unsafe {
            libc::openpty(&raw mut ours, &raw mut theirs, ptr::null_mut(), ptr::null_mut(), &raw const size)
        };
        if result != 0 {
            return Err(io::Error::last_os_error()).context("cannot open a terminal");
        }
        // SAFETY: the kernel has just given us both descriptors.
        let (keys, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        let mut ours = keys.try_clone().context("cannot clone a descriptor")?;
        let clone = || theirs.try_clone().context("cannot clone a descriptor").map(Stdio::from);
        command.stdin(clone()?).stdout(clone()?).stderr(Stdio::null()).env("TERM", "xterm-256color");
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        // The command keeps descriptors of the other end until it is given others.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let (screen, drawn) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            // Ends with an error when the other end is closed.
            while let Ok(length @ 1..) = ours.read(&mut buffer) {
                if screen.send((Instant::now(), buffer[..length].to_vec())).is_err() {
                    return;
                }
            }
        });
        Ok(Self { running: Running(child), keys, drawn, last: Vec::new(), read: Instant::now() })
    }

    /// Waits until a mark is drawn; when that was.
    ///
    /// # Errors
    /// It is not within `patience`.
    pub fn wait_for(&mut self, mark: &str, patience: Duration) -> Result<Instant> {
        let until = Instant::now() + patience;
        loop {
            if let Some(place) = self.last.windows(mark.len()).position(|part| part == mark.as_bytes()) {
                self.last.drain(..place + mark.len());
                return Ok(self.read);
            }
            let left = until.saturating_duration_since(Instant::now());
            let Ok((when, bytes)) = self.drawn.recv_timeout(left) else {
                bail!("{mark:?} was not drawn within {patience:?}");
            };
            // A mark may lie across two reads, and it is there with the second.
            self.last.drain(..self.last.len().saturating_sub(mark.len()));
            self.last.extend(bytes);
            self.read = when;
        }
    }

    /// Presses a key, after which only what is drawn from now on counts; when that was.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn press(&mut self, key: &str) -> Result<Instant> {
        while self.drawn.try_recv().is_ok() {}
        self.last.clear();
        let now = Instant::now();
        self.keys.write_all(key.as_bytes()).context("cannot press a key")?;
        Ok(now)
    }
}
