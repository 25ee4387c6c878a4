//! A small client of Prometheus' HTTP API.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::answer::Answer;
use super::error::FleetError;

/// Bytes of an answer at most: some 200,000 series.
const LARGEST: u64 = 64 << 20;

/// Who may ask, and how.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// Anybody.
    #[default]
    None,
    /// Name and password (HTTP basic authentication).
    Basic(String, String),
    /// A bearer token.
    Bearer(String),
}

impl Login {
    /// Reads the password or the token from its file; a final newline does not belong to it.
    ///
    /// # Errors
    /// The file cannot be read or is empty.
    pub fn read(
        user: Option<&str>,
        password: Option<&Path>,
        token: Option<&Path>,
    ) -> Result<Self, FleetError> {
        match (user, password, token) {
            (Some(user), Some(file), _) => Ok(Self::Basic(user.to_owned(), secret(file)?)),
            (_, _, Some(file)) => Ok(Self::Bearer(secret(file)?)),
            _ => Ok(Self::None),
        }
    }

    fn header(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Basic(user, password) => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            Self::Bearer(token) => Some(format!("Bearer {token}")),
        }
    }
}

/// A Prometheus.
pub struct Client {
    agent: Agent,
    url: String,
    login: Option<String>,
}

impl Client {
    /// Prepares to ask the Prometheus at `url`; asks nothing yet.
    ///
    /// # Errors
    /// The URL or the file of certificates cannot be used.
    pub fn new(
        url: &str,
        login: &Login,
        authorities: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, FleetError> {
        let url = check(url)?;
        let mut tls = TlsConfig::builder();
        if let Some(path) = authorities {
            tls = tls.root_certs(certificates(path)?);
        }
        let agent = Agent::config_builder()
            .timeout_global(Some(timeout))
            // The server says in its body what is wrong with a query.
            .http_status_as_error(false)
            .user_agent(concat!("observer/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build()
            .new_agent();
        let login = login.header();
        if login.is_some() && url.starts_with("http://") {
            log::warn!("the password or token goes to {url} unencrypted");
        }
        Ok(Self { agent, url, login })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks one question, as of `at` (seconds since the Unix epoch) or of now.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is no vector.
    pub fn query(&self, promql: &str, at: Option<f64>) -> Result<Answer, FleetError> {
        let mut request = self.agent.post(format!("{}/api/v1/query", self.url));
        if let Some(login) = &self.login {
            request = request.header("Authorization", login);
        }
        let at = at.map(|at| format!("{at:.3}"));
        let form = [("query", promql)].into_iter().chain(at.as_deref().map(|at| ("time", at)));
        let mut response = request.send_form(form).map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(LARGEST)
            .read_to_string()
            .map_err(|error| self.unreachable(&error))?;
        match (Answer::parse(&body), status) {
            (Ok(answer), 200) => Ok(answer),
            (_, 401 | 403) => Err(self.refused(
                format!("HTTP status {status}"),
                "give --user with --password-file, or --token-file",
            )),
            (_, 404 | 405) => Err(self.refused(
                format!("HTTP status {status}"),
                "see whether the address needs a path, as in https://example/prometheus",
            )),
            (Err(cause), _) => Err(self.refused(
                format!("{cause} (HTTP status {status})"),
                "see that it is a Prometheus, and what --selector holds",
            )),
            (Ok(_), _) => {
                Err(self.refused(format!("HTTP status {status}"), "see what stands between here and there"))
            }
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> FleetError {
        let cause = error.to_string();
        let remedy = match error {
            // What rustls says of a certificate comes as an error of the connection.
            _ if cause.contains("certificate") => {
                "name the authority that signed its certificate by --ca-file"
            }
            ureq::Error::BodyExceedsLimit(_) => "ask for less by --selector",
            ureq::Error::Timeout(_) => "give it longer by --timeout, or ask for less by --selector",
            _ => "see that it runs and can be reached from here",
        };
        FleetError::Reach { url: self.url.clone(), cause, remedy }
    }

    fn refused(&self, cause: String, remedy: &'static str) -> FleetError {
        FleetError::Refused { url: self.url.clone(), cause, remedy }
    }
}

/// The URL without what would be doubled or shown to everybody.
fn check(url: &str) -> Result<String, FleetError> {
    let wrong = |cause: &str| FleetError::Url { url: url.to_owned(), cause: cause.to_owned() };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(wrong("it has no http:// or https://"));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(wrong("only http and https are spoken"));
    }
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() {
        return Err(wrong("it names no host"));
    }
    if host.contains('@') {
        // Not repeated: there may be a password in it.
        let (url, cause) = (format!("{scheme}://…"), "names and passwords are given by options".to_owned());
        return Err(FleetError::Url { url, cause });
    }
    if rest.contains(['?', '#']) || url.contains(char::is_whitespace) {
        return Err(wrong("it ends with a path at most"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn secret(path: &Path) -> Result<String, FleetError> {
    let wrong = |cause: String| FleetError::File {
        path: path.display().to_string(),
        cause,
        remedy: "it must hold the password or the token, and nothing else",
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    if secret.contains(char::is_control) {
        return Err(wrong("it has more than one line".to_owned()));
    }
    Ok(secret.to_owned())
}

fn certificates(path: &Path) -> Result<RootCerts, FleetError> {
    let wrong = |cause: String| FleetError::File {
        path: path.display().to_string(),
        cause,
        remedy: "it must hold certificates in PEM form",
    };
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = crate::pem::certificates(&pem).map_err(|error| wrong(error.to_string()))?;
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(check("http://h:9090/").expect("a URL"), "http://h:9090");
        assert_eq!(check("https://h/prometheus").expect("a URL"), "https://h/prometheus");
        for url in ["h:9090", "ftp://h", "http://", "http://h?x", "http://a b"] {
            assert!(check(url).is_err(), "{url}");
        }
        let error = check("http://me:secret@h").expect_err("a password in the URL").to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn secrets_are_one_line() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let read = |text: &str| {
            fs::write(file.path(), text).expect("written");
            secret(file.path())
        };
        assert_eq!(read("word\n").expect("a secret"), "word");
        assert!(read("\n").is_err() && read("a\nb").is_err());
        assert!(secret(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = certificates(file.path()).expect_err("no certificate").to_string();
        assert!(error.contains("holds no certificate"), "{error}");
    }
}
