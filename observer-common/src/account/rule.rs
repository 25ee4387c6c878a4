//! The entry points of the accounting rule.

use super::add::{add_sizes, add_totals};
use super::observation::Observation;
use super::path::{into_tunnel, on_underlay};
use super::ptb::count_ptb;
use super::site::Site;
use super::sizes::Sizes;
use super::tables::Tables;
use crate::abi::{events_index, role, totals_index};
use crate::counters::FIRST_REASON;
use crate::kind::Direction;
use crate::packet::{Frame, Malformed, Packet, clear, clear_after, parse};

/// Parses the frame described by `seen` and measures it. Returns whether all necessary headers could be
/// read.
#[inline(always)]
pub fn classify<P: Packet>(packet: &P, site: &Site<'_>, seen: &mut Observation) -> bool {
    clear(&mut seen.parsed);
    // All but the sizes, which are overwritten below.
    clear_after::<_, Sizes>(&mut seen.verdict);
    parse(packet, &seen.frame, site.link(), site.config, &mut seen.parsed);
    packet.verifier_barrier(seen);
    let short = seen.verdict.sizes.measure(packet, &seen.frame, &seen.parsed);
    packet.verifier_barrier(seen);
    let malformed = if short as u8 != 0 { short as u8 } else { seen.parsed.malformed };
    seen.verdict.malformed = malformed;
    !ran_out(malformed)
}

/// Parses and counts a frame, including any PTB message in it.
#[inline(always)]
pub fn observe<P: Packet, T: Tables>(
    packet: &P,
    frame: &Frame,
    site: &Site<'_>,
    tables: &mut T,
    seen: &mut Observation,
) {
    seen.frame = *frame;
    classify(packet, site, seen);
    account(packet, site, tables, seen);
    if let Some((at, protocol)) = seen.ptb() {
        count_ptb(packet, u32::from(at), protocol, site, tables);
    }
}

/// Whether the parser ran out of bytes. If the frame is longer than what could be read, the packet itself
/// may be fine.
#[inline(always)]
#[must_use]
pub fn ran_out(malformed: u8) -> bool {
    const TRUNCATED: u32 = 1 << Malformed::TruncatedLink as u8
        | 1 << Malformed::TruncatedIp as u8
        | 1 << Malformed::TruncatedExtension as u8
        | 1 << Malformed::TruncatedTunnel as u8
        | 1 << Malformed::InnerTruncated as u8
        | 1 << Malformed::TruncatedTransport as u8;
    (TRUNCATED >> (malformed & 31)) & 1 != 0
}

/// Counts a classified frame, except for a PTB message in it ([`count_ptb`]).
#[inline(always)]
pub fn account<P: Packet, T: Tables>(packet: &P, site: &Site<'_>, tables: &mut T, seen: &mut Observation) {
    let device = site.device;
    seen.verdict.class = seen.parsed.class;
    if device.mtu != 0 {
        seen.verdict.oversized = seen.verdict.sizes.above(device.mtu);
    }
    if seen.parsed.outer.version != 0 {
        if device.role == role::UNDERLAY {
            on_underlay(packet, site, tables, seen);
        } else if device.role == role::TUNNEL && site.direction == Direction::Egress {
            into_tunnel(packet, site, tables, seen);
        }
        packet.verifier_barrier(seen);
    }
    let Observation { parsed, verdict, .. } = seen;
    let sizes = &verdict.sizes;
    let last = tables.size_class(sizes.last);
    let each = if sizes.segments > 1 { tables.size_class(sizes.each) } else { last };
    if let Some(totals) = tables.totals(totals_index(device.slot, site.direction, verdict.class)) {
        add_totals(totals, parsed, verdict);
        if parsed.outer.version != 0 {
            add_sizes(totals, last, each, sizes);
        }
    }
    if verdict.malformed != 0
        && let Some(events) = tables.events(events_index(device.slot, site.direction))
        && let Some(count) = events.0.get_mut(FIRST_REASON + usize::from(verdict.malformed - 1))
    {
        *count += u64::from(sizes.segments);
    }
}
