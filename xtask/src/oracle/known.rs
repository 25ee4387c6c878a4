//! Disagreements with tshark that are understood: who is right, and why. docs/oracle.md shows the table.

use serde_json::Value;

use super::compare::Difference;
use super::tshark::Dissection;

/// One entry.
pub struct Known {
    /// A short name.
    pub id: &'static str,
    /// Who is right.
    pub right: &'static str,
    /// Why.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for readers, and for the test that compares docs/oracle.md")
    )]
    pub why: &'static str,
    /// Whether it explains a difference.
    applies: fn(&Value, &Dissection, &Difference) -> bool,
}

/// All of them; the first that applies counts.
pub const TABLE: &[Known] = &[];

/// The entry that explains a difference.
pub fn explain(event: &Value, their: &Dissection, difference: &Difference) -> Option<&'static str> {
    TABLE.iter().find(|entry| (entry.applies)(event, their, difference)).map(|entry| entry.id)
}
