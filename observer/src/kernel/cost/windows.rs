//! Programs at events that every packet passes, attached for short windows of time.
//!
//! A program at a raw tracepoint costs 20 to 60 ns for each event even where it leaves at once, a packet passes
//! a dozen of them, and a sample by packets saves nothing of that. Outside of the windows nothing is attached.

use std::ffi::CString;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::kernel::sys;

/// How long a window is. With one of 64 there is one in each 640 ms, so one at least in each second.
const WINDOW: Duration = Duration::from_millis(10);

/// A program and the event that it is for.
#[derive(Debug)]
pub struct Watch {
    program: OwnedFd,
    event: CString,
}

impl Watch {
    /// Tries it once.
    ///
    /// # Errors
    /// The kernel does not let the program be there.
    pub fn new(program: OwnedFd, event: &str) -> io::Result<Self> {
        let watch = Self { program, event: CString::new(event).map_err(io::Error::other)? };
        watch.attach()?;
        Ok(watch)
    }

    fn attach(&self) -> io::Result<OwnedFd> {
        sys::raw_tracepoint(self.program.as_fd(), &self.event)
    }
}

/// Windows that open and close by themselves; dropped, the last one is closed.
#[derive(Debug)]
pub struct Windows {
    /// Dropped first: it ends the thread.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Windows {
    /// Has all programs attached during one of `sample` parts of the time, all the time where that is 1. They
    /// are attached in their order and detached in the reverse one; `before` is called before each window, when
    /// none of them runs. The first window is open on return.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(
        programs: Vec<Watch>,
        sample: u32,
        before: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let (end, ended) = mpsc::channel();
        let (open, is_open) = mpsc::channel();
        let run = move || run(&programs, sample, &ended, &open, before);
        let thread = std::thread::Builder::new().name("windows".to_owned()).spawn(run)?;
        is_open.recv().map_err(io::Error::other)?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        drop(self.end.take());
        // It has nothing to say.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(
    programs: &[Watch],
    sample: u32,
    ended: &mpsc::Receiver<()>,
    open: &mpsc::Sender<()>,
    mut before: impl FnMut(),
) {
    loop {
        before();
        let mut links = Vec::new();
        for watch in programs {
            match watch.attach() {
                Ok(link) => links.push(link),
                Err(error) => log::debug!("{}: {error}", watch.event.to_string_lossy()),
            }
        }
        // Nobody listens behind the first.
        let _ = open.send(());
        if sample <= 1 {
            let _ = ended.recv();
            return close(links);
        }
        let opened = Instant::now();
        if is_over(ended, WINDOW) {
            return close(links);
        }
        close(links);
        // By what it was and not by what it should be: a late wake-up makes the next pause longer.
        if is_over(ended, pause(opened.elapsed(), sample)) {
            return;
        }
    }
}

/// What begins a measurement goes first, so that nothing is begun that will not be ended.
fn close(links: Vec<OwnedFd>) {
    for link in links.into_iter().rev() {
        drop(link);
    }
}

fn is_over(ended: &mpsc::Receiver<()>, time: Duration) -> bool {
    ended.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
}

/// The pause behind a window, by a quarter longer or shorter at random, so that traffic with a period of its
/// own is not always met in the same part of it. On average it is what makes the window one of `sample`.
fn pause(window: Duration, sample: u32) -> Duration {
    let random = RandomState::new().build_hasher().finish() as u16;
    let part = 0.75 + f64::from(random) / f64::from(u16::MAX) / 2.0;
    window.mul_f64(f64::from(sample - 1) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_right_on_average() {
        let pauses: Vec<Duration> = (0..4_000).map(|_| pause(WINDOW, 64)).collect();
        let right = WINDOW * 63;
        assert!(pauses.iter().all(|pause| *pause >= right.mul_f64(0.749) && *pause <= right.mul_f64(1.251)));
        let mean = pauses.iter().sum::<Duration>() / 4_000;
        // Uniform over half of it: sigma of the mean is 0.0023 of it.
        assert!(mean > right.mul_f64(0.99) && mean < right.mul_f64(1.01), "{mean:?}");
    }
}
