//! Recordings: snapshots in a file, one a line, so that what was counted can be looked at later and on
//! another machine. The form stands in `docs/recording.md`; its version is [`SCHEMA`].
//!
//! [`Writer`] streams: each snapshot is written and flushed before the next is taken, so that whoever is
//! killed leaves what there was. [`Recording`] reads the same way and holds one snapshot at a time.

mod bins;
mod cost;
mod error;
mod form;
mod names;
mod reader;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use bins::Bins;
pub use error::RecordingError;
pub use form::{End, Header};
pub use reader::Recording;
pub use writer::Writer;

/// The version of the form. Readers ignore fields that they do not know; a change that would mislead them
/// gets a new number.
pub const SCHEMA: &str = "observer-recording/2";
/// The schema without its number.
const FAMILY: &str = "observer-recording/";
/// The newest number that this Observer reads.
const VERSION: u32 = 2;
