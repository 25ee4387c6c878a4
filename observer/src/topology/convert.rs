//! Conversion between the standard library's addresses and those in maps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use observer_common::abi::{BlockFacts, BlockKey, PeerFacts};
use observer_common::address::{Address, Mask};

use super::{Block, Peer, Route};

/// The form used in maps.
#[must_use]
pub fn to_wire(address: IpAddr) -> Address {
    match address.to_canonical() {
        IpAddr::V4(v4) => Address::from_v4(v4.octets()),
        IpAddr::V6(v6) => Address::from_v6(v6.octets()),
    }
}

/// The reverse of [`to_wire`].
#[must_use]
pub fn from_wire(address: Address) -> IpAddr {
    match address.to_v4() {
        Some(octets) => IpAddr::V4(Ipv4Addr::from(octets)),
        None => IpAddr::V6(Ipv6Addr::from(address.octets())),
    }
}

/// A prefix length in [`Address`] form: 96 + n for IPv4.
#[must_use]
pub fn bits(address: IpAddr, prefix_len: u8) -> u8 {
    if address.is_ipv4() { 96 + prefix_len.min(32) } else { prefix_len.min(128) }
}

/// The address with all bits after the prefix cleared.
#[must_use]
pub fn network(address: IpAddr, prefix_len: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

/// Whether the prefix contains the address. Families are never mixed.
#[must_use]
pub fn contains(prefix: IpAddr, prefix_len: u8, address: IpAddr) -> bool {
    prefix.is_ipv4() == address.is_ipv4() && network(prefix, prefix_len) == network(address, prefix_len)
}

/// The key of a block in its map.
#[must_use]
pub fn block_key(block: &Block) -> BlockKey {
    let bits = bits(block.address, block.prefix_len);
    BlockKey { address: to_wire(block.address).masked(&Mask::of(bits)), bits: u32::from(bits) }
}

impl Route {
    /// The destination as text: `10.244.0.0/26`.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}/{}", self.destination, self.prefix_len)
    }

    /// Whether the destination contains the address.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        contains(self.destination, self.prefix_len, address)
    }
}

impl Block {
    /// The block as text: `10.244.0.0/26`.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}/{}", self.address, self.prefix_len)
    }

    /// Its entry in the map of pod blocks.
    #[must_use]
    pub fn entry(&self) -> (BlockKey, BlockFacts) {
        let facts = BlockFacts { peer: to_wire(self.peer), vni: self.vni, class: self.class as u32 };
        (block_key(self), facts)
    }
}

impl Peer {
    /// Its entry in the map of peers.
    #[must_use]
    pub fn entry(&self) -> (Address, PeerFacts) {
        (to_wire(self.address), PeerFacts { udp_class: self.udp_class as u32, vni: self.vni })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_conversion_in_both_directions() {
        for text in ["0.0.0.0", "10.244.3.127", "255.255.255.255", "::", "fd00:10:244::a:0", "fe80::1"] {
            let ip: IpAddr = text.parse().expect(text);
            assert_eq!(from_wire(to_wire(ip)), ip);
        }
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("address");
        assert_eq!(from_wire(to_wire(mapped)).to_string(), "10.0.0.1");
    }

    #[test]
    fn a_prefix_contains_only_addresses_of_its_family_and_network() {
        // prefix, length, address, contained
        for (prefix, len, address, expected) in [
            ("10.10.1.11", 24, "10.10.1.255", true),
            ("10.10.1.11", 24, "10.10.2.1", false),
            ("10.10.1.11", 32, "10.10.1.12", false),
            ("10.10.1.11", 32, "10.10.1.11", true),
            ("10.10.1.11", 0, "192.0.2.1", true),
            ("::", 0, "192.0.2.1", false),
            ("fd00:10:10:1::b", 64, "fd00:10:10:1::c", true),
            ("fd00:10:10:1::b", 128, "fd00:10:10:1::c", false),
            ("::", 0, "fe80::1", true),
        ] {
            let (prefix, address): (IpAddr, IpAddr) =
                (prefix.parse().expect(prefix), address.parse().expect(address));
            assert_eq!(contains(prefix, len, address), expected, "{prefix}/{len} {address}");
        }
    }
}
