//! A terminal for `observer top`: reads what it draws, and presses keys.

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
    /// The program, which is killed on drop.
    pub running: Running,
    keys: File,
    /// Output, and when it was read.
    drawn: Receiver<(Instant, Vec<u8>)>,
    /// Output that was read but not searched yet, and when it was read.
    last: Vec<u8>,
    read: Instant,
}

impl Terminal {
    /// Starts a program on a new terminal, and reads what it draws.
    ///
    /// # Errors
    /// The terminal cannot be opened, or the program does not start.
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
        // Replace the command's descriptors, which would keep the other end open.
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

    /// Waits until a text is drawn and returns when that was.
    ///
    /// # Errors
    /// It is not drawn within `timeout`.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<Instant> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(place) = self.last.windows(text.len()).position(|part| part == text.as_bytes()) {
                self.last.drain(..place + text.len());
                return Ok(self.read);
            }
            let left = until.saturating_duration_since(Instant::now());
            let Ok((when, bytes)) = self.drawn.recv_timeout(left) else {
                bail!("{text:?} was not drawn within {timeout:?}");
            };
            // A text may be split across two reads; it counts as drawn with the second.
            self.last.drain(..self.last.len().saturating_sub(text.len()));
            self.last.extend(bytes);
            self.read = when;
        }
    }

    /// Presses a key, discards earlier output, and returns when that was.
    ///
    /// # Errors
    /// The terminal is closed.
    pub fn press(&mut self, key: &str) -> Result<Instant> {
        while self.drawn.try_recv().is_ok() {}
        self.last.clear();
        let now = Instant::now();
        self.keys.write_all(key.as_bytes()).context("cannot press a key")?;
        Ok(now)
    }
}
