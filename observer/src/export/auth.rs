//! Basic authentication (RFC 7617) against bcrypt hashes.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Request, StatusCode};
use tokio::sync::Semaphore;

use super::http::{Answer, plain};

/// Concurrent password checks: each deliberately takes tens of milliseconds of CPU time or more.
const CHECKS: usize = 2;
/// Maximum number of cached correct passwords.
const REMEMBERED: usize = 64;
/// Checked for unknown users, so that response times do not reveal which users exist.
const NOBODY: &str = "$2b$10$7EqJtq98hPqEX7fNZaFWoOhi5B0a6q6o9HnEl3cTf0uCqWp6Q0oGS";

/// The result of checking a request's credentials.
pub(super) enum Checked {
    /// Accepted.
    Accepted,
    /// Refused with this response.
    Refused(Answer),
}

/// Users with access; without any, everyone has.
#[derive(Debug)]
pub struct Users {
    hashes: BTreeMap<String, String>,
    checks: Arc<Semaphore>,
    /// Correct credentials as keyed hashes: bcrypt is too slow for every scrape.
    known: Mutex<HashSet<[u64; 2]>>,
    keys: [RandomState; 2],
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Self {
        Self {
            hashes,
            checks: Arc::new(Semaphore::new(CHECKS)),
            known: Mutex::default(),
            keys: [RandomState::new(), RandomState::new()],
        }
    }

    pub(super) async fn check(&self, request: &Request<Incoming>) -> Checked {
        if self.hashes.is_empty() {
            return Checked::Accepted;
        }
        if let Some((user, password)) = request.headers().get(AUTHORIZATION).and_then(credentials)
            && self.knows(user, password).await
        {
            return Checked::Accepted;
        }
        let mut answer = plain(StatusCode::UNAUTHORIZED, "authentication required\n");
        let realm = HeaderValue::from_static("Basic realm=\"observer\", charset=\"UTF-8\"");
        answer.headers_mut().insert(WWW_AUTHENTICATE, realm);
        Checked::Refused(answer)
    }

    async fn knows(&self, user: String, password: Vec<u8>) -> bool {
        let known = self.hashes.get(&user).cloned();
        let exists = known.is_some();
        let hash = known.unwrap_or_else(|| NOBODY.to_owned());
        let key = self.keys.each_ref().map(|keys| keys.hash_one((&user, &password)));
        if exists && self.known.lock().is_ok_and(|known| known.contains(&key)) {
            return true;
        }
        let Ok(_turn) = self.checks.acquire().await else { return false };
        let verify = move || bcrypt::verify(password, &hash).unwrap_or(false);
        let right = tokio::task::spawn_blocking(verify).await.unwrap_or(false) && exists;
        if right && let Ok(mut known) = self.known.lock() {
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(key);
        }
        right
    }
}

/// User and password of an Authorization header.
fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, text) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_basic_credentials_are_parsed() {
        let read = |text: &'static str| credentials(&HeaderValue::from_static(text));
        assert_eq!(read("Basic dTpwOnc="), Some(("u".to_owned(), b"p:w".to_vec())));
        assert_eq!(read("basic dTpwOnc="), read("Basic dTpwOnc="));
        for wrong in ["Basic", "Basic !", "Bearer dTpwOnc=", "Basic dQ=="] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_hash_for_unknown_users_is_valid() {
        assert!(bcrypt::verify("anything", NOBODY).is_ok_and(|right| !right));
    }
}
