//! Properties of every packet, whatever its bytes.

use observer_common::abi::{Config, link};
use observer_common::account::{Observation, ran_out};
use observer_common::counters::Total;
use observer_common::kind::Class;
use observer_common::packet::{Frame, Parsed, Slice, parse};
use observer_testing::node::Node;
use observer_testing::{Counted, Input, table};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Checks the properties of every packet, and returns the observation.
fn check(input: &Input) -> (Observation, Counted) {
    let (seen, counted) = input.run();
    let sizes = seen.verdict.sizes;
    let tag = if input.frame.tag_beside { 4 } else { 0 };
    assert!(sizes.segments >= 1);
    assert!(sizes.inner <= sizes.l3, "more inner bytes than L3 bytes: {seen:?}");
    assert!(sizes.wire >= sizes.l3, "more L3 bytes than wire bytes: {seen:?}");
    if input.frame.gso_size == 0 {
        assert_eq!(sizes.segments, 1);
        assert_eq!(sizes.wire, u64::from(input.frame.length) + tag);
    }
    if matches!(seen.verdict.class, Class::NonIp | Class::Malformed) {
        assert_eq!((sizes.l3, sizes.inner), (0, 0), "{seen:?}");
    }
    assert_eq!(seen.verdict.class == Class::Malformed, seen.parsed.class == Class::Malformed);
    if seen.verdict.class == Class::Malformed {
        assert_ne!(seen.verdict.malformed, 0);
    }
    one_row(&seen, &counted);
    (seen, counted)
}

/// Every packet is in exactly one row of the totals.
fn one_row(seen: &Observation, counted: &Counted) {
    let rows: Vec<_> = counted.totals.values().collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].counters[Total::Packets as usize], u64::from(seen.verdict.sizes.segments));
    assert_eq!(rows[0].counters[Total::WireBytes as usize], seen.verdict.sizes.wire);
    let sized: u64 = rows[0].sizes.iter().sum();
    let ip = !matches!(seen.verdict.class, Class::NonIp | Class::Malformed);
    assert_eq!(sized, if ip { u64::from(seen.verdict.sizes.segments) } else { 0 });
    for stats in counted.paths.values() {
        assert!(stats.0[0] <= u64::from(seen.verdict.sizes.segments));
    }
}

/// The parser's result.
fn parsed(bytes: &[u8], frame: &Frame, link: u8) -> Parsed {
    let mut parsed = Parsed::NOTHING;
    parse(&Slice(bytes), frame, link, &Config::DEFAULT, &mut parsed);
    parsed
}

#[test]
fn truncated_packets_are_never_attributed_to_another_tunnel() {
    for case in table::all() {
        let (whole, _) = case.input.run();
        for (name, cut) in table::cut(&case) {
            let (seen, _) = check(&cut);
            let class = seen.verdict.class;
            assert!(
                class == whole.verdict.class || !class.is_tunnel(),
                "{name}: {class:?} instead of {:?}",
                whole.verdict.class
            );
        }
    }
}

/// A hook that reads the linear part continues with a copy only if the parser reports that it ran out of bytes, so it
/// must do so whenever a longer prefix gives a different result.
#[test]
fn a_prefix_gives_the_same_result_or_reports_that_it_ran_out() {
    for case in table::all() {
        let (whole, counted) = case.input.run();
        for length in 0..case.input.bytes.len().min(600) {
            let mut cut = case.input.clone();
            cut.bytes.truncate(length);
            let (seen, prefix) = cut.run();
            if ran_out(seen.verdict.malformed) || seen.parsed.ptb_at != 0 {
                continue;
            }
            assert_eq!(seen.parsed, whole.parsed, "{}, {length} bytes", case.name);
            assert_eq!(seen.verdict.sizes, whole.verdict.sizes, "{}, {length} bytes", case.name);
            assert_eq!(prefix.difference(&counted), "", "{}, {length} bytes", case.name);
        }
    }
}

fn frames() -> impl Strategy<Value = (u32, u32, bool, bool)> {
    (0_u32..70, prop_oneof![Just(0_u32), 1_u32..9000], any::<bool>(), any::<bool>())
}

fn nodes() -> Vec<Node> {
    let mut nodes: Vec<Node> = [Class::None, Class::Ipip, Class::Vxlan, Class::Geneve, Class::Wireguard]
        .into_iter()
        .map(Node::underlay)
        .collect();
    nodes.extend([Node::tunl0(), Node::vxlan_calico(), Node::other(0)]);
    nodes
}

fn input(
    node: Index,
    bytes: Vec<u8>,
    more: u32,
    (segments, size, tagged, big): (u32, u32, bool, bool),
    egress: bool,
) -> Input {
    let mut input = Input::new(node.get(&nodes()).clone(), bytes);
    input.frame.length += more;
    (input.frame.gso_segs, input.frame.gso_size) = (segments.max(u32::from(size == 0)), size);
    (input.frame.tag_beside, input.frame.zero_length_is_big) = (tagged, big);
    if egress {
        input.direction = observer_common::kind::Direction::Egress;
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn random_bytes_satisfy_all_properties(node: Index, bytes in vec(any::<u8>(), 0..300), more in 0_u32..3000, frame in frames(), egress: bool) {
        check(&input(node, bytes, more, frame, egress));
    }

    #[test]
    fn mutated_packets_satisfy_all_properties(
        case: Index,
        node: Index,
        changes in vec((any::<Index>(), any::<u8>()), 0..6),
        cut in prop_oneof![3 => Just(None), 1 => any::<Index>().prop_map(Some)],
        more in prop_oneof![3 => Just(0_u32), 1 => 0_u32..100],
        frame in prop_oneof![2 => Just((1, 0, false, false)), 1 => frames()],
        egress: bool,
    ) {
        let cases = CASES.with(Clone::clone);
        let mut bytes = case.get(&cases).clone();
        if let Some(cut) = cut && !bytes.is_empty() {
            bytes.truncate(cut.index(bytes.len()));
        }
        // Most headers are in the first bytes.
        let most = bytes.len().min(160);
        if most != 0 {
            for (at, value) in changes {
                bytes[at.index(most)] = value;
            }
        }
        check(&input(node, bytes, more, frame, egress));
    }

    #[test]
    fn bytes_after_the_frame_are_not_read(case: Index, filler in vec(any::<u8>(), 1..64)) {
        let cases = CASES.with(Clone::clone);
        let bytes = case.get(&cases).clone();
        let frame = Frame { length: bytes.len() as u32, gso_segs: 1, ..Frame::default() };
        let before = parsed(&bytes, &frame, link::ETHERNET);
        let longer = [bytes, filler].concat();
        // A capture may have more bytes than the frame.
        let after = parsed(&longer, &frame, link::ETHERNET);
        if before.malformed == 0 {
            prop_assert_eq!(before, after);
        }
    }
}

thread_local! {
    static CASES: std::rc::Rc<Vec<Vec<u8>>> =
        table::all().into_iter().map(|case| case.input.bytes).filter(|bytes| bytes.len() < 2000).collect::<Vec<_>>().into();
}
