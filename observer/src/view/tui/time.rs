//! Pausing, stepping through the history, and the interval or speed.

use std::time::Duration;

use super::app::App;
use super::feed::{Action, Origin, Request};

/// Selectable intervals in ms.
const INTERVALS: [u64; 10] = [100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000];
/// Selectable speeds.
const SPEEDS: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

impl App {
    /// Pauses with the current figures, or resumes with the newest.
    pub(super) fn pause(&mut self) -> Action {
        self.paused = !self.paused;
        self.stepping = false;
        if !self.paused && self.behind != 0 {
            self.behind = 0;
            self.show_again();
        }
        match self.options.origin {
            Origin::Live => Action::Redraw,
            Origin::Recording => Action::Request(Request::Hold(self.paused)),
        }
    }

    /// One report back; pauses if necessary.
    pub(super) fn step_back(&mut self) -> Action {
        let pause = !self.paused;
        self.paused = true;
        if self.behind + 1 < self.ring.len() {
            self.behind += 1;
            self.show_again();
        } else {
            self.remark = Some("beginning of the history".to_owned());
        }
        if pause && self.options.origin == Origin::Recording {
            Action::Request(Request::Hold(true))
        } else {
            Action::Redraw
        }
    }

    /// One report forward; at the newest, plays one snapshot of a recording.
    pub(super) fn step_on(&mut self) -> Action {
        if !self.paused {
            return Action::None;
        }
        self.remark = None;
        if self.behind != 0 {
            self.behind = (self.behind - 1).min(self.ring.len().saturating_sub(1));
            self.show_again();
            return Action::Redraw;
        }
        match self.options.origin {
            Origin::Live => Action::None,
            Origin::Recording => {
                self.stepping = true;
                Action::Request(Request::Step)
            }
        }
    }

    /// Changes the interval of live figures, or the speed of a recording.
    pub(super) fn change_pace(&mut self, more: bool) -> Action {
        match self.options.origin {
            Origin::Live => {
                let now = u64::try_from(self.options.interval.as_millis()).unwrap_or(u64::MAX);
                let next = if more {
                    INTERVALS.into_iter().find(|interval| *interval > now)
                } else {
                    INTERVALS.into_iter().rev().find(|interval| *interval < now)
                };
                let Some(next) = next else { return Action::None };
                self.options.interval = Duration::from_millis(next);
                Action::Request(Request::Interval(self.options.interval))
            }
            Origin::Recording => {
                let now = self.options.speed;
                let next = if more {
                    SPEEDS.into_iter().find(|speed| *speed > now)
                } else {
                    SPEEDS.into_iter().rev().find(|speed| *speed < now)
                };
                let Some(next) = next else { return Action::None };
                self.options.speed = next;
                Action::Request(Request::Speed(next))
            }
        }
    }
}
