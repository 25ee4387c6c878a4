//! Verified instructions and program sizes stay below the ceilings for each kernel. A program close to the verifier's
//! limit of a million instructions might load here and fail on a user's node.

use observer::kernel::{Capacities, Programs, entry, sys};
use observer_testing::ceilings::Ceilings;

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn programs_stay_below_their_ceilings() {
    let (major, minor) = sys::version().expect("the kernel's version");
    let kernel = format!("{major}.{minor}");
    let ceilings = Ceilings::read();
    if !ceilings.has_kernel(&kernel) {
        observer_testing::skip(observer_testing::Need::Ceilings, &kernel);
        return;
    }
    let mut programs = Programs::load(Capacities::default()).expect("load the programs");
    let mut wrong = Vec::new();
    for name in entry::ALL {
        let Some(size) = programs.size(name).expect("load the program") else {
            println!("{name}: not available on Linux {kernel}");
            continue;
        };
        // In the format of `dev/testing/ceilings.toml`.
        let (verified, translated) = (size.verified.unwrap_or(0), size.translated.unwrap_or(0));
        let jitted = size.jitted;
        println!(
            "{kernel} {name} = {{ verified = {verified}, translated = {translated}, jitted = {jitted} }}"
        );
        match ceilings.of(&kernel, name) {
            None => wrong.push(format!("{name} has no ceiling on Linux {kernel}")),
            Some(ceiling) if ceiling.is_exceeded(verified, translated, jitted) => {
                wrong.push(format!("{name} on Linux {kernel}: {size:?} exceeds {ceiling:?}"));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
