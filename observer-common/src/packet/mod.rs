//! The parser: from the bytes of a frame to what the accounting rule needs.
//!
//! Each header is one step that checks, reads and advances. Loops are bounded by named constants, and
//! multi-byte fields stay in wire order until a step converts the one it needs.

mod carrier;
mod clear;
mod ethernet;
mod fast_path;
mod frame;
mod gre;
mod headers;
mod icmp;
mod ip;
mod ipv4;
mod ipv6;
mod malformed;
mod parsed;
mod parser;
mod reader;
mod transport;
mod tunnel;
mod udp;

pub(crate) use clear::{Cleared, clear, clear_after};
pub use fast_path::{FastPacket, parse_fast};
pub use frame::Frame;
pub use headers::{Plain, ipproto};
pub use icmp::{Ptb, Quoted, ptb};
pub use ip::{Ip, Position};
pub use malformed::Malformed;
pub use parsed::Parsed;
pub use parser::{ip_length, parse};
pub use reader::{Packet, Slice};
pub use transport::header_end;
pub use udp::WIREGUARD_AROUND;
