//! The packet table through the parser and the accounting rule in user space.

use observer_common::account::{Site, familiar};
use observer_common::event::{Why, possible, whys};
use observer_common::packet::Slice;
use observer_testing::{MemoryTables, table};

#[test]
fn every_case_is_counted_as_expected() {
    let cases = table::all();
    let mut failures = String::new();
    for case in &cases {
        let (seen, counted) = case.input.run();
        let difference = counted.difference(&case.expected());
        if !difference.is_empty() {
            failures += &format!("{}:\n{difference}  {seen:?}\n", case.name);
        }
    }
    assert!(failures.is_empty(), "of {} cases:\n{failures}", cases.len());
}

/// What `observer trace` skips before it asks the node's tables is told of for no reason.
#[test]
fn no_reason_is_overlooked() {
    let (mut held, mut friends, mut unknown_peers) = (0, false, false);
    for case in table::all() {
        let node = &case.input.node;
        let site = Site { device: &node.device, direction: case.input.direction, config: &node.config };
        let (seen, _) = case.input.run();
        let (possible, whys) = (possible(&seen, &site), whys(&seen));
        assert_eq!(whys & !possible, 0, "{}: {whys:b} of {possible:b}", case.name);
        let tables = MemoryTables::new(node, 1);
        let familiar = familiar(&Slice(&case.input.bytes), &site, &tables, &seen.parsed);
        assert!(!familiar || whys & Why::UnknownTunnel.bit() == 0, "{}", case.name);
        unknown_peers |= !familiar && seen.parsed.class.is_tunnel();
        friends |= familiar;
        held |= whys;
    }
    let all = Why::ALL.iter().filter(|why| **why != Why::Drop).fold(0, |set, why| set | why.bit());
    assert_eq!(held, all, "the table has a packet for every reason");
    assert!(friends && unknown_peers, "the table has both");
}
