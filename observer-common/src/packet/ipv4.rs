//! IPv4 (RFC 791), outer and inner.

use super::carrier::{Carrier, Reasons};
use super::headers::{Ipv4, ipproto};
use super::ip::{Ip, Position};
use super::malformed::Malformed;
use super::reader::Packet;

const DONT_FRAGMENT: u16 = 0x4000;
pub(super) const MORE_FRAGMENTS: u16 = 0x2000;
pub(super) const OFFSET: u16 = 0x1fff;
pub(super) const LONGEST: u32 = 65_535;
/// RFC 1858 §3: bytes of the TCP header that a first fragment must contain.
const TCP_MINIMUM: u32 = 16;

/// Reads the header at `at` into `ip`. Returns what is suspicious about its fragmentation fields.
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
    let header: Ipv4 = packet.read(at).ok_or(reasons.truncated)?;
    if header.version_ihl >> 4 != 4 {
        return Err(reasons.version);
    }
    let header_length = u32::from(header.version_ihl & 0xf) * 4;
    if header_length < size_of::<Ipv4>() as u32 {
        return Err(reasons.header_length);
    }
    let mut length = u32::from(u16::from_be(header.total_length));
    if length == 0 && carrier.zero_is_big {
        length = carrier.available;
    }
    if length < header_length {
        return Err(reasons.total_length);
    }
    if length > carrier.available && !carrier.cut {
        return Err(reasons.beyond);
    }
    let fragment = u16::from_be(header.fragment);
    *ip = Ip {
        length,
        start: at as u16,
        payload: (at + header_length) as u16,
        fragmentation_overhead: 0,
        version: 4,
        protocol: header.protocol,
        position: Position::Whole,
        dont_fragment: fragment & DONT_FRAGMENT != 0,
    };
    if fragment & (MORE_FRAGMENTS | OFFSET) == 0 {
        return Ok(Malformed::None);
    }
    let later = fragment & OFFSET != 0;
    ip.position = Position::of(fragment & MORE_FRAGMENTS != 0, later);
    if later {
        ip.fragmentation_overhead = header_length as u16;
    }
    Ok(suspicious(ip, u32::from(fragment & OFFSET) * 8, length - header_length, header_length))
}

/// What is suspicious about a fragment with `payload` bytes at `offset` of its packet, whose length field
/// also covers `headers` bytes.
#[inline(always)]
pub(super) fn suspicious(ip: &Ip, offset: u32, payload: u32, headers: u32) -> Malformed {
    let tcp = ip.protocol == ipproto::TCP;
    if ip.position != Position::Last && !payload.is_multiple_of(8) {
        Malformed::FragmentLength
    } else if headers + offset + payload > LONGEST {
        Malformed::FragmentBeyond
    } else if tcp && ip.position == Position::First && payload < TCP_MINIMUM {
        Malformed::FragmentTiny
    } else if tcp && offset == 8 {
        Malformed::FragmentOverlap
    } else {
        Malformed::None
    }
}
