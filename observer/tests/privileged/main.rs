//! Tests that need root: programs in the kernel, hooks on devices, labs of network namespaces.
//!
//! `cargo xtask test` runs them here, `cargo xtask vm` on other kernels. They leave nothing behind, and
//! change nothing outside their namespaces.

mod bird;
mod capture;
mod cost;
mod cost_drops;
mod cost_rtt;
mod cost_views;
mod doctor;
mod exact;
mod export;
mod flood;
mod fragments;
mod hook_rtt;
mod hooks;
mod incident;
mod input;
mod lab;
mod program;
mod ptb;
mod record;
mod segments;
mod sizes;
mod terminal;
mod trace;
mod watch;
