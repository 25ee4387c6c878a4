//! Errors of querying a Prometheus.

use std::fmt::Display;
use std::path::Path;

/// A failed query of the fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The URL cannot be used.
    #[error("cannot use Prometheus URL `{url}`: {cause}; give one such as https://prometheus.example:9090")]
    Url {
        /// The given URL.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A file with a secret or certificates cannot be used.
    #[error("cannot use {path}: {cause}; {remedy}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A query got no response, or an error.
    #[error("cannot query Prometheus at {url}: {cause}; {remedy}")]
    Query {
        /// Its URL.
        url: String,
        /// What happened.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// There are no series of any exporter.
    #[error(
        "cannot find nodes in Prometheus at {url}: it has no series of Observer{filter}; check that it scrapes \
         `observer export` (docs/deploy.md)"
    )]
    NoNodes {
        /// Its URL.
        url: String,
        /// ` with SELECTOR`, or empty.
        filter: String,
    },
}

impl FleetError {
    pub(super) fn file(path: &Path, cause: &dyn Display, remedy: &'static str) -> Self {
        Self::File { path: path.display().to_string(), cause: cause.to_string(), remedy }
    }
}
