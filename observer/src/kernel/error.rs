//! Errors of the kernel side: operation, object, cause, remedy.

use super::netlink::NetlinkError;
use crate::topology::TopologyError;

/// An operation that the kernel refused or that could not be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {operation} {object}: {cause}; {remedy}")]
pub struct KernelError {
    /// What was tried, as a verb: "load", "attach to".
    pub operation: &'static str,
    /// On what.
    pub object: String,
    /// Why it failed.
    pub cause: String,
    /// What the user can do.
    pub remedy: String,
}

impl KernelError {
    /// An error with all its parts.
    pub fn new(
        operation: &'static str,
        object: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { operation, object: object.into(), cause: cause.into(), remedy: remedy.into() }
    }
}

/// Why a live source could not be started or read.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The node could not be read.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A requested device does not exist.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// A map or program that the embedded object lacks.
pub(super) fn missing(kind: &str, name: &str) -> KernelError {
    KernelError::new("find", format!("{kind} {name}"), "the embedded object lacks it", "rebuild Observer")
}

/// An error and its causes in one line, without repetitions and without the verifier's log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let text = text.split("Verifier output").next().unwrap_or_default().trim_end_matches([' ', '.']);
        if !text.is_empty() && !texts.iter().any(|seen| seen.contains(text)) {
            texts.push(text.to_owned());
        }
        next = error.source();
    }
    texts.join(": ")
}
