//! The one error of this side: operation, object, cause, remedy.

use super::netlink::NetlinkError;
use crate::topology::TopologyError;

/// Something that the kernel refused, or that could not be asked of it.
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

/// Why a live source could not be had or read.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The node could not be read.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// What was asked for does not exist.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// The whole chain of an error's causes in one line, each said once; the verifier's log is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let text = text.split("Verifier output").next().unwrap_or_default().trim_end_matches([' ', '.']);
        if !text.is_empty() && !said.iter().any(|s| s.contains(text)) {
            said.push(text.to_owned());
        }
        next = error.source();
    }
    said.join(": ")
}
