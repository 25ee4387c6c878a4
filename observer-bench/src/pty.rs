//! A terminal for `observer top`: something that takes what it draws.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::ptr;

use anyhow::{Context as _, Result};

use crate::netns::Running;

/// Starts a program on a terminal of its own, of 160 columns and 50 lines, and reads what it draws.
///
/// # Errors
/// There is no terminal, or the program does not start.
pub fn spawn(command: &mut Command) -> Result<Running> {
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
    let (mut ours, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    let clone = || theirs.try_clone().context("cannot clone a descriptor").map(Stdio::from);
    command.stdin(clone()?).stdout(clone()?).stderr(Stdio::null()).env("TERM", "xterm-256color");
    let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    // The command keeps descriptors of the other end until it is given others.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        // Ends with an error when the other end is closed.
        while ours.read(&mut buffer).is_ok_and(|length| length != 0) {}
    });
    Ok(Running(child))
}
