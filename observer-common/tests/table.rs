//! The packet table through the parser and the accounting rule in user space.

use observer_testing::table;

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
