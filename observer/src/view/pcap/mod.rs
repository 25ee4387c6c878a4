//! The views of `observer pcap`: table, JSON (`docs/pcap-json.md`), CSV, and single frames.

mod csv;
mod event;
mod json;
mod table;

pub use csv::{paths as csv_paths, rows as csv};
pub use event::{event, events_header};
pub use json::{SCHEMA, document as json};
pub use table::report as table;
