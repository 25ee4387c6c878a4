//! The kernel: programs, maps, hooks, netlink. Nothing above this module knows aya, netlink or libc.

mod attach;
mod batch;
pub mod btf;
mod cells;
mod clsact;
mod cost;
mod diagnostics;
mod drops;
mod error;
mod ledger;
mod live;
mod load;
pub mod netlink;
mod paths;
pub mod pinned;
mod pins;
mod price;
mod state;
pub mod symbols;
pub mod sys;
mod tables;
mod trace;

pub use attach::{Hooks, Ingress, Place, Purpose};
pub use drops::Drops;
pub use error::{KernelError, LiveError};
pub use live::{Live, Options};
pub use load::{Capacities, Programs, Size, entry};
pub use pinned::Pinned;
pub use price::Measure;
pub use tables::{Tables, possible_cpus};
pub use trace::{Tally, Trace, tallies, want};
