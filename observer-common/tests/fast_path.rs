//! The fast path compared with the whole rule: it counts the same or it counts nothing.

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

/// Checks a packet and returns whether it took the fast path.
fn check(name: &str, input: &Input) -> bool {
    let mut node = input.node.clone();
    node.config = node.config.filtered();
    let site = Site { device: &node.device, direction: input.direction, config: &node.config };
    let packet = Slice(&input.bytes);
    // Adds the path.
    let mut first = MemoryTables::new(&node, MAX_PATHS);
    let mut seen = Observation::NOTHING;
    observe(&packet, &input.frame, &site, &mut first, &mut seen);
    let (mut whole, mut fast) = (first.clone(), first.clone());
    observe(&packet, &input.frame, &site, &mut whole, &mut seen);
    let taken = if input.frame.gso_size == 0 {
        fast_path::<_, _, false>(&packet, &input.frame, &site, &mut fast)
    } else {
        fast_path::<_, _, true>(&packet, &input.frame, &site, &mut fast)
    };
    let expected = if taken { whole } else { first };
    assert_eq!(fast.counted().difference(&expected.counted()), "", "{name}: fast path: {taken}");
    taken
}

#[test]
fn packet_table_is_counted_identically() {
    let mut taken = BTreeSet::new();
    for case in table::all() {
        for node in nodes(&case.input.node) {
            if check(&case.name, &Input { node, ..case.input.clone() }) {
                taken.insert(case.name.clone());
            }
        }
    }
    println!("{} packets on the fast path:\n{}", taken.len(), Vec::from_iter(taken.clone()).join("\n"));
    assert!(taken.len() > 30, "only {} packets of the table take the fast path: {taken:?}", taken.len());
}

#[test]
fn truncated_packet_table_is_counted_identically() {
    let taken = table::truncated().iter().filter(|(name, input)| check(name, input)).count();
    assert!(taken > 100, "only {taken} truncated packets take the fast path");
}

/// Nodes that differ in every table the fast path uses.
fn nodes(like: &Node) -> [Node; 6] {
    let mut unknown = like.clone();
    unknown.peers.clear();
    unknown.blocks.clear();
    let mut ports = like.clone();
    ports.config.vxlan_ports[1] = 8_472_u16.to_be();
    ports.config.wireguard_ports[2] = 53_u16.to_be();
    let mut small_mtu = like.clone();
    small_mtu.device.mtu = 100;
    let mut udp_tunnel = like.clone();
    udp_tunnel.config.fast_udp_class = Class::Vxlan as u32;
    udp_tunnel.config.fast_udp_vni = VNI;
    let mut lengths = like.clone();
    lengths.config.lengths[1] = Length { mask: Mask::of(96 + 24), bits: 96 + 24 };
    [like.clone(), unknown, ports, small_mtu, udp_tunnel, lengths]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn mutated_packets_are_counted_identically(
        case: Index,
        node in 0_usize..6,
        changes in proptest::collection::vec((any::<Index>(), prop_oneof![any::<u8>(), Just(0), Just(17), Just(6), Just(0x20)]), 0..4),
        more in prop_oneof![3 => Just(0_u32), 1 => 0_u32..100],
        tagged: bool,
        segments in prop_oneof![2 => Just((1, 0)), 1 => (0_u32..70, 1_u32..2_000)],
        egress: bool,
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
        input.frame.tag_beside = tagged;
        // As in the kernel, only super-packets may have a length of 0.
        (input.frame.gso_segs, input.frame.gso_size) = segments;
        input.frame.zero_length_is_big = input.frame.gso_size != 0;
        if egress {
            input.direction = observer_common::kind::Direction::Egress;
        }
        check("mutated", &input);
    }
}

thread_local! {
    static CASES: std::rc::Rc<Vec<Input>> = table::all().into_iter().map(|case| case.input).collect::<Vec<_>>().into();
}
