//! IPv6 (RFC 8200) and its extension headers, outer and inner.

use super::carrier::{Carrier, Reasons};
use super::clear::clear;
use super::headers::{Extension, Ipv6, ipproto};
use super::ip::{Ip, Position};
use super::ipv4::suspicious;
use super::malformed::Malformed;
use super::reader::Packet;

/// Maximum extension headers; more make a packet malformed. RFC 8200 §4.1 lists six, one of which may
/// occur twice.
pub const MAX_EXTENSIONS: u32 = 7;

const HEADER: u32 = size_of::<Ipv6>() as u32;
const NO_NEXT_HEADER: u8 = 59;
const MORE_FRAGMENTS: u16 = 1;
const OFFSET: u16 = 0xfff8;

/// Reads the header at `at` into `ip` and skips its extension headers. Returns what is suspicious about its
/// fragmentation fields.
///
/// # Errors
/// The reason why the header is unusable.
#[inline(always)]
pub(super) fn header<P: Packet>(
    packet: &P,
    at: u32,
    carrier: Carrier,
    reasons: &Reasons,
    ip: &mut Ip,
) -> Result<Malformed, Malformed> {
    let header: Ipv6 = packet.read(at).ok_or(reasons.truncated)?;
    if u32::from_be(header.version_class_flow) >> 28 != 6 {
        return Err(reasons.version);
    }
    let payload_length = u32::from(u16::from_be(header.payload_length));
    let mut length = HEADER + payload_length;
    // A length of 0 means a jumbogram (RFC 2675), a BIG TCP super-packet, or no payload.
    if payload_length == 0 && carrier.zero_is_big && header.next_header != NO_NEXT_HEADER {
        length = carrier.available;
    }
    if length > carrier.available && !carrier.cut {
        return Err(reasons.beyond);
    }
    *ip = Ip {
        length,
        start: at as u16,
        payload: (at + HEADER) as u16,
        fragmentation_overhead: 0,
        version: 6,
        protocol: header.next_header,
        position: Position::Whole,
        dont_fragment: true,
    };
    if !is_extension(header.next_header) {
        return Ok(Malformed::None);
    }
    let result = extensions(packet, ip, reasons);
    if result.is_err() {
        // Nothing of an unusable header is counted, not even its length and position.
        clear(ip);
    }
    result
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        ipproto::HOP_BY_HOP
            | ipproto::ROUTING
            | ipproto::FRAGMENT
            | ipproto::AH
            | ipproto::DESTINATION_OPTIONS
            | ipproto::MOBILITY
            | ipproto::HIP
            | ipproto::SHIM6
    )
}

#[inline(always)]
fn extensions<P: Packet>(packet: &P, ip: &mut Ip, reasons: &Reasons) -> Result<Malformed, Malformed> {
    let end = ip.end();
    let mut wrong = Malformed::None;
    let mut at = u32::from(ip.payload);
    for _ in 0..MAX_EXTENSIONS {
        if at + size_of::<Extension>() as u32 > end {
            return Err(reasons.extension);
        }
        let extension: Extension = packet.read(at).ok_or(reasons.extension)?;
        let this = ip.protocol;
        ip.protocol = extension.next_header;
        at += match this {
            // RFC 4302 §2.2: in units of 4 bytes, minus 2.
            ipproto::AH => (u32::from(extension.length) + 2) * 4,
            ipproto::FRAGMENT => size_of::<Extension>() as u32,
            _ => (u32::from(extension.length) + 1) * 8,
        };
        ip.payload = at as u16;
        if at > end {
            return Err(reasons.extension);
        }
        if this == ipproto::FRAGMENT {
            // In a later fragment the payload starts in the middle of the packet and must not be
            // parsed. In a first fragment more headers may follow.
            let fragment = u16::from_be(extension.fragment);
            wrong = fragmented(ip, fragment, end - at);
            if fragment & OFFSET != 0 {
                return Ok(wrong);
            }
        }
        if !is_extension(ip.protocol) {
            return Ok(wrong);
        }
        packet.verifier_barrier(ip);
        at = u32::from(ip.payload);
    }
    Err(Malformed::ExtensionChain)
}

#[inline(always)]
fn fragmented(ip: &mut Ip, fragment: u16, payload: u32) -> Malformed {
    let later = fragment & OFFSET != 0;
    let more = fragment & MORE_FRAGMENTS != 0;
    if !later && !more {
        ip.position = Position::Atomic;
        return Malformed::None;
    }
    ip.position = Position::of(more, later);
    // For a first fragment, only the Fragment header itself was added.
    ip.fragmentation_overhead = if later { ip.payload - ip.start } else { size_of::<Extension>() as u16 };
    // Reassembly removes the Fragment header (RFC 8200 §4.5).
    let headers = u32::from(ip.payload - ip.start) - HEADER - size_of::<Extension>() as u32;
    suspicious(ip, u32::from(fragment & OFFSET), payload, headers)
}
