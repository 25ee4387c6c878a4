//! Observer: encapsulation overhead, fragmentation and MTU problems of a Calico node, measured in its data plane.
//!
//! Data flows one way: kernel maps (or a capture file, or a recording) → [`snapshot`] → [`model`] →
//! views. Only [`kernel`] uses aya and netlink; [`model`] and [`topology`] are pure; views never use the kernel;
//! only [`command`] joins them.

pub mod advice;
pub mod calico;
pub mod capture;
pub mod cli;
pub mod command;
pub mod cost;
pub mod export;
pub mod fleet;
pub mod header;
pub mod kernel;
pub mod kubernetes;
pub mod model;
pub mod path_name;
pub mod pem;
pub mod process;
pub mod recording;
pub mod snapshot;
pub mod topology;
pub mod trace;
pub mod view;
