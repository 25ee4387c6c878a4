//! What the kernel side and the user side of Observer share: one parser, one accounting rule and the
//! layout of the maps between them.
//!
//! Nothing here allocates, panics on wire bytes, or knows whether it runs in a BPF program, over a
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
