//! The kernel: programs, maps, hooks, netlink. Nothing above this module knows aya, netlink or libc.

mod attach;
pub mod btf;
mod clsact;
mod diagnostics;
mod error;
mod ledger;
mod live;
mod load;
pub mod netlink;
mod price;
pub mod sys;
mod tables;

pub use attach::{Hooks, Ingress, Place};
pub use error::{KernelError, LiveError};
pub use live::{Live, Options};
pub use load::{Capacities, Programs, entry};
pub use tables::Tables;
