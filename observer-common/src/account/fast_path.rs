//! The fast path of the accounting rule.

use super::add::{add_outer_fragment, add_sizes, add_to_path, add_to_totals};
use super::path::{may_be_pod, udp_tunnel, unknown_peer};
use super::site::Site;
use super::sizes::Sizes;
use super::tables::Tables;
use crate::abi::{link, role, totals_index};
use crate::counters::Total;
use crate::kind::{Class, Direction};
use crate::packet::{FastPacket, Frame, Packet, Position, parse_fast as read};
use crate::path::PathKey;

/// Counts a packet of a common shape ([`crate::packet::parse_fast`]) that exceeds no MTU and is external or has a
/// cached path. Otherwise returns false without counting anything, and [`super::observe`] must count the packet; it
/// counts packets of common shapes identically.
///
/// In a flood all packets take this path, at half the cost of the whole rule.
#[inline(always)]
pub fn fast_path<P: Packet, T: Tables, const SUPER: bool>(
    packet: &P,
    frame: &Frame,
    site: &Site<'_>,
    tables: &mut T,
) -> bool {
    let device = site.device;
    if site.link() != link::ETHERNET || (frame.gso_size != 0) != SUPER {
        return false;
    }
    let Some(seen) = read::<P, SUPER>(packet, frame, site.direction, site.config) else { return false };
    let Some(sizes) = measure::<SUPER>(frame, &seen) else { return false };
    if device.mtu != 0 && sizes.above(device.mtu) != 0 {
        return false;
    }
    let mut counted = Counted { sizes, class: seen.class, unknown_peer: false };
    if device.role == role::UNDERLAY {
        if !on_underlay(&seen, site, tables, &mut counted) {
            return false;
        }
    } else if seen.position as u8 != Position::Whole as u8
        || device.role == role::TUNNEL
            && site.direction as u8 == Direction::Egress as u8
            && device.underlay_mtu != 0
            && counted.sizes.above(device.underlay_mtu.saturating_sub(device.overhead)) != 0
    {
        return false;
    }
    let Counted { sizes, class, unknown_peer } = &counted;
    let last = tables.size_class(sizes.last);
    let each = if sizes.segments > 1 { tables.size_class(sizes.each) } else { last };
    if let Some(totals) = tables.totals(totals_index(device.slot, site.direction, *class)) {
        let counters = &mut totals.counters;
        add_to_totals(counters, sizes);
        if *unknown_peer {
            counters[Total::UnknownPeer as usize] += u64::from(sizes.segments);
        }
        if seen.position as u8 != Position::Whole as u8 {
            add_outer_fragment(counters, seen.version, seen.position, FastPacket::HEADER);
        }
        add_sizes(totals, last, each, sizes);
    }
    true
}

/// The sizes of the packet, or of all segments of a super-packet.
#[inline(always)]
fn measure<const SUPER: bool>(frame: &Frame, seen: &FastPacket) -> Option<Sizes> {
    let mut sizes = Sizes {
        wire: u64::from(frame.wire()),
        l3: u64::from(seen.length),
        inner: u64::from(seen.inner),
        segments: 1,
        each: seen.length,
        last: seen.length,
    };
    if SUPER {
        if frame.gso_segs < 2 {
            return None;
        }
        sizes.multiply(frame.gso_segs, seen.headers, frame, FastPacket::START);
        sizes.inner += u64::from(frame.gso_segs - 1) * u64::from(seen.headers - seen.inner_start);
    }
    Some(sizes)
}

/// What is counted for a packet on the fast path.
struct Counted {
    sizes: Sizes,
    class: Class,
    unknown_peer: bool,
}

/// Counts for the packet's path, if it has one. False if the packet needs the whole rule.
#[inline(always)]
fn on_underlay<T: Tables>(seen: &FastPacket, site: &Site<'_>, tables: &mut T, counted: &mut Counted) -> bool {
    let config = site.config;
    let (mut peer, mut vni) = (seen.far, seen.vni);
    let fragment = seen.position as u8 != Position::Whole as u8;
    if fragment && tables.may_be_peer(&seen.far) {
        // Nearly always a packet of the node's main UDP tunnel, as in `later_fragment`.
        let Some(class) = udp_tunnel(config.fast_udp_class) else { return false };
        (counted.class, vni) = (class, config.fast_udp_vni);
        counted.sizes.inner = u64::from(seen.length - u32::from(FastPacket::HEADER));
    } else if seen.class as u8 == Class::None as u8 {
        if !may_be_pod(&seen.far, seen.version, config) {
            counted.class = Class::External;
            return true;
        }
        // Calico uses a single prefix length unless addresses are borrowed.
        let [first, second, ..] = &config.lengths;
        if fragment || second.bits != 0 {
            return false;
        }
        (peer, vni) = (seen.far.masked(&first.mask), first.bits);
    } else if seen.class as u8 == Class::Vxlan as u8 && !site.own_vni(seen.vni) {
        return false;
    } else if !tables.may_be_peer(&seen.far) {
        counted.unknown_peer = true;
    }
    let key = PathKey::new(peer, vni, site.device.slot, site.direction, counted.class as u8);
    if counted.unknown_peer {
        unknown_peer(site, tables, &key, counted.sizes.segments, counted.sizes.wire);
        return true;
    }
    let Some(path) = tables.cached_path(&key) else { return false };
    let overhead = if fragment { u32::from(FastPacket::HEADER) } else { 0 };
    add_to_path(path, &counted.sizes, 0, (seen.position, Position::Whole), overhead);
    true
}
