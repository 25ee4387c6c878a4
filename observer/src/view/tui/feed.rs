//! What goes to the screens and what comes back: messages between the thread that reads a source and the
//! one that draws.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// What the caller's threads tell the screen.
#[derive(Clone, Debug)]
pub enum Feed {
    /// New figures.
    Snapshot(Box<Snapshot>),
    /// What this process has used so far.
    Process(Process),
    /// The source could not be read; a sentence. The last figures stay, marked as stale.
    Failed(String),
    /// Something that was asked for was refused; a sentence.
    Refused(String),
    /// Something else that was asked for cannot be; a sentence.
    Remark(String),
    /// Nothing more comes, as was to be expected; a sentence.
    Ended(String),
    /// Leave, as after `q` (on SIGTERM, for example).
    Stop,
}

/// What the screen requests of the thread that reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {
    /// Live: from now on, figures so far apart.
    Interval(Duration),
    /// Live: the kernel's BPF statistics, on or off.
    Statistics(bool),
    /// Live: what encapsulation costs, measured or not.
    Cost(bool),
    /// Recording: so many times as fast as it happened.
    Speed(f64),
    /// Recording: no more, until asked.
    Hold(bool),
    /// Recording: one snapshot, although held.
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
    /// Draw again, and ask the thread that reads.
    Request(Request),
    /// Draw again, and take clicks and wheel or leave them to the terminal.
    Mouse(bool),
    /// Leave.
    Quit,
}

/// What this process has used since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// When it was read: since the process started listening, monotonic.
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
