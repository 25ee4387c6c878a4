//! A problem that a rule found.

/// Severity of a finding, most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Packets are lost, or will be.
    Error,
    /// There is a cost, or the node is not as declared.
    Warning,
    /// Capacity is wasted.
    Notice,
}

impl Severity {
    /// The name in every view.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// A command that helps. It is only printed, never run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What it does, as an imperative.
    pub what: String,
    /// The command.
    pub command: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id, which is also the anchor in docs/doctor.md.
    pub id: &'static str,
    /// Its severity.
    pub severity: Severity,
    /// What is wrong: one sentence without a full stop.
    pub title: String,
    /// The devices, prefixes, addresses, families or pools that it is about.
    pub subjects: Vec<String>,
    /// What was observed, one fact each.
    pub evidence: Vec<String>,
    /// Why it is a problem.
    pub explanation: String,
    /// What to do, in order.
    pub remedies: Vec<Remedy>,
}

impl Finding {
    /// A finding without subjects, evidence and remedies.
    #[must_use]
    pub fn new(id: &'static str, severity: Severity, title: String, explanation: impl Into<String>) -> Self {
        Self {
            id,
            severity,
            title,
            subjects: Vec::new(),
            evidence: Vec::new(),
            explanation: explanation.into(),
            remedies: Vec::new(),
        }
    }

    /// Adds subjects.
    #[must_use]
    pub fn about(mut self, subjects: impl IntoIterator<Item = impl ToString>) -> Self {
        self.subjects.extend(subjects.into_iter().map(|subject| subject.to_string()));
        self
    }

    /// Adds evidence.
    #[must_use]
    pub fn seen(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn remedy(mut self, what: impl Into<String>, command: impl Into<String>) -> Self {
        self.remedies.push(Remedy { what: what.into(), command: command.into() });
        self
    }

    /// The place in the documentation that explains it.
    #[must_use]
    pub fn anchor(&self) -> String {
        format!("docs/doctor.md#{}", self.id)
    }
}
