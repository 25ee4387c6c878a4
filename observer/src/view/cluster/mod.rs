//! The fleet as a table, JSON and CSV.

pub mod csv;
pub mod json;
pub mod table;
