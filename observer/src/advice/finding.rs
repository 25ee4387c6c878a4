//! One thing that is wrong.

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Packets are lost, or will be.
    Error,
    /// It costs, or something is not as it was declared.
    Warning,
    /// Something is given away.
    Notice,
}

impl Severity {
    /// The word that every view uses.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// A command that would help; nobody but the reader runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What it does.
    pub what: String,
    /// The command, exactly.
    pub command: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule found it; also its anchor in docs/doctor.md.
    pub id: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub title: String,
    /// Devices, prefixes and addresses that it is about.
    pub subjects: Vec<String>,
    /// What was seen, one fact each.
    pub evidence: Vec<String>,
    /// Why that is wrong and what comes of it.
    pub explanation: String,
    /// What to do, in this order.
    pub remedies: Vec<Remedy>,
}

impl Finding {
    /// A finding without evidence and remedies.
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

    /// With what it is about.
    #[must_use]
    pub fn about(mut self, subjects: impl IntoIterator<Item = impl ToString>) -> Self {
        self.subjects.extend(subjects.into_iter().map(|subject| subject.to_string()));
        self
    }

    /// With facts.
    #[must_use]
    pub fn seen(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// With a remedy.
    #[must_use]
    pub fn remedy(mut self, what: impl Into<String>, command: impl Into<String>) -> Self {
        self.remedies.push(Remedy { what: what.into(), command: command.into() });
        self
    }

    /// Where it is explained.
    #[must_use]
    pub fn anchor(&self) -> String {
        format!("docs/doctor.md#{}", self.id)
    }
}
