//! Sizes of a frame on the wire.

use crate::kind::Class;
use crate::packet::{Frame, Malformed, Packet, Parsed, WIREGUARD_AROUND, header_end};

/// Bytes of a hop-by-hop header with a jumbo payload option (RFC 2675).
const JUMBO: u32 = 8;

/// Sizes of a frame on the wire: totals of all segments, and the size of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Link-layer bytes of all segments.
    pub wire: u64,
    /// L3 bytes of all segments.
    pub l3: u64,
    /// Inner bytes of all segments.
    pub inner: u64,
    /// Packets on the wire.
    pub segments: u32,
    /// L3 size of each segment but the last.
    pub each: u32,
    /// L3 size of the last segment.
    pub last: u32,
}

impl Sizes {
    /// All zero.
    pub const NOTHING: Self = Self { wire: 0, l3: 0, inner: 0, segments: 0, each: 0, last: 0 };

    /// Measures `frame`. Returns what was missing if a transport header was needed and could not be read.
    ///
    /// Wire bytes = length + (segments − 1) × headers, with headers counted from the first byte to the end
    /// of the innermost transport header. The skb's `wire_len` is wrong for VXLAN.
    #[inline(always)]
    pub(super) fn measure<P: Packet>(&mut self, packet: &P, frame: &Frame, parsed: &Parsed) -> Malformed {
        let length = parsed.outer.length;
        *self = Self {
            wire: u64::from(frame.wire()),
            l3: u64::from(length),
            inner: u64::from(parsed.inner_length),
            segments: 1,
            each: length,
            last: length,
        };
        if frame.gso_size == 0 || parsed.outer.version == 0 {
            return Malformed::None;
        }
        let Some(end) = header_end(packet, parsed) else {
            return Malformed::TruncatedTransport;
        };
        let segments = if frame.gso_segs == 0 {
            frame.length.saturating_sub(end).div_ceil(frame.gso_size)
        } else {
            frame.gso_segs
        };
        if segments > 1 {
            let inner_start = if parsed.inner.version == 0 {
                parsed.outer.end().saturating_sub(parsed.inner_length)
            } else {
                u32::from(parsed.inner.start)
            };
            self.multiply(segments, end, frame, u32::from(parsed.outer.start));
            self.inner = if parsed.class == Class::Wireguard {
                // Each segment is a complete message, with its own header and tag.
                self.inner.saturating_sub(u64::from(segments - 1) * u64::from(WIREGUARD_AROUND))
            } else {
                self.inner + u64::from(segments - 1) * u64::from(end.saturating_sub(inner_start))
            };
            let jumbo = u64::from(segments) * u64::from(jumbo_header(packet, parsed));
            if jumbo != 0 {
                self.without(segments, jumbo, parsed);
            }
        }
        Malformed::None
    }

    /// Turns the sizes of a super-packet into those of its segments, which repeat the headers from `start` to `end`.
    /// Inner bytes depend on the tunnel and are left to the caller.
    #[inline(always)]
    pub(super) fn multiply(&mut self, segments: u32, end: u32, frame: &Frame, start: u32) {
        let repeats = u64::from(segments - 1);
        let headers = end.saturating_sub(start);
        self.segments = segments;
        self.wire += repeats * u64::from(end + frame.tag());
        self.l3 += repeats * u64::from(headers);
        self.each = headers + frame.gso_size;
        self.last = self.l3.saturating_sub(repeats * u64::from(self.each)) as u32;
    }

    /// Subtracts a header that segmentation removes, `bytes` in all segments together.
    #[inline(always)]
    fn without(&mut self, segments: u32, bytes: u64, parsed: &Parsed) {
        let each = (bytes / u64::from(segments)) as u32;
        self.wire = self.wire.saturating_sub(bytes);
        self.l3 = self.l3.saturating_sub(bytes);
        if !parsed.class.is_tunnel() {
            self.inner = self.inner.saturating_sub(bytes);
        }
        self.each = self.each.saturating_sub(each);
        self.last = self.last.saturating_sub(each);
    }

    /// The number of packets larger than `limit` bytes.
    #[inline(always)]
    #[must_use]
    pub const fn above(&self, limit: u32) -> u32 {
        let mut count = 0;
        if self.last > limit {
            count = 1;
        }
        if self.segments > 1 && self.each > limit {
            count += self.segments - 1;
        }
        count
    }

    /// L3 size of the largest packet.
    #[inline(always)]
    #[must_use]
    pub const fn largest(&self) -> u32 {
        if self.segments > 1 && self.each > self.last { self.each } else { self.last }
    }
}

/// The length of the hop-by-hop header in a BIG TCP super-packet (until kernel commit 741d069aa488), which
/// segmentation removes (`ipv6_hopopt_jumbo_remove`); 0 if there is none.
#[inline(always)]
fn jumbo_header<P: Packet>(packet: &P, parsed: &Parsed) -> u32 {
    if parsed.outer.version != 6 {
        return 0;
    }
    // Payload length and next header are 0; the lowest byte is the hop limit.
    match packet.read::<u32>(u32::from(parsed.outer.start) + 4) {
        Some(word) if u32::from_be(word) >> 8 == 0 => JUMBO,
        _ => 0,
    }
}
