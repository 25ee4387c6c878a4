//! The packet table, by subject.

mod link;

use observer_common::address::Address;
use observer_common::kind::{Class, Direction};
use observer_common::path::PathKey;

use crate::case::Case;
use crate::node::UNDERLAY_SLOT;

/// Every case.
#[must_use]
pub fn all() -> Vec<Case> {
    [link::cases()].concat()
}

/// The path of an underlay's packets that enter from `peer`.
fn from(class: Class, vni: u32, peer: Address) -> PathKey {
    PathKey { peer, vni, slot: UNDERLAY_SLOT, direction: Direction::Ingress as u8, class: class as u8 }
}

/// The path of an underlay's packets that leave to `peer`.
fn to(class: Class, vni: u32, peer: Address) -> PathKey {
    PathKey { direction: Direction::Egress as u8, ..from(class, vni, peer) }
}
