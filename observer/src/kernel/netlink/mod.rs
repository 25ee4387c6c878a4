//! The node through route netlink: one reading of everything, and word that something changed. Works in
//! the network namespace of the thread that calls, and needs no privilege.

mod decode;
mod read;
mod watch;

pub use read::{NetlinkError, read_node};
pub use watch::{Change, Watcher};
