//! Fields derived from a node's configuration.

use observer_common::abi::{COARSE, Coarse, Config};
use proptest::collection::vec;
use proptest::prelude::*;

fn contains(prefix: Coarse, address: u32) -> bool {
    address.to_be() & prefix.mask == prefix.net
}

fn prefix(address: u32, length: u32) -> Coarse {
    let mask = u32::MAX.checked_shl(u32::BITS - length).unwrap_or(0);
    Coarse { net: (address & mask).to_be(), mask: mask.to_be() }
}

fn config(prefixes: &[Coarse]) -> Config {
    let mut config = Config::DEFAULT;
    config.coarse4[..prefixes.len()].copy_from_slice(prefixes);
    config.filtered()
}

#[test]
fn without_pods_nothing_matches() {
    let config = config(&[]);
    for address in [0, 1, 0x0a00_0001, u32::MAX] {
        assert!(!contains(config.pods4, address) && !contains(config.pods6, address), "{address:#x}");
    }
}

#[test]
fn a_single_prefix_covers_itself() {
    let pods = prefix(0x0af4_0000, 16);
    assert_eq!(config(&[pods]).pods4, pods);
    assert_eq!(config(&[pods]).pods6, Coarse::NOTHING);
}

proptest! {
    /// No pod address is taken for external traffic, and the prefix is as long as possible.
    #[test]
    fn the_covering_prefix_is_the_longest_one(input in vec((any::<u32>(), 0_u32..=32, any::<u32>()), 1..=COARSE)) {
        let prefixes: Vec<Coarse> = input.iter().map(|(address, length, _)| prefix(*address, *length)).collect();
        let all = config(&prefixes).pods4;
        let length = u32::from_be(all.mask).leading_ones();
        for (pods, (_, own, host)) in prefixes.iter().zip(&input) {
            prop_assert!(length <= *own);
            let address = u32::from_be(pods.net) | host & !u32::from_be(pods.mask);
            prop_assert!(contains(*pods, address) && contains(all, address));
        }
        if prefixes.iter().all(|pods| u32::from_be(pods.mask).leading_ones() > length) {
            let next = |pods: &Coarse| u32::from_be(pods.net) >> (31 - length) & 1;
            prop_assert!(prefixes.iter().any(|pods| next(pods) != next(&prefixes[0])));
        }
    }
}
