//! Views: each borrows the model and returns text, one file per format. No clock, no kernel.

#[cfg(test)]
extern crate self as observer;

pub mod cluster;
mod columns;
pub mod compare;
pub mod cost;
pub mod csv;
pub mod doctor;
#[cfg(test)]
pub(crate) mod fixture;
mod grid;
pub mod json;
pub mod pcap;
pub mod pcapng;
pub mod prometheus;
pub mod table;
mod text;
pub mod trace;
pub mod tui;
pub mod units;
