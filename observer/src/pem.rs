//! Certificates in PEM form, for those who ask other servers.

use ureq::tls::{Certificate, PemItem, parse_pem};

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It is no PEM.
    #[error(transparent)]
    Unreadable(#[from] ureq::Error),
    /// It is, and holds something else.
    #[error("it holds no certificate")]
    Empty,
}

/// All certificates of a text, at least one; keys and the like are passed over.
///
/// # Errors
/// It is no PEM, or has no certificate in it.
pub fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, PemError> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(PemError::Empty) } else { Ok(found) }
}
