//! The packet table, by topic.

mod fragments;
mod inconsistent_headers;
mod ip;
mod link;
mod ptb;
mod sizes;
mod tunnels;

use observer_common::address::{Address, Mask};
use observer_common::kind::{Class, Direction};
use observer_common::path::PathKey;

use crate::case::{Case, Input};
use crate::node::{FAR_POD, FAR_POD6, NODE, NODE6, PEER, PEER6, POD, POD6, UNDERLAY_SLOT};
use crate::packets::{Ip4, Ip6, ethernet_ip, payload, tcp};

/// No header starts after this many bytes.
const CUT_BYTES: usize = 220;

/// Every case.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        link::cases(),
        ip::cases(),
        tunnels::cases(),
        fragments::cases(),
        sizes::cases(),
        ptb::cases(),
        inconsistent_headers::cases(),
    ]
    .concat()
}

/// A case truncated at every byte of its headers, in two ways: by a snap length, with the original frame length,
/// and as a frame that ends there.
#[must_use]
pub fn cut(case: &Case) -> Vec<(String, Input)> {
    let mut inputs = Vec::new();
    for length in 0..case.input.bytes.len().min(CUT_BYTES) {
        let mut cut = case.input.clone();
        cut.bytes.truncate(length);
        inputs.push((format!("{}, captured to byte {length}", case.name), cut.clone()));
        cut.frame.length = length as u32;
        inputs.push((format!("{}, ends at byte {length}", case.name), cut));
    }
    inputs
}

/// Every case truncated at every byte of its headers. The only expectations are those for any packet, and that
/// all hooks agree.
#[must_use]
pub fn truncated() -> Vec<(String, Input)> {
    all().iter().flat_map(cut).collect()
}

/// The path of ingress packets from `peer` on the underlay. For native packets it is that of the remote pod block.
fn from(class: Class, vni: u32, peer: Address) -> PathKey {
    let (peer, vni) = match class {
        Class::None => {
            let pod =
                if peer.to_v4().is_some() { Address::from_v4(FAR_POD) } else { Address::from_v6(FAR_POD6) };
            (pod.masked(&Mask::of(BLOCK_BITS)), u32::from(BLOCK_BITS))
        }
        _ => (peer, vni),
    };
    PathKey { peer, vni, slot: UNDERLAY_SLOT, direction: Direction::Ingress as u8, class: class as u8 }
}

/// The path of egress packets to `peer` on the underlay.
fn to(class: Class, vni: u32, peer: Address) -> PathKey {
    PathKey { direction: Direction::Egress as u8, ..from(class, vni, peer) }
}

/// An IPv4 /26 or an IPv6 /122.
const BLOCK_BITS: u8 = 122;
const PEER_V4: Address = Address::from_v4(PEER);
const PEER_V6: Address = Address::from_v6(PEER6);

/// A TCP packet from the remote pod to the local one: 40 + `length` bytes.
fn pods4(length: usize) -> Vec<u8> {
    Ip4::new(FAR_POD, POD, 6).dont_fragment().around(&tcp(0, &payload(length)))
}

/// The same in IPv6: 60 + `length` bytes.
fn pods6(length: usize) -> Vec<u8> {
    Ip6::new(FAR_POD6, POD6, 6).around(&tcp(0, &payload(length)))
}

/// A frame from the peer node: 34 bytes before `inside`.
fn from_peer4(protocol: u8, inside: &[u8]) -> Vec<u8> {
    ethernet_ip(&Ip4::new(PEER, NODE, protocol).around(inside))
}

/// The same in IPv6: 54 bytes before `inside`.
fn from_peer6(protocol: u8, inside: &[u8]) -> Vec<u8> {
    ethernet_ip(&Ip6::new(PEER6, NODE6, protocol).around(inside))
}
