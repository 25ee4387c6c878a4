//! Certificates in PEM form, for HTTP clients.

use ureq::tls::{Certificate, PemItem, parse_pem};

/// The text has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// Not PEM.
    #[error(transparent)]
    Unreadable(#[from] ureq::Error),
    /// PEM of something else.
    #[error("it does not contain a certificate")]
    Empty,
}

/// All certificates of a text, at least one; other items are skipped.
///
/// # Errors
/// The text is not PEM, or has no certificate.
pub fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, PemError> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(PemError::Empty) } else { Ok(found) }
}
