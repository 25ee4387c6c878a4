//! Observer.
fn main() {}
