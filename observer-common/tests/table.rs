//! The packet table through the parser and the accounting rule in user space.

use observer_common::account::{Site, is_known_tunnel};
use observer_common::event::{Why, possible_reasons, reasons};
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

/// Packets that `observer trace` skips before any table look-up have no reason to be reported.
#[test]
fn possible_reasons_include_all_reasons() {
    let (mut found, mut known_tunnels, mut others) = (0, false, false);
    for case in table::all() {
        let node = &case.input.node;
        let site = Site { device: &node.device, direction: case.input.direction, config: &node.config };
        let (seen, _) = case.input.run();
        let (possible, reasons) = (possible_reasons(&seen, &site), reasons(&seen));
        assert_eq!(reasons & !possible, 0, "{}: {reasons:b} of {possible:b}", case.name);
        let tables = MemoryTables::new(node, 1);
        let known = is_known_tunnel(&Slice(&case.input.bytes), &site, &tables, &seen.parsed);
        assert!(!known || reasons & Why::UnknownTunnel.bit() == 0, "{}", case.name);
        others |= !known && seen.parsed.class.is_tunnel();
        known_tunnels |= known;
        found |= reasons;
    }
    let all = Why::ALL.iter().filter(|why| **why != Why::Drop).fold(0, |set, why| set | why.bit());
    assert_eq!(found, all, "the table has a packet for every reason");
    assert!(known_tunnels && others, "the table has known tunnels and others");
}
