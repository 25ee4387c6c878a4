//! `observer top --replay`: plays a recording.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::recording::Recording;
use crate::snapshot::Snapshot;
use crate::view::tui::{Feed, Request};

/// Longest pause for a gap in the recording.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How a recording is played.
struct Player<'a> {
    requests: &'a Receiver<Request>,
    speed: f64,
    held: bool,
    steps: usize,
}

/// Sends the snapshots of a recording until it ends or the receiver is gone.
pub fn play(
    mut recording: Recording,
    speed: f64,
    feed: &Sender<Feed>,
    requests: &Receiver<Request>,
    started: &Sender<()>,
) {
    let _ = started.send(());
    let mut player = Player { requests, speed, held: false, steps: 0 };
    let mut earlier: Option<Duration> = None;
    loop {
        let next = match recording.next_snapshot() {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => {
                let end = recording.flaw().unwrap_or_else(|| format!("{} ends here", recording.file()));
                let _ = feed.send(Feed::Ended(end));
                break;
            }
            Err(error) => {
                let _ = feed.send(Feed::Failed(error.to_string()));
                break;
            }
        };
        if let Some(earlier) = earlier
            && !player.wait(next.taken.saturating_sub(earlier))
        {
            return;
        }
        earlier = Some(next.taken);
        if !send(feed, next) {
            return;
        }
    }
    // The screens stay open; later steps have no effect.
    while player.requests.recv().is_ok() {}
}

fn send(feed: &Sender<Feed>, snapshot: Snapshot) -> bool {
    feed.send(Feed::Snapshot(Box::new(snapshot))).is_ok()
}

impl Player<'_> {
    /// Waits until the next snapshot is due; false if the receiver is gone.
    fn wait(&mut self, apart: Duration) -> bool {
        let begun = Instant::now();
        loop {
            if self.steps > 0 {
                self.steps -= 1;
                return true;
            }
            let due = apart.div_f64(self.speed).min(LONGEST_WAIT);
            let left = due.saturating_sub(begun.elapsed());
            if !self.held && left.is_zero() {
                return true;
            }
            let asked = if self.held {
                self.requests.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.requests.recv_timeout(left)
            };
            match asked {
                Ok(Request::Speed(speed)) => self.speed = speed,
                Ok(Request::Hold(held)) => self.held = held,
                Ok(Request::Step) => self.steps += 1,
                Ok(Request::Interval(_) | Request::Statistics(_) | Request::Cost(_)) => {}
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }
}
