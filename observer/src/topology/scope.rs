//! Where a peer is.

use std::net::IpAddr;

use super::convert::contains;
use super::{Scope, Topology};

impl Topology {
    /// Where `peer` is, seen from the device.
    ///
    /// Same-subnet where one of the node's own prefixes on that device contains it; but a next hop that
    /// is a router is never the node that a packet goes to, so it counts as cross-subnet.
    #[must_use]
    pub fn scope(&self, ifindex: u32, peer: IpAddr) -> Scope {
        if self.routers.contains(&(ifindex, peer)) {
            return Scope::CrossSubnet;
        }
        // An IPv6 link-local address says nothing about the subnet of a global one, and every device has
        // one: it must not turn "no address of that family" into "cross-subnet".
        let mut own = self
            .addresses
            .iter()
            .filter(|own| own.ifindex == ifindex && own.address.is_ipv4() == peer.is_ipv4())
            .filter(|own| is_link_local(own.address) == is_link_local(peer))
            .peekable();
        if own.peek().is_none() {
            Scope::Unknown
        } else if own.any(|own| contains(own.address, own.prefix_len, peer)) {
            Scope::SameSubnet
        } else {
            Scope::CrossSubnet
        }
    }
}

/// Whether the address is one of a single link, IPv6.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(six) if six.is_unicast_link_local())
}
