//! The scope of a peer.

use std::net::IpAddr;

use super::convert::contains;
use super::{Role, Scope, Topology};

impl Topology {
    /// The scope of `peer` as a next hop on a device: same-subnet if one of the node's prefixes on that
    /// device contains it. A router is never the packet's destination, so it counts as cross-subnet.
    #[must_use]
    pub fn scope(&self, ifindex: u32, peer: IpAddr) -> Scope {
        if self.routers.contains(&(ifindex, peer)) {
            return Scope::CrossSubnet;
        }
        // Every device has an IPv6 link-local address. It must not turn "no address of that family" into
        // "cross-subnet" for a global one.
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

    /// The scope of `peer` on the underlay where it is nearest.
    #[must_use]
    pub fn scope_of(&self, peer: IpAddr) -> Scope {
        let underlays = self.watched.iter().filter(|watched| watched.role == Role::Underlay);
        let scopes = underlays.map(|watched| self.scope(watched.device.ifindex, peer));
        scopes.min().unwrap_or(Scope::Unknown)
    }
}

/// Whether it is an IPv6 link-local unicast address.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(six) if six.is_unicast_link_local())
}
