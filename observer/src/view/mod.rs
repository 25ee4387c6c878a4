//! Views: each borrows the model and returns text, one file a format. No clock, no kernel.

#[cfg(test)]
extern crate self as observer;

mod columns;
pub mod csv;
#[cfg(test)]
pub(crate) mod fixture;
mod grid;
pub mod json;
pub mod pcap;
pub mod price;
pub mod table;
pub mod tui;
pub mod units;
