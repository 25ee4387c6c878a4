//! Code shared by Observer's BPF programs and its user-space side: the parser, the accounting rule and
//! the layout of the maps.
//!
//! Nothing here allocates, panics on wire bytes, or depends on where it runs: in a BPF program, on a
//! capture file or in a test.
#![no_std]

pub mod abi;
pub mod account;
pub mod address;
pub mod cost;
pub mod counters;
pub mod drops;
pub mod event;
pub mod hook_rtt;
pub mod kind;
pub mod packet;
pub mod path;
pub mod remotes;
