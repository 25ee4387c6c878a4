//! Single packets: what is told of each, and which are asked for. Pure.

mod compile;
mod filter;
mod packet;

pub use compile::compile;
pub use filter::{Expression, FilterError, Term};
pub use packet::{Dropped, TracedPacket, told};
