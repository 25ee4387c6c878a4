//! Attribution of frames to paths, pod blocks and unknown peers.

use super::add::{add_cold, add_path, event, too_big_counters};
use super::observation::{Observation, Verdict};
use super::site::Site;
use super::tables::Tables;
use crate::abi::{BlockFacts, BlockKey, Config, UNKNOWN_PEER_SLOTS};
use crate::address::Address;
use crate::counters::Event;
use crate::kind::{Class, Direction};
use crate::packet::{Packet, Parsed};
use crate::path::{PathKey, VNI_NONE, VNI_UNKNOWN};

#[inline(always)]
pub(super) fn on_underlay<P: Packet, T: Tables>(
    packet: &P,
    site: &Site<'_>,
    tables: &mut T,
    seen: &mut Observation,
) {
    let parsed = &seen.parsed;
    let far = match site.direction {
        Direction::Ingress => parsed.outer.source(packet),
        Direction::Egress => parsed.outer.destination(packet),
    };
    let Some(far) = far else { return };
    // Most packets of an edge node end here. Later fragments do not: they may belong to a tunnel.
    if !(parsed.class.is_tunnel()
        || parsed.udp_later_fragment
        || may_be_pod(&far, parsed.outer.version, site.config))
    {
        seen.verdict.class = Class::External;
        return;
    }
    seen.far = far;
    seen.key = PathKey::new(far, parsed.vni, site.device.slot, site.direction, parsed.class as u8);
    packet.verifier_barrier(seen);
    if seen.parsed.udp_later_fragment && later_fragment(site, tables, seen) {
        return;
    }
    if seen.verdict.class.is_tunnel() {
        tunnel_path(site, tables, seen);
    } else if seen.parsed.udp_later_fragment && !may_be_pod(&seen.far, seen.parsed.outer.version, site.config)
    {
        seen.verdict.class = Class::External;
    } else {
        native_path(site, tables, seen);
    }
}

/// Finds the tunnel of a later UDP fragment, which has no port, by its addresses. Nearly always it is the
/// node's main UDP tunnel, whose path the first fragment added: then one look-up is enough, the fragment is
/// counted, and the result is true.
#[inline(always)]
fn later_fragment<T: Tables>(site: &Site<'_>, tables: &mut T, seen: &mut Observation) -> bool {
    let Observation { parsed, verdict, key, .. } = seen;
    if !tables.may_be_peer(&key.peer) {
        return false;
    }
    if let Some(class) = udp_tunnel(site.config.fast_udp_class) {
        *key = key.of(class as u8, site.config.fast_udp_vni);
        verdict.class = class;
        verdict.sizes.inner = u64::from(parsed.outer.payload_length());
        if count_known(tables, parsed, verdict, key) {
            return true;
        }
    }
    match tables.peer(&key.peer).map(|peer| (udp_tunnel(peer.udp_class), peer.vni)) {
        Some((Some(class), vni)) => {
            *key = key.of(class as u8, vni);
            verdict.class = class;
            verdict.sizes.inner = u64::from(parsed.outer.payload_length());
        }
        _ => {
            *key = key.of(parsed.class as u8, VNI_NONE);
            verdict.class = parsed.class;
            verdict.sizes.inner = u64::from(parsed.inner_length);
        }
    }
    false
}

/// Whether a tunnel packet at an underlay is certainly from or to a known node and in one of the node's VNIs.
/// Cheaper than [`super::account`]; false if this cannot be decided quickly.
#[inline(always)]
#[must_use]
pub fn is_known_tunnel<P: Packet, T: Tables>(
    packet: &P,
    site: &Site<'_>,
    tables: &T,
    parsed: &Parsed,
) -> bool {
    if !parsed.class.is_tunnel()
        || parsed.udp_later_fragment
        || matches!(parsed.class, Class::Vxlan | Class::Geneve) && !site.own_vni(parsed.vni)
    {
        return false;
    }
    let far = match site.direction {
        Direction::Ingress => parsed.outer.source(packet),
        Direction::Egress => parsed.outer.destination(packet),
    };
    far.is_some_and(|far| tables.peer(&far).is_some())
}

/// Counts a tunnel packet for its path or for its unknown peer.
#[inline(always)]
fn tunnel_path<T: Tables>(site: &Site<'_>, tables: &mut T, seen: &mut Observation) {
    let Observation { parsed, verdict, key, far, .. } = seen;
    let vni = key.vni;
    if matches!(verdict.class, Class::Vxlan | Class::Geneve)
        // A VNI that could not be read is not an unknown VNI. VNI 0 is treated like any other.
        && !(vni == VNI_NONE && (parsed.udp_later_fragment || verdict.malformed != 0))
        && !site.own_vni(vni)
    {
        verdict.unknown_vni = true;
        key.vni = VNI_UNKNOWN;
    }
    if !tables.may_be_peer(far) {
        verdict.unknown_peer = true;
    } else if !count_known(tables, parsed, verdict, key) {
        if tables.peer(far).is_some() {
            enter_path(site, tables, parsed, verdict, key);
        } else {
            verdict.unknown_peer = true;
        }
    }
    if verdict.unknown_peer || verdict.unknown_vni {
        key.vni = vni;
        unknown_peer(site, tables, key, verdict.sizes.segments, verdict.sizes.wire);
    }
}

/// Counts a packet without encapsulation for the path of its pod block, or as external.
#[inline(always)]
fn native_path<T: Tables>(site: &Site<'_>, tables: &mut T, seen: &mut Observation) {
    let Observation { parsed, verdict, key, far, block, .. } = seen;
    // Calico uses a single prefix length unless addresses are borrowed. An existing path then proves that
    // the block is known, and one look-up is enough.
    let [first, second, ..] = &site.config.lengths;
    if second.bits == 0 {
        (key.peer, key.vni) = (far.masked(&first.mask), first.bits);
        if count_known(tables, parsed, verdict, key) {
            return;
        }
    }
    if block_of(far, site.config, tables, block).is_none() {
        verdict.class = Class::External;
        return;
    }
    (key.peer, key.vni) = (block.address, block.bits);
    if !count_known(tables, parsed, verdict, key) {
        enter_path(site, tables, parsed, verdict, key);
    }
}

/// Counts for a path that has an entry; false if it does not.
#[inline(always)]
fn count_known<T: Tables>(tables: &mut T, parsed: &Parsed, verdict: &Verdict, key: &PathKey) -> bool {
    let Some(path) = tables.path(key) else { return false };
    add_path(path, parsed, verdict);
    tables.note_path(key);
    true
}

/// Counts for a path that has no entry yet.
#[inline(always)]
fn enter_path<T: Tables>(site: &Site<'_>, tables: &mut T, parsed: &Parsed, verdict: &Verdict, key: &PathKey) {
    if let Some(stats) = tables.add_path(key) {
        add_path(stats, parsed, verdict);
    } else {
        event(site, tables, Event::PathOverflow, verdict.sizes.segments);
    }
    tables.note_path(key);
}

/// The UDP tunnel with this class number. Compared one by one, because verifiers before Linux 6.2 do not
/// track the bound that a look-up table needs.
#[inline(always)]
pub(super) const fn udp_tunnel(class: u32) -> Option<Class> {
    if class == Class::Vxlan as u32 {
        Some(Class::Vxlan)
    } else if class == Class::Geneve as u32 {
        Some(Class::Geneve)
    } else if class == Class::Wireguard as u32 {
        Some(Class::Wireguard)
    } else {
        None
    }
}

/// A coarse filter that costs very little for external traffic: false if an address is certainly not a pod's.
#[inline(always)]
pub(super) fn may_be_pod(address: &Address, version: u8, config: &Config) -> bool {
    let (word, all, coarse) = if version == 4 {
        (address.0[3], &config.pods4, &config.coarse4)
    } else {
        (address.0[0], &config.pods6, &config.coarse6)
    };
    if word & all.mask != all.net {
        return false;
    }
    let mut pod = false;
    for prefix in coarse {
        pod |= word & prefix.mask == prefix.net;
    }
    pod
}

/// Finds the block of a pod address and stores its key in `key`: one look-up per prefix length in use,
/// longest first.
#[inline(always)]
pub(super) fn block_of<T: Tables>(
    address: &Address,
    config: &Config,
    tables: &T,
    key: &mut BlockKey,
) -> Option<BlockFacts> {
    for length in &config.lengths {
        if length.bits == 0 {
            break;
        }
        *key = BlockKey { address: address.masked(&length.mask), bits: length.bits };
        if let Some(block) = tables.block(key) {
            return Some(block);
        }
    }
    None
}

/// The path of packets to or from a pod block, by peer if the block's route uses a tunnel, by block if it
/// is native.
#[inline(always)]
pub(super) const fn path_of_block(key: &mut PathKey, block: &BlockKey, facts: &BlockFacts) {
    key.class = facts.class as u8;
    if facts.class == Class::None as u32 {
        (key.peer, key.vni) = (block.address, block.bits);
    } else {
        (key.peer, key.vni) = (facts.peer, facts.vni);
    }
}

#[inline(always)]
pub(super) fn into_tunnel<P: Packet, T: Tables>(
    packet: &P,
    site: &Site<'_>,
    tables: &mut T,
    seen: &mut Observation,
) {
    let device = site.device;
    let Observation { parsed, verdict, key, far, block, .. } = seen;
    if device.underlay_mtu == 0 {
        return;
    }
    let count = verdict.sizes.above(device.underlay_mtu.saturating_sub(device.overhead));
    if count == 0 {
        return;
    }
    verdict.too_big_for_tunnel = count;
    let Some(destination) = parsed.outer.destination(packet) else { return };
    *far = destination;
    let Some(facts) = block_of(far, site.config, tables, block) else { return };
    *key = PathKey::new(facts.peer, device.vni, device.underlay_slot, Direction::Egress, device.class);
    let counter = too_big_counters(parsed.outer.dont_fragment).1;
    if let Some(mut path) = path_or_new(tables, key) {
        add_cold(&mut path, counter, count);
    } else {
        event(site, tables, Event::PathOverflow, count);
    }
}

#[inline(always)]
pub(super) fn path_or_new<'a, T: Tables>(tables: &'a mut T, key: &PathKey) -> Option<T::Path<'a>> {
    if tables.path(key).is_none() {
        return tables.add_path(key);
    }
    tables.path(key)
}

#[inline(always)]
pub(super) fn unknown_peer<T: Tables>(
    site: &Site<'_>,
    tables: &mut T,
    key: &PathKey,
    packets: u32,
    wire: u64,
) {
    let words = key.peer.0;
    // Multiplicative hashing: the constant is 2^32 / φ.
    let hash = (words[0] ^ words[1] ^ words[2] ^ words[3] ^ key.vni ^ u32::from(key.direction))
        .wrapping_mul(0x9e37_79b9);
    let index = hash >> (32 - UNKNOWN_PEER_SLOTS.trailing_zeros());
    let overflow = match tables.unknown_peer(index) {
        None => true,
        Some(entry) => {
            if entry.packets == 0 {
                entry.key = *key;
            }
            if entry.key == *key {
                entry.packets += u64::from(packets);
                entry.wire_bytes += wire;
                false
            } else {
                true
            }
        }
    };
    if overflow {
        event(site, tables, Event::UnknownPeerOverflow, packets);
    }
}
