//! A client of Prometheus' HTTP API.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::answer::Answer;
use super::error::FleetError;

/// Maximum size of a response, bytes: some 200,000 series.
const LARGEST: u64 = 64 << 20;

/// Authentication.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// None.
    #[default]
    None,
    /// User name and password (HTTP basic authentication).
    Basic(String, String),
    /// A bearer token.
    Bearer(String),
}

impl Login {
    /// Reads the password or token from its file, without a trailing newline.
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

/// A client of one Prometheus.
pub struct Client {
    agent: Agent,
    url: String,
    login: Option<String>,
}

impl Client {
    /// Prepares a client for the Prometheus at `url`; nothing is sent yet.
    ///
    /// # Errors
    /// The URL or the certificate file cannot be used.
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
            // The body has the error of a query.
            .http_status_as_error(false)
            .user_agent(concat!("observer/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build()
            .new_agent();
        let login = login.header();
        if login.is_some() && url.starts_with("http://") {
            log::warn!("the password or token is sent unencrypted to {url}");
        }
        Ok(Self { agent, url, login })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs an instant query at time `at` (seconds since the Unix epoch; default: now).
    ///
    /// # Errors
    /// No response, an error, or a response that is not a vector.
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
            (Err(cause), code) if !matches!(code, 401 | 403 | 404 | 405) => Err(self.failed(
                format!("{cause} (HTTP status {status})"),
                "check that it is a Prometheus, and the value of --selector",
            )),
            (_, code) => Err(self.failed(
                format!("HTTP status {status}"),
                match code {
                    401 | 403 => "give --user with --password-file, or --token-file",
                    404 | 405 => "check whether the URL needs a path, as in https://example/prometheus",
                    _ => "check for a proxy between this host and Prometheus",
                },
            )),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> FleetError {
        let cause = error.to_string();
        let remedy = match error {
            // Errors of certificates arrive as errors of the connection.
            _ if cause.contains("certificate") => "give its certificate authority with --ca-file",
            ureq::Error::BodyExceedsLimit(_) => "select less with --selector",
            ureq::Error::Timeout(_) => "increase --timeout, or select less with --selector",
            _ => "check that it is running and reachable from here",
        };
        self.failed(cause, remedy)
    }

    fn failed(&self, cause: String, remedy: &'static str) -> FleetError {
        FleetError::Query { url: self.url.clone(), cause, remedy }
    }
}

/// The URL without trailing slashes. It must not contain a password, which would appear in errors.
fn check(url: &str) -> Result<String, FleetError> {
    let wrong = |cause: &str| FleetError::Url { url: url.to_owned(), cause: cause.to_owned() };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(wrong("it does not start with http:// or https://"));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(wrong("only http and https are supported"));
    }
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() {
        return Err(wrong("it has no host"));
    }
    if host.contains('@') {
        // The URL is not printed: it may contain a password.
        let cause = "give the user with --user and --password-file".to_owned();
        return Err(FleetError::Url { url: format!("{scheme}://…"), cause });
    }
    if rest.contains(['?', '#']) || url.contains(char::is_whitespace) {
        return Err(wrong("queries, fragments and spaces are not supported"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn secret(path: &Path) -> Result<String, FleetError> {
    let wrong = |cause: &dyn Display| {
        FleetError::file(path, cause, "give a file with nothing but the password or token")
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(wrong(&"it is empty"));
    }
    if secret.contains(char::is_control) {
        return Err(wrong(&"it has more than one line"));
    }
    Ok(secret.to_owned())
}

fn certificates(path: &Path) -> Result<RootCerts, FleetError> {
    let wrong =
        |cause: &dyn Display| FleetError::file(path, cause, "give a file with certificates in PEM format");
    let pem = fs::read(path).map_err(|error| wrong(&error))?;
    let found = crate::pem::certificates(&pem).map_err(|error| wrong(&error))?;
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_passwords_are_not_printed() {
        assert_eq!(check("http://h:9090/").expect("a URL"), "http://h:9090");
        assert_eq!(check("https://h/prometheus").expect("a URL"), "https://h/prometheus");
        for url in ["h:9090", "ftp://h", "http://", "http://h?x", "http://a b"] {
            assert!(check(url).is_err(), "{url}");
        }
        let error = check("http://me:secret@h").expect_err("a password in the URL").to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_secret_is_one_line() {
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
        assert!(error.contains("does not contain a certificate"), "{error}");
    }
}
