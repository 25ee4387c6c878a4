//! The end of the headers that every segment of a super-packet repeats.

use super::headers::{Udp, ipproto};
use super::parsed::Parsed;
use super::reader::Packet;

/// Bytes of a TCP header without options.
const TCP: u32 = 20;
/// Offset of its data offset field.
pub(super) const TCP_OFFSET: u32 = 12;
/// SCTP's common header (RFC 9260 §3.1).
const SCTP: u32 = 12;

/// The length of a TCP header, from the byte at [`TCP_OFFSET`]; `None` if it is invalid.
#[inline(always)]
pub(super) const fn tcp_length(offset: u8) -> Option<u32> {
    let length = (offset >> 4) as u32 * 4;
    if length < TCP { None } else { Some(length) }
}

/// The offset of the first byte after the innermost transport header, where the payload to be segmented
/// starts; `None` if the packet ends before it.
#[inline(always)]
pub fn header_end<P: Packet>(packet: &P, parsed: &Parsed) -> Option<u32> {
    let ip = if parsed.inner.version == 0 { &parsed.outer } else { &parsed.inner };
    let payload = u32::from(ip.payload);
    match ip.protocol {
        ipproto::TCP => Some(payload + tcp_length(packet.read(payload + TCP_OFFSET)?)?),
        ipproto::UDP => Some(payload + size_of::<Udp>() as u32),
        ipproto::SCTP => Some(payload + SCTP),
        _ => Some(payload),
    }
}
