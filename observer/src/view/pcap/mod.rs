//! The views of `observer pcap`: what captures have in addition to a report, and single frames.

mod event;
mod files;

pub use event::{csv as event_csv, csv_header as event_csv_header, json as event_json, text as event_text};
pub use files::{json, table};
