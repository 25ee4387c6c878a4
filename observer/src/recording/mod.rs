//! Recordings: files of snapshots, one per line, for later use on any machine. `docs/recording.md` describes the
//! format.
//!
//! [`Writer`] writes and flushes each snapshot before the next is taken, so a kill loses at most the current line.
//! [`Recording`] reads one snapshot at a time.

mod bins;
mod cost;
mod error;
mod form;
mod reader;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod writer;

pub use bins::Bins;
pub use error::RecordingError;
pub use form::{End, Header, SCHEMA};
pub use reader::Recording;
pub use writer::Writer;
