//! The web configuration file: TLS and basic authentication, in the format of Prometheus' own exporters
//! (github.com/prometheus/exporter-toolkit, docs/web-configuration.md). Unsupported fields are refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio_rustls::rustls::ServerConfig;

use super::auth::Users;
use super::tls::{self, ClientAuth, Tls};

/// The web configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the web configuration {}: {cause}; {remedy}", path.display())]
pub struct WebError {
    path: PathBuf,
    cause: String,
    remedy: &'static str,
}

/// How to serve.
#[derive(Debug)]
pub struct Web {
    /// TLS, if configured.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Users with access.
    pub(super) users: Users,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls_server_config: Option<Tls>,
    #[serde(default)]
    basic_auth_users: BTreeMap<String, String>,
}

impl Web {
    /// Reads the file; without one, there is no TLS and no authentication.
    ///
    /// # Errors
    /// The file cannot be read, has unsupported fields, or its certificates are invalid.
    pub fn read(path: Option<&Path>) -> Result<Self, WebError> {
        let Some(path) = path else { return Ok(Self { tls: None, users: Users::new(BTreeMap::new()) }) };
        let failed = |cause: String, remedy| WebError { path: path.to_owned(), cause, remedy };
        let text = std::fs::read_to_string(path)
            .map_err(|error| failed(error.to_string(), "use --web-config with a readable file"))?;
        let file = parse(&text)
            .map_err(|cause| failed(cause, "correct the file; docs/export.md lists its fields"))?;
        let tls = file.tls_server_config.map(|mut tls| {
            // Relative to the file, as with Prometheus' exporters.
            let base = path.parent().unwrap_or(Path::new("."));
            for path in [&mut tls.cert_file, &mut tls.key_file].into_iter().chain(&mut tls.client_ca_file) {
                *path = base.join(&*path);
            }
            tls::config(&tls)
        });
        let tls = tls.transpose().map_err(|cause| failed(cause, "correct the certificate and key files"))?;
        Ok(Self { tls, users: Users::new(file.basic_auth_users) })
    }
}

fn parse(text: &str) -> Result<File, String> {
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    let file: File = serde_norway::from_str(text).map_err(|error| error.to_string())?;
    for (user, hash) in &file.basic_auth_users {
        hash.parse::<bcrypt::HashParts>().map_err(|_| {
            format!(
                "the password of user {user} is not a bcrypt hash (create one with `htpasswd -nBC 10 \"\"`)"
            )
        })?;
    }
    if let Some(tls) = &file.tls_server_config {
        if tls.client_auth_type != ClientAuth::NoClientCert && tls.client_ca_file.is_none() {
            return Err("client_auth_type requires client_ca_file".to_owned());
        }
        if tls.client_ca_file.is_some() && tls.client_auth_type == ClientAuth::NoClientCert {
            return Err("client_ca_file requires client_auth_type".to_owned());
        }
        if tls.min_version.zip(tls.max_version).is_some_and(|(min, max)| min > max) {
            return Err("min_version is above max_version".to_owned());
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tls::Version;

    #[test]
    fn the_format_of_prometheus_exporters_is_parsed() {
        let text = "tls_server_config:\n  cert_file: a.crt\n  key_file: a.key\n  client_ca_file: ca.crt\n  \
                    client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS13\nbasic_auth_users:\n  \
                    prom: $2b$10$7EqJtq98hPqEX7fNZaFWoOhi5B0a6q6o9HnEl3cTf0uCqWp6Q0oGS\n";
        let file = parse(text).expect("a valid file");
        let tls = file.tls_server_config.expect("TLS");
        assert_eq!(tls.min_version, Some(Version::Tls13));
        assert_eq!(tls.client_auth_type, ClientAuth::RequireAndVerifyClientCert);
        assert_eq!(file.basic_auth_users.len(), 1);
        assert!(parse("").is_ok());
    }

    #[test]
    fn unsupported_fields_are_refused() {
        let tls = "tls_server_config:\n  cert_file: a\n  key_file: b\n";
        let cases = [
            ("http_server_config: {}\n".to_owned(), "unknown field `http_server_config`"),
            (format!("{tls}  curve_preferences: []\n"), "unknown field `curve_preferences`"),
            (format!("{tls}  min_version: TLS10\n"), "unknown variant `TLS10`"),
            (format!("{tls}  client_auth_type: RequireAnyClientCert\n"), "unknown variant"),
            (format!("{tls}  client_auth_type: RequireAndVerifyClientCert\n"), "requires client_ca_file"),
            (format!("{tls}  client_ca_file: c\n"), "requires client_auth_type"),
            (format!("{tls}  min_version: TLS13\n  max_version: TLS12\n"), "above max_version"),
            ("basic_auth_users:\n  a: secret\n".to_owned(), "not a bcrypt hash"),
        ];
        for (text, expected) in cases {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
