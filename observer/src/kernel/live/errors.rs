//! Current problems, by what they concern.

use std::collections::BTreeMap;

use crate::kernel::error::KernelError;

/// What a problem concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Cost,
    Node,
    State,
    Tables,
    Device(String),
}

/// Current problems: at most one per subject.
#[derive(Debug, Default)]
pub(super) struct Errors(BTreeMap<Subject, String>);

impl Errors {
    /// Records an error, or that an operation worked again. True without an error.
    pub(super) fn record(&mut self, subject: Subject, result: Result<(), KernelError>) -> bool {
        match result {
            Ok(()) => {
                self.0.remove(&subject);
                true
            }
            Err(error) => {
                self.0.insert(subject, error.to_string());
                false
            }
        }
    }

    /// Their texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.values().cloned()
    }
}
