//! Additions to totals, events and paths.

use super::observation::Verdict;
use super::site::Site;
use super::sizes::Sizes;
use super::tables::Tables;
use crate::abi::{Totals, events_index};
use crate::counters::{Event, PathCounter, TOTALS, Total};
use crate::packet::{Ip, Parsed, Position};
use crate::path::{Counters, HOT_COUNTERS};

#[inline(always)]
pub(super) fn event<T: Tables>(site: &Site<'_>, tables: &mut T, event: Event, packets: u32) {
    if let Some(events) = tables.events(events_index(site.device.slot, site.direction)) {
        events.0[event as usize] += u64::from(packets);
    }
}

/// The counters of packets that do not fit through a tunnel.
#[inline(always)]
pub(super) const fn too_big_counters(dont_fragment: bool) -> (Total, PathCounter) {
    if dont_fragment {
        (Total::WouldDrop, PathCounter::WouldDrop)
    } else {
        (Total::WouldFragment, PathCounter::WouldFragment)
    }
}

/// Adds packets, bytes and the largest size to a row of totals or to a path. Both have the same first counters, but
/// not the same index for the largest size.
#[inline(always)]
fn add_bytes<const N: usize>(counters: &mut [u64; N], largest_at: usize, sizes: &Sizes) {
    counters[Total::Packets as usize] += u64::from(sizes.segments);
    counters[Total::WireBytes as usize] += sizes.wire;
    counters[Total::L3Bytes as usize] += sizes.l3;
    counters[Total::InnerBytes as usize] += sizes.inner;
    let largest = u64::from(sizes.largest());
    if largest > counters[largest_at] {
        counters[largest_at] = largest;
    }
}

const _: () = assert!(Total::Packets as usize == PathCounter::Packets as usize);
const _: () = assert!(Total::WireBytes as usize == PathCounter::WireBytes as usize);
const _: () = assert!(Total::L3Bytes as usize == PathCounter::L3Bytes as usize);
const _: () = assert!(Total::InnerBytes as usize == PathCounter::InnerBytes as usize);

/// Adds what every packet counts for to a row of totals.
#[inline(always)]
pub(super) fn add_to_totals(counters: &mut [u64; TOTALS], sizes: &Sizes) {
    add_bytes(counters, Total::Largest as usize, sizes);
    if sizes.segments > 1 {
        counters[Total::Aggregates as usize] += 1;
    }
}

#[inline(always)]
pub(super) fn add_totals(totals: &mut Totals, parsed: &Parsed, verdict: &Verdict) {
    let sizes = &verdict.sizes;
    let counters = &mut totals.counters;
    add_to_totals(counters, sizes);
    if verdict.oversized != 0 {
        counters[Total::Oversized as usize] += u64::from(verdict.oversized);
    }
    if verdict.too_big_for_tunnel != 0 {
        counters[too_big_counters(parsed.outer.dont_fragment).0 as usize] +=
            u64::from(verdict.too_big_for_tunnel);
    }
    if parsed.outer.position != Position::Whole {
        add_outer_fragment(
            counters,
            parsed.outer.version,
            parsed.outer.position,
            parsed.outer.fragmentation_overhead,
        );
    }
    // The remaining counters are for tunnel packets only.
    if !verdict.class.is_tunnel() {
        return;
    }
    if parsed.inner.position != Position::Whole {
        let Ip { version, position, fragmentation_overhead, .. } = parsed.inner;
        let first = (Total::InnerV4First, Total::InnerV6First);
        add_fragment(counters, version, position, fragmentation_overhead, first);
    }
    let n = u64::from(sizes.segments);
    for (applies, counter) in [
        (verdict.unknown_peer, Total::UnknownPeer),
        (verdict.unknown_vni, Total::UnknownVni),
        (parsed.nested, Total::Nested),
        (parsed.inner_non_ip, Total::InnerNonIp),
        (parsed.gpe, Total::VxlanGpe),
    ] {
        if applies {
            counters[counter as usize] += n;
        }
    }
}

/// Adds an outer fragment and its fragmentation overhead.
#[inline(always)]
pub(super) fn add_outer_fragment(
    counters: &mut [u64; TOTALS],
    version: u8,
    position: Position,
    overhead: u16,
) {
    add_fragment(counters, version, position, overhead, (Total::OuterV4First, Total::OuterV6First));
}

/// Adds a fragment to the counters of a layer, which start with these two.
#[inline(always)]
fn add_fragment(
    counters: &mut [u64; TOTALS],
    version: u8,
    position: Position,
    overhead: u16,
    (v4, v6): (Total, Total),
) {
    let base = if version == 4 { v4 as usize } else { v6 as usize };
    match position {
        Position::Whole => return,
        Position::First => counters[base] += 1,
        Position::Middle => counters[base + 1] += 1,
        Position::Last => counters[base + 2] += 1,
        Position::Atomic => counters[v6 as usize + 3] += 1,
    }
    counters[Total::FragmentationOverheadBytes as usize] += u64::from(overhead);
}

#[inline(always)]
pub(super) fn add_sizes(totals: &mut Totals, last: usize, each: usize, sizes: &Sizes) {
    if let Some(count) = totals.sizes.get_mut(last) {
        *count += 1;
    }
    if sizes.segments > 1
        && let Some(count) = totals.sizes.get_mut(each)
    {
        *count += u64::from(sizes.segments - 1);
    }
}

#[inline(always)]
pub(super) fn add_path(path: impl Counters, parsed: &Parsed, verdict: &Verdict) {
    let (outer, inner) = (&parsed.outer, &parsed.inner);
    let overhead = u32::from(outer.fragmentation_overhead) + u32::from(inner.fragmentation_overhead);
    add_to_path(path, &verdict.sizes, verdict.oversized, (outer.position, inner.position), overhead);
}

/// Adds to a path: packets, oversized packets, and fragments by outer and inner position with their fragmentation
/// overhead.
#[inline(always)]
pub(super) fn add_to_path(
    mut path: impl Counters,
    sizes: &Sizes,
    oversized: u32,
    (outer, inner): (Position, Position),
    overhead: u32,
) {
    add_bytes(path.hot(), PathCounter::Largest as usize, sizes);
    let whole = outer as u8 | inner as u8 == Position::Whole as u8;
    if whole && oversized == 0 && sizes.segments <= 1 {
        return;
    }
    // Each addition looks up the cold counters again: with a reference kept across them, Linux 6.1's verifier
    // processes a fifth more instructions.
    let mut add = |counter, count| add_cold(&mut path, counter, count);
    if oversized != 0 {
        add(PathCounter::Oversized, oversized);
    }
    if sizes.segments > 1 {
        add(PathCounter::Aggregates, 1);
    }
    match outer {
        Position::Whole | Position::Atomic => {}
        Position::First => add(PathCounter::OuterFirst, 1),
        Position::Middle => add(PathCounter::OuterMiddle, 1),
        Position::Last => add(PathCounter::OuterLast, 1),
    }
    if inner.is_fragment() {
        add(PathCounter::Inner, 1);
    }
    if !whole {
        add(PathCounter::FragmentationOverheadBytes, overhead);
    }
}

/// Adds to a cold counter of a path.
#[inline(always)]
pub(super) fn add_cold(path: &mut impl Counters, counter: PathCounter, count: u32) {
    if let Some(counters) = path.cold() {
        counters[counter as usize - HOT_COUNTERS] += u64::from(count);
    }
}
