//! Any bytes: no panics, and the properties of every packet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_common::counters::Total;
use observer_common::kind::Class;

fuzz_target!(|data: &[u8]| {
    let Some(input) = observer_common_fuzz::input(data) else { return };
    let (seen, counted) = input.run();
    let sizes = seen.verdict.sizes;
    assert!(sizes.segments >= 1);
    assert!(sizes.inner <= sizes.l3 && sizes.l3 <= sizes.wire, "{seen:?}");
    if input.frame.gso_size == 0 {
        let tag = if input.frame.tag_beside { 4 } else { 0 };
        assert_eq!(sizes.wire, u64::from(input.frame.length) + tag);
    }
    if matches!(seen.verdict.class, Class::NonIp | Class::Malformed) {
        assert_eq!((sizes.l3, sizes.inner), (0, 0));
    }
    assert_eq!(seen.parsed.class == Class::Malformed, seen.verdict.class == Class::Malformed);
    let packets: u64 = counted.totals.values().map(|t| t.counters[Total::Packets as usize]).sum();
    assert_eq!(packets, u64::from(sizes.segments));
    // A prefix gives the same result or reports that it ran out.
    if let Some(half) = data.get(1).map(|at| usize::from(*at) % (input.bytes.len() + 1)) {
        let mut cut = input.clone();
        cut.bytes.truncate(half);
        let (less, _) = cut.run();
        if !observer_common::account::ran_out(less.verdict.malformed) {
            assert_eq!(less.parsed, seen.parsed);
            assert_eq!(less.verdict.sizes, seen.verdict.sizes);
        }
    }
});
