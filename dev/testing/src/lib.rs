//! What the tests of Observer's parser and accounting rule share: a builder of packets, hostile ones
//! included ([`packets`]), the node that sees them ([`node`]), the accounting rule's tables in memory
//! ([`memory`]), the packet table ([`table`]), and what programs may take ([`ceilings`]).
//!
//! The same table runs through user space, XDP and TC: [`Case::hooks`] says where a case can run, and
//! [`Case::expected`] what the node's tables hold afterwards.

pub mod case;
pub mod ceilings;
pub mod memory;
pub mod node;
pub mod packets;
pub mod table;

pub use case::{Case, Expect, Hooks, Input};
pub use memory::{Counted, MemoryTables};
