//! Single packets: their description, and filters. Pure.

mod compile;
mod filter;
mod packet;

pub use compile::compile;
pub use filter::{Expression, FilterError, Term};
pub use packet::{Dropped, TracedPacket, traced_packet};
