//! Where snapshots come from.

use crate::snapshot::Snapshot;

/// A source of snapshots: the kernel's maps, a capture file, a recording.
pub trait Source {
    /// The state of all counters now.
    ///
    /// # Errors
    /// What could not be read, and why.
    fn snapshot(&mut self) -> Result<Snapshot, SourceError>;
}

/// A source could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed on {object}: {cause}")]
pub struct SourceError {
    /// What was tried.
    pub operation: &'static str,
    /// On what.
    pub object: String,
    /// Why it failed.
    pub cause: String,
}
