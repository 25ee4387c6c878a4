//! Comparisons as a table, JSON, Markdown, and an HTML page with charts.

mod html;
mod json;
mod labels;
mod markdown;
mod table;

pub use html::page as html;
pub use json::{SCHEMA, comparison as json};
pub use markdown::comparison as markdown;
pub use table::comparison as table;
