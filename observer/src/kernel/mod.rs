//! The kernel: programs, maps, hooks, netlink. Nothing above this module knows aya, netlink or libc.

mod attach;
mod batch;
mod clsact;
mod cost;
mod diagnostics;
mod error;
mod ledger;
mod live;
mod load;
pub mod netlink;
pub mod sys;
mod tables;

pub use attach::{Hooks, Ingress, Place};
pub use error::{KernelError, LiveError};
pub use live::{Live, Options};
pub use load::{Capacities, Programs, entry};
pub use tables::Tables;
