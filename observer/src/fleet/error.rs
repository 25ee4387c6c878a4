//! What can go wrong between here and a Prometheus.

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The URL is not usable.
    #[error("`{url}` is no address of a Prometheus: {cause}; name it as in https://prometheus.example:9090")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A file with a secret or a certificate cannot be used.
    #[error("cannot use {path}: {cause}; {remedy}")]
    File {
        /// Which file.
        path: String,
        /// What is wrong.
        cause: String,
        /// What it should be.
        remedy: &'static str,
    },
    /// No answer at all.
    #[error("cannot ask the Prometheus at {url}: {cause}; {remedy}")]
    Reach {
        /// Who was asked.
        url: String,
        /// What happened.
        cause: String,
        /// What to try.
        remedy: &'static str,
    },
    /// An answer that is none.
    #[error("the Prometheus at {url} refuses a query: {cause}; {remedy}")]
    Refused {
        /// Who was asked.
        url: String,
        /// What it said.
        cause: String,
        /// What to try.
        remedy: &'static str,
    },
    /// Nothing is known of any exporter.
    #[error(
        "the Prometheus at {url} knows no node with Observer{about}; see that it scrapes `observer export` \
         (docs/deploy.md)"
    )]
    Nobody {
        /// Who was asked.
        url: String,
        /// The selector, in words.
        about: String,
    },
}
