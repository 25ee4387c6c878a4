//! The kernel: programs, maps, hooks, netlink. Nothing above this module knows aya, netlink or libc.

mod attach;
mod batch;
mod block_attribution;
pub mod btf;
mod clsact;
mod cost;
mod diagnostics;
mod drops;
mod error;
mod live;
mod load;
mod mmap_array;
pub mod netlink;
mod paths;
pub mod pinned;
mod pins;
mod program_stats;
mod registry;
mod state;
pub mod symbols;
pub mod sys;
mod tables;
mod trace;

pub use attach::{HookPoint, Hooks, Ingress, Purpose};
pub use cost::Measure;
pub use drops::Drops;
pub use error::{KernelError, LiveError};
pub use live::{Live, Options};
pub use load::{Capacities, Programs, Size, entry};
pub use pinned::Pinned;
pub use tables::{Tables, possible_cpus};
pub use trace::{Tally, Trace, tallies, want};
