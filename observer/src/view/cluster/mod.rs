//! The fleet: for people, for programs, and as rows.

pub mod csv;
pub mod json;
pub mod table;
