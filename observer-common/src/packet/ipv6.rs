//! IPv6 (RFC 8200) and its extension headers, outer and inner.

use super::carrier::{Carrier, Reasons};
use super::headers::{Extension, Ipv6, ipproto};
use super::ipv4::suspicious;
use super::{Ip, Malformed, Packet, Position, clear};

/// Extension headers that are passed over; more make a packet malformed. RFC 8200 §4.1 names six
/// that may occur, one of them twice.
pub const MAX_EXTENSIONS: u32 = 7;

const HEADER: u32 = size_of::<Ipv6>() as u32;
const NO_NEXT_HEADER: u8 = 59;
const MORE_FRAGMENTS: u16 = 1;
const OFFSET: u16 = 0xfff8;

/// Reads the header at `at` into `ip` and passes its extension headers.
///
/// Returns something wrong with its fragmentation fields, which does not stop the parser.
///
/// # Errors
/// What makes the header unusable.
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
    // A length of 0 is a jumbogram's (RFC 2675) or a BIG TCP super-packet's, or there is no payload.
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
    let passed = extensions(packet, ip, reasons);
    if passed.is_err() {
        // Nothing of a header that cannot be used is counted, its length and position neither.
        clear(ip);
    }
    passed
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
            // A packet has one Fragment header; what follows is either the rest of the headers or
            // the middle of a packet, and the latter must not be parsed. Headers behind the first
            // fragment's Fragment header are passed like any others.
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
    // The first fragment would have had all headers but the Fragment header anyway.
    ip.fragmentation_overhead = if later { ip.payload - ip.start } else { size_of::<Extension>() as u16 };
    // The Fragment header is gone from the reassembled packet (RFC 8200 §4.5).
    let headers = u32::from(ip.payload - ip.start) - HEADER - size_of::<Extension>() as u32;
    suspicious(ip, u32::from(fragment & OFFSET), payload, headers)
}
