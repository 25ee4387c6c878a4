//! A Calico-like cluster in network namespaces of this machine: three nodes, their pods and a router (docs/lab.md).
//!
//! `cargo xtask lab` and the `observer-lab` program are its command line; tests call it directly.

pub mod background;
pub mod bird;
pub mod breaks;
pub mod cli;
mod damage;
mod devices;
pub mod incident;
mod ipip;
mod lifecycle;
mod netlink;
pub mod netns;
pub mod resources;
mod routes;
mod state;
pub mod status;
mod topology;
pub mod traffic;
pub mod walkthrough;

pub use damage::mend;
pub use lifecycle::{Lab, Options, down, switch};
pub use state::folder;
pub use topology::{Mode, Topology};
