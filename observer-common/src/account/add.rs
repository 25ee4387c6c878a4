//! What is added to which counter.

use super::{Site, Sizes, Tables, Verdict};
use crate::abi::{Totals, events_index};
use crate::counters::{Event, PathCounter, TOTALS, Total};
use crate::packet::{Ip, Parsed, Position};
use crate::path::PathStats;

#[inline(always)]
pub(super) fn event<T: Tables>(site: &Site<'_>, tables: &mut T, event: Event, packets: u32) {
    if let Some(events) = tables.events(events_index(site.device.slot, site.direction)) {
        events.0[event as usize] += u64::from(packets);
    }
}

#[inline(always)]
pub(super) const fn would(dont_fragment: bool) -> (Total, PathCounter) {
    if dont_fragment {
        (Total::WouldDrop, PathCounter::WouldDrop)
    } else {
        (Total::WouldFragment, PathCounter::WouldFragment)
    }
}

#[inline(always)]
pub(super) fn add_totals(totals: &mut Totals, parsed: &Parsed, verdict: &Verdict) {
    let sizes = &verdict.sizes;
    let counters = &mut totals.counters;
    counters[Total::Packets as usize] += u64::from(sizes.segments);
    counters[Total::WireBytes as usize] += sizes.wire;
    counters[Total::L3Bytes as usize] += sizes.l3;
    counters[Total::InnerBytes as usize] += sizes.inner;
    if sizes.segments > 1 {
        counters[Total::Aggregates as usize] += 1;
    }
    if verdict.oversized != 0 {
        counters[Total::Oversized as usize] += u64::from(verdict.oversized);
    }
    if verdict.too_big_for_tunnel != 0 {
        counters[would(parsed.outer.dont_fragment).0 as usize] += u64::from(verdict.too_big_for_tunnel);
    }
    let largest = u64::from(sizes.largest());
    if largest > counters[Total::Largest as usize] {
        counters[Total::Largest as usize] = largest;
    }
    if parsed.outer.position != Position::Whole {
        let (v4, v6) = (Total::OuterV4First, Total::OuterV6First);
        add_fragment(counters, &parsed.outer, v4, v6);
    }
    // What follows is only ever found in tunnel packets.
    if !verdict.class.is_tunnel() {
        return;
    }
    if parsed.inner.position != Position::Whole {
        let (v4, v6) = (Total::InnerV4First, Total::InnerV6First);
        add_fragment(counters, &parsed.inner, v4, v6);
    }
    let n = u64::from(sizes.segments);
    for (seen, counter) in [
        (verdict.foreign_peer, Total::ForeignPeer),
        (verdict.foreign_vni, Total::ForeignVni),
        (parsed.nested, Total::Nested),
        (parsed.inner_non_ip, Total::InnerNonIp),
        (parsed.gpe, Total::VxlanGpe),
    ] {
        if seen {
            counters[counter as usize] += n;
        }
    }
}

#[inline(always)]
fn add_fragment(counters: &mut [u64; TOTALS], ip: &Ip, v4: Total, v6: Total) {
    let base = if ip.version == 4 { v4 as usize } else { v6 as usize };
    match ip.position {
        Position::Whole => return,
        Position::First => counters[base] += 1,
        Position::Middle => counters[base + 1] += 1,
        Position::Last => counters[base + 2] += 1,
        Position::Atomic => counters[v6 as usize + 3] += 1,
    }
    counters[Total::FragmentationOverheadBytes as usize] += u64::from(ip.fragmentation_overhead);
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
pub(super) fn add_path(stats: &mut PathStats, parsed: &Parsed, verdict: &Verdict) {
    let sizes = &verdict.sizes;
    let counters = &mut stats.0;
    counters[PathCounter::Packets as usize] += u64::from(sizes.segments);
    counters[PathCounter::WireBytes as usize] += sizes.wire;
    counters[PathCounter::L3Bytes as usize] += sizes.l3;
    counters[PathCounter::InnerBytes as usize] += sizes.inner;
    let largest = u64::from(sizes.largest());
    if largest > counters[PathCounter::Largest as usize] {
        counters[PathCounter::Largest as usize] = largest;
    }
    if verdict.oversized != 0 {
        counters[PathCounter::Oversized as usize] += u64::from(verdict.oversized);
    }
    if sizes.segments > 1 {
        counters[PathCounter::Aggregates as usize] += 1;
    }
    let (outer, inner) = (parsed.outer.position, parsed.inner.position);
    match outer {
        Position::Whole | Position::Atomic => {}
        Position::First => counters[PathCounter::OuterFirst as usize] += 1,
        Position::Middle => counters[PathCounter::OuterMiddle as usize] += 1,
        Position::Last => counters[PathCounter::OuterLast as usize] += 1,
    }
    if inner.is_fragment() {
        counters[PathCounter::Inner as usize] += 1;
    }
    if outer != Position::Whole || inner != Position::Whole {
        counters[PathCounter::FragmentationOverheadBytes as usize] +=
            u64::from(parsed.outer.fragmentation_overhead) + u64::from(parsed.inner.fragmentation_overhead);
    }
}
