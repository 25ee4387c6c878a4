//! Messages between the thread that reads a source and the thread that draws.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// Messages to the screens.
#[derive(Clone, Debug)]
pub enum Feed {
    /// New figures.
    Snapshot(Box<Snapshot>),
    /// What this process has used so far.
    Process(Process),
    /// The source could not be read; why. The last figures stay, marked as stale.
    Failed(String),
    /// The kernel refused to enable its statistics; why.
    Refused(String),
    /// Another request was not carried out; why.
    Remark(String),
    /// The recording ended normally; a sentence.
    Ended(String),
    /// Quit, as after `q` (on SIGTERM, for example).
    Stop,
}

/// Requests to the thread that reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {
    /// Live: change the interval.
    Interval(Duration),
    /// Live: enable or disable the kernel's BPF statistics.
    Statistics(bool),
    /// Live: start or stop measuring the cost of encapsulation.
    Cost(bool),
    /// Recording: playback speed multiplier.
    Speed(f64),
    /// Recording: pause or resume.
    Hold(bool),
    /// Recording: play one snapshot while paused.
    Step,
}

/// What the loop has to do after a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Nothing changed.
    None,
    /// Draw again.
    Redraw,
    /// Draw again in full, because something else wrote on the terminal.
    Clear,
    /// Draw again, and send a request to the thread that reads.
    Request(Request),
    /// Draw again, and enable or disable mouse input.
    Mouse(bool),
    /// Quit.
    Quit,
}

/// What this process has used since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Time of the reading, monotonic.
    pub at: Duration,
    /// CPU time, user and system.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// Where the figures come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The kernel, now.
    #[default]
    Live,
    /// A recording.
    Recording,
}
