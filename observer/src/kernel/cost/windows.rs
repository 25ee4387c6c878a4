//! Programs at per-packet events, attached for short windows of time.
//!
//! A program at a raw tracepoint costs 20 to 60 ns per event even if it returns at once, and a packet passes a
//! dozen of them, so sampling by packet would save nothing. Outside of the windows nothing is attached.

use std::ffi::CString;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::kernel::sys;

/// Length of a window. With 1/64 of the time there is one every 640 ms, so at least one per second.
const WINDOW: Duration = Duration::from_millis(10);

/// A program and its event.
#[derive(Debug)]
pub struct Watch {
    program: OwnedFd,
    event: CString,
}

impl Watch {
    /// Attaches it once to see whether that works.
    pub fn new(program: OwnedFd, event: &str) -> io::Result<Self> {
        let watch = Self { program, event: CString::new(event).map_err(io::Error::other)? };
        watch.attach()?;
        Ok(watch)
    }

    fn attach(&self) -> io::Result<OwnedFd> {
        sys::raw_tracepoint(self.program.as_fd(), &self.event)
    }
}

/// Opens and closes windows automatically; dropping it closes the last one.
#[derive(Debug)]
pub struct Windows {
    /// Dropped first: it ends the thread.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Windows {
    /// Attaches all programs during 1/`sample` of the time. They are attached in their order and detached in reverse
    /// order; `before` is called before each window, while none of them runs. The first window is open on return.
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
        // It returns nothing.
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
        // Only the first window has a receiver.
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
        // By the actual length: a late wake-up makes the next pause longer.
        if is_over(ended, pause(opened.elapsed(), sample)) {
            return;
        }
    }
}

/// Detaches what begins a measurement first, so that every measurement that begins can end.
fn close(links: Vec<OwnedFd>) {
    for link in links.into_iter().rev() {
        drop(link);
    }
}

fn is_over(ended: &mpsc::Receiver<()>, time: Duration) -> bool {
    ended.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
}

/// The pause after a window, up to a quarter longer or shorter at random, so that periodic traffic is not always
/// sampled at the same phase. Its mean makes the window 1/`sample` of the time.
fn pause(window: Duration, sample: u32) -> Duration {
    let random = RandomState::new().build_hasher().finish() as u16;
    let part = 0.75 + f64::from(random) / f64::from(u16::MAX) / 2.0;
    window.mul_f64(f64::from(sample - 1) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_have_the_right_mean() {
        let pauses: Vec<Duration> = (0..4_000).map(|_| pause(WINDOW, 64)).collect();
        let right = WINDOW * 63;
        assert!(pauses.iter().all(|pause| *pause >= right.mul_f64(0.749) && *pause <= right.mul_f64(1.251)));
        let mean = pauses.iter().sum::<Duration>() / 4_000;
        // Uniform over half of it: sigma of the mean is 0.0023 of it.
        assert!(mean > right.mul_f64(0.99) && mean < right.mul_f64(1.01), "{mean:?}");
    }
}
