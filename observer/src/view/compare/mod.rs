//! Comparisons: the table, JSON, Markdown, and a page with charts.

mod html;
mod json;
mod markdown;
mod table;
mod words;

pub use html::page as html;
pub use json::{SCHEMA, comparison as json};
pub use markdown::comparison as markdown;
pub use table::comparison as table;
