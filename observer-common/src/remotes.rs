//! A filter of pod-block and node addresses, checked before the LPM trie that attributes costs, so that a flood of
//! dropped packets from spoofed sources causes no look-ups.

use crate::address::Address;
use crate::path::{PEER_WORDS, peer_bit};

/// Filter bits of nodes and of the networks around pod blocks.
pub type RemoteFilter = [u64; PEER_WORDS];

/// Prefix length of a network: an IPv4 /24 (as a mapped address) or an IPv6 /64.
const NETWORK: [u32; 2] = [120, 64];

/// The network around an address.
#[inline(always)]
#[must_use]
pub const fn network(address: Address) -> Address {
    let [a, b, c, d] = address.0;
    if address.to_v4().is_some() {
        Address([a, b, c, d & 0xffff_ff00_u32.to_be()])
    } else {
        Address([a, b, 0, 0])
    }
}

/// Whether an address may have been added. No false negatives.
#[inline(always)]
#[must_use]
pub fn may_be_remote(filter: &RemoteFilter, address: Address) -> bool {
    is_set(filter, &address) || is_set(filter, &network(address))
}

#[inline(always)]
fn is_set(filter: &RemoteFilter, address: &Address) -> bool {
    let (word, bit) = peer_bit(address);
    filter.get(word).is_some_and(|word| word & bit != 0)
}

/// Adds all addresses that share their first `bits` (0 to 128) with this one.
pub fn enter(filter: &mut RemoteFilter, address: Address, bits: u32) {
    let least = NETWORK[usize::from(address.to_v4().is_none())];
    let entered = match bits {
        128 => address,
        bits if bits >= least => network(address),
        // Too many networks to add one by one: let everything pass, and leave it to the trie.
        _ => return filter.fill(u64::MAX),
    };
    let (word, bit) = peer_bit(&entered);
    filter[word] |= bit;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(text: &str) -> Address {
        Address::from_v6(text.parse::<core::net::Ipv6Addr>().expect("an address").octets())
    }

    #[test]
    fn added_addresses_pass() {
        let mut filter = [0; PEER_WORDS];
        enter(&mut filter, Address::from_v4([10, 244, 30, 128]), 96 + 26);
        enter(&mut filter, Address::from_v4([10, 10, 2, 13]), 128);
        enter(&mut filter, v6("fd00:10:244::1e:0"), 122);
        enter(&mut filter, v6("fd00:10:10:2::d"), 128);
        for address in [
            Address::from_v4([10, 244, 30, 130]),
            Address::from_v4([10, 244, 30, 191]),
            Address::from_v4([10, 10, 2, 13]),
            v6("fd00:10:244::1e:3f"),
            v6("fd00:10:10:2::d"),
        ] {
            assert!(may_be_remote(&filter, address), "{:?}", address.octets());
        }
        for unknown in [
            Address::from_v4([10, 10, 2, 14]),
            Address::from_v4([10, 244, 31, 130]),
            v6("fd00:10:10:2::e"),
            v6("fd00:10:245::1e:3f"),
        ] {
            assert!(!may_be_remote(&filter, unknown), "{:?}", unknown.octets());
        }
    }

    #[test]
    fn everything_passes_once_a_wide_block_is_added() {
        let mut filter = [0; PEER_WORDS];
        enter(&mut filter, Address::from_v4([10, 244, 0, 0]), 96 + 16);
        assert!(may_be_remote(&filter, Address::from_v4([10, 244, 200, 1])));
        assert!(may_be_remote(&filter, v6("2001:db8::1")));
    }

    #[test]
    fn few_unknown_peers_pass() {
        let mut filter = [0; PEER_WORDS];
        for node in 0..1_024_u32 {
            enter(&mut filter, Address::from_v4((0x0af4_0000 + node * 64).to_be_bytes()), 96 + 26);
            enter(&mut filter, Address::from_v4((0x0a0a_0000 + node).to_be_bytes()), 128);
        }
        let unknown = (0..10_000_u32).map(|n| Address::from_v4((0xc633_6400 + n * 7_919).to_be_bytes()));
        let passed = unknown.filter(|address| may_be_remote(&filter, *address)).count();
        assert!(passed < 500, "{passed} of 10,000 passed although 2 % of the bits are set");
    }
}
