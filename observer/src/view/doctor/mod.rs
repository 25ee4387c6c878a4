//! What `observer doctor` says: as text, as JSON, and as metrics for a text file collector.

pub mod json;
pub mod metrics;
mod plan;
pub mod table;
mod text;
