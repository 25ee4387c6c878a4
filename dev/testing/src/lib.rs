//! Shared test code for Observer's parser and accounting rule: packet builders, including hostile packets
//! ([`packets`]), the node that observes them ([`node`]), the accounting rule's tables in memory ([`memory`]),
//! the packet table ([`table`]), and limits on the size of programs ([`ceilings`]).
//!
//! The same table runs through user space, XDP and TC: [`Case::hooks`] returns where a case can run, and
//! [`Case::expected`] the contents of the node's tables afterwards.

pub mod case;
pub mod ceilings;
pub mod golden;
pub mod memory;
pub mod node;
pub mod packets;
pub mod skip;
pub mod table;

pub use case::{Case, Expect, Hooks, Input};
pub use memory::{Counted, MemoryTables};
pub use skip::{Need, lacks, skip};
