//! Diagnoses a node: findings with evidence, from [`Facts`]. Pure: no clock, no I/O.
//!
//! Rules read a [`View`], derived once from the facts; each rule is a file of [`rules`]. A rule also gets the
//! findings of earlier rules, so that each cause is reported once.

mod facts;
mod finding;
mod modes;
mod mtu;
mod peers;
pub mod plan;
mod rules;
#[cfg(test)]
pub(crate) mod testing;

pub use facts::{Facts, FelixFile, family};
pub use finding::{Finding, Remedy, Severity};
pub use modes::ModeView;
pub use mtu::{MtuView, PodMtu, Seen, TunnelMtu};
pub use peers::{Observed, PeerView};
pub use rules::{RULES, Rule};

/// What rules read.
#[derive(Debug)]
pub struct View<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// The mode of each family with pod blocks or a declared mode, IPv4 first.
    pub modes: Vec<ModeView>,
    /// Peers with pod blocks or observed packets.
    pub peers: Vec<PeerView>,
    /// MTUs.
    pub mtu: MtuView,
}

impl<'a> View<'a> {
    /// Derives a view from facts.
    #[must_use]
    pub fn new(facts: &'a Facts) -> Self {
        Self { facts, modes: modes::of(facts), peers: peers::of(facts), mtu: mtu::of(facts) }
    }
}

/// The result of a check.
#[derive(Debug)]
pub struct Diagnosis<'a> {
    /// What was checked.
    pub view: View<'a>,
    /// The findings, most severe first.
    pub findings: Vec<Finding>,
}

/// Applies every rule to the facts.
#[must_use]
pub fn diagnose(facts: &Facts) -> Diagnosis<'_> {
    let view = View::new(facts);
    let mut findings: Vec<Finding> = Vec::new();
    for rule in RULES {
        let found = (rule.check)(&view, &findings);
        debug_assert!(found.iter().all(|finding| finding.id == rule.id));
        findings.extend(found);
    }
    findings.sort_by_key(|finding| finding.severity);
    Diagnosis { view, findings }
}
