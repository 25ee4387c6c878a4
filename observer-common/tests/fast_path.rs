//! The usual shapes in few steps, held against the whole rule: what is found is counted the same, and where
//! nothing is found nothing is counted.

use std::collections::BTreeSet;

use observer_common::abi::Length;
use observer_common::account::{Observation, Site, fast_path, observe};
use observer_common::address::Mask;
use observer_common::kind::Class;
use observer_common::packet::Slice;
use observer_testing::memory::MemoryTables;
use observer_testing::node::{Node, VNI};
use observer_testing::{Input, table};
use proptest::prelude::*;
use proptest::sample::Index;

const MAX_PATHS: usize = 100;

/// Whether the packet is a usual one.
fn hold(name: &str, input: &Input) -> bool {
    let mut node = input.node.clone();
    node.config = node.config.filtered();
    let site = Site { device: &node.device, direction: input.direction, config: &node.config };
    let packet = Slice(&input.bytes);
    // So that the path is known.
    let mut first = MemoryTables::new(&node, MAX_PATHS);
    let mut seen = Observation::NOTHING;
    observe(&packet, &input.frame, &site, &mut first, &mut seen);
    let (mut whole, mut few) = (first.clone(), first.clone());
    observe(&packet, &input.frame, &site, &mut whole, &mut seen);
    let found = if input.frame.gso_size == 0 {
        fast_path::<_, _, false>(&packet, &input.frame, &site, &mut few)
    } else {
        fast_path::<_, _, true>(&packet, &input.frame, &site, &mut few)
    };
    let expected = if found { whole } else { first };
    assert_eq!(few.counted().difference(&expected.counted()), "", "{name}: found {found}");
    found
}

#[test]
fn the_packet_table() {
    let mut found = BTreeSet::new();
    for case in table::all() {
        for node in nodes(&case.input.node) {
            if hold(&case.name, &Input { node, ..case.input.clone() }) {
                found.insert(case.name.clone());
            }
        }
    }
    println!("{} usual packets:\n{}", found.len(), Vec::from_iter(found.clone()).join("\n"));
    assert!(found.len() > 30, "only {} of the table are usual ones: {found:?}", found.len());
}

#[test]
fn the_packet_table_cut_off_anywhere() {
    let found = table::truncated().iter().filter(|(name, input)| hold(name, input)).count();
    assert!(found > 100, "only {found} prefixes are usual packets");
}

/// Nodes whose tables differ in what the rule asks of them.
fn nodes(like: &Node) -> [Node; 6] {
    let mut unknown = like.clone();
    unknown.peers.clear();
    unknown.blocks.clear();
    let mut ports = like.clone();
    ports.config.vxlan_ports[1] = 8_472_u16.to_be();
    ports.config.wireguard_ports[2] = 53_u16.to_be();
    let mut narrow = like.clone();
    narrow.device.mtu = 100;
    let mut usual = like.clone();
    usual.config.fast_udp_class = Class::Vxlan as u32;
    usual.config.fast_udp_vni = VNI;
    let mut lengths = like.clone();
    lengths.config.lengths[1] = Length { mask: Mask::of(96 + 24), bits: 96 + 24 };
    [like.clone(), unknown, ports, narrow, usual, lengths]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn mutated_packets(
        case: Index,
        node in 0_usize..6,
        changes in proptest::collection::vec((any::<Index>(), prop_oneof![any::<u8>(), Just(0), Just(17), Just(6), Just(0x20)]), 0..4),
        more in prop_oneof![3 => Just(0_u32), 1 => 0_u32..100],
        beside: bool,
        segments in prop_oneof![2 => Just((1, 0)), 1 => (0_u32..70, 1_u32..2_000)],
        leaves: bool,
    ) {
        let cases = CASES.with(Clone::clone);
        let mut input = case.get(&cases).clone();
        input.node = nodes(&input.node)[node].clone();
        let most = input.bytes.len().min(120);
        for (at, value) in changes {
            if most != 0 {
                input.bytes[at.index(most)] = value;
            }
        }
        input.frame.length += more;
        input.frame.tag_beside = beside;
        // As the kernel has them: super-packets, and only those, may have a length of 0.
        (input.frame.gso_segs, input.frame.gso_size) = segments;
        input.frame.zero_length_is_big = input.frame.gso_size != 0;
        if leaves {
            input.direction = observer_common::kind::Direction::Egress;
        }
        hold("mutated", &input);
    }
}

thread_local! {
    static CASES: std::rc::Rc<Vec<Input>> = table::all().into_iter().map(|case| case.input).collect::<Vec<_>>().into();
}
