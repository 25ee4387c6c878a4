//! What is wrong with a node, and why: findings with evidence, from facts. Pure: no clock, no I/O.
//!
//! [`View`] is what the rules look at, made once of the [`Facts`]; each rule is a file of [`rules`]. A
//! later rule sees what earlier ones found, so that one cause is named once.

mod facts;
mod finding;
mod modes;
mod mtu;
mod peers;
pub mod plan;
mod rules;
#[cfg(test)]
pub(crate) mod testing;

pub use facts::{CALICO_TUNNELS, Facts, FelixFile};
pub use finding::{Finding, Remedy, Severity};
pub use modes::ModeView;
pub use mtu::{DEFAULT_PATTERN, MtuView, PodMtu, Seen, TunnelMtu, UNDETECTED};
pub use peers::{Observed, PeerView};
pub use rules::{RULES, Rule};

/// What the rules look at.
#[derive(Debug)]
pub struct View<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// The modes, IPv4 first; families without pod blocks and without a declared mode are left out.
    pub modes: Vec<ModeView>,
    /// Peers that pod blocks are routed to or that tunnel packets come from or go to.
    pub peers: Vec<PeerView>,
    /// MTUs.
    pub mtu: MtuView,
}

impl<'a> View<'a> {
    /// Looks at facts.
    #[must_use]
    pub fn new(facts: &'a Facts) -> Self {
        Self { facts, modes: modes::of(facts), peers: peers::of(facts), mtu: mtu::of(facts) }
    }
}

/// What the doctor has to say of a node.
#[derive(Debug)]
pub struct Diagnosis<'a> {
    /// What it looked at.
    pub view: View<'a>,
    /// What it found, the gravest first.
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
