//! PTB messages, attributed to the paths of the packets they quote.

use super::add::{add_cold, event};
use super::path::{block_of, path_of_block, path_or_new};
use super::site::Site;
use super::tables::Tables;
use crate::abi::{BlockKey, role};
use crate::address::Address;
use crate::counters::{Event, PathCounter};
use crate::kind::{Class, Direction};
use crate::packet::{Packet, ptb};
use crate::path::{Counters as _, HOT_COUNTERS, PathKey, VNI_NONE, VNI_UNKNOWN};

/// Counts the PTB message at `at` and attributes it to the path of the packet it quotes.
#[inline(always)]
pub fn count_ptb<P: Packet, T: Tables>(packet: &P, at: u32, protocol: u8, site: &Site<'_>, tables: &mut T) {
    let Some(message) = ptb(packet, at, protocol, site.config) else { return };
    event(site, tables, if message.version == 4 { Event::PtbV4 } else { Event::PtbV6 }, 1);
    // A message out of a tunnel was already attributed on the underlay.
    if site.device.role != role::UNDERLAY {
        return;
    }
    let slot = site.device.slot;
    let quoted = message.quoted;
    if quoted.class as u8 == Class::Malformed as u8 {
        return;
    }
    // An ingress message is about an egress packet, and the other way round.
    let direction = site.direction.reverse();
    let far = match direction {
        Direction::Egress => quoted.destination,
        Direction::Ingress => quoted.source,
    };
    let mut key = PathKey::new(far, quoted.vni, slot, direction, quoted.class as u8);
    if quoted.class.is_tunnel() {
        match tables.peer(&far) {
            None => return,
            // Most routers quote too few bytes to include the VNI.
            Some(peer) if peer.udp_class == quoted.class as u32 && quoted.vni == VNI_NONE => {
                key.vni = peer.vni
            }
            Some(_) if quoted.vni == VNI_NONE || site.own_vni(quoted.vni) => {}
            Some(_) => key.vni = VNI_UNKNOWN,
        }
    } else {
        let mut block = BlockKey { address: Address::UNSPECIFIED, bits: 0 };
        let Some(facts) = block_of(&far, site.config, tables, &mut block) else { return };
        path_of_block(&mut key, &block, &facts);
    }
    if let Some(mut path) = path_or_new(tables, &key) {
        add_cold(&mut path, PathCounter::Ptb, 1);
        if message.mtu != 0
            && let Some(counters) = path.cold()
        {
            counters[PathCounter::PtbMtu as usize - HOT_COUNTERS] = u64::from(message.mtu);
        }
    } else {
        event(site, tables, Event::PathOverflow, 1);
    }
}
