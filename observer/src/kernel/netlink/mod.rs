//! The node through route netlink: reads everything, and waits for changes. Works in the network namespace of the
//! calling thread, without privileges.

mod decode;
mod read;
mod watch;

pub use read::{NetlinkError, read_node};
pub use watch::{Change, Watcher};
