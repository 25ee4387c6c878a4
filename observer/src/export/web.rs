//! The web configuration file: TLS and basic authentication, in the form of Prometheus' own exporters
//! (github.com/prometheus/exporter-toolkit, docs/web-configuration.md). What is not supported is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio_rustls::rustls::ServerConfig;

use super::auth::Users;
use super::tls::{self, ClientAuth, Tls};

/// The file cannot be used.
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
    /// With TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// For whom.
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
    /// Reads the file; without one, everybody may ask, without TLS.
    ///
    /// # Errors
    /// It cannot be read, says something that is not supported, or its certificates do not fit.
    pub fn read(path: Option<&Path>) -> Result<Self, WebError> {
        let Some(path) = path else { return Ok(Self { tls: None, users: Users::new(BTreeMap::new()) }) };
        let failed = |cause: String, remedy| WebError { path: path.to_owned(), cause, remedy };
        let text = std::fs::read_to_string(path)
            .map_err(|error| failed(error.to_string(), "name a readable file with --web-config, or none"))?;
        let file =
            parse(&text).map_err(|cause| failed(cause, "correct it; docs/export.md has the fields"))?;
        let tls = file.tls_server_config.map(|mut tls| {
            // Beside the file, as the exporters of Prometheus have it.
            let base = path.parent().unwrap_or(Path::new("."));
            for path in [&mut tls.cert_file, &mut tls.key_file].into_iter().chain(&mut tls.client_ca_file) {
                *path = base.join(&*path);
            }
            tls::config(&tls)
        });
        let tls = tls.transpose().map_err(|cause| failed(cause, "correct the files that it names"))?;
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
            format!("the password of user {user} is no bcrypt hash (`htpasswd -nBC 10 \"\"` makes one)")
        })?;
    }
    if let Some(tls) = &file.tls_server_config {
        if tls.client_auth_type != ClientAuth::NoClientCert && tls.client_ca_file.is_none() {
            return Err("client_auth_type wants certificates, and there is no client_ca_file".to_owned());
        }
        if tls.client_ca_file.is_some() && tls.client_auth_type == ClientAuth::NoClientCert {
            return Err("there is a client_ca_file, and client_auth_type wants no certificates".to_owned());
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
    fn the_form_of_prometheus_exporters_is_read() {
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
    fn what_is_not_supported_is_refused() {
        let tls = "tls_server_config:\n  cert_file: a\n  key_file: b\n";
        let cases = [
            ("http_server_config: {}\n".to_owned(), "unknown field `http_server_config`"),
            (format!("{tls}  curve_preferences: []\n"), "unknown field `curve_preferences`"),
            (format!("{tls}  min_version: TLS10\n"), "unknown variant `TLS10`"),
            (format!("{tls}  client_auth_type: RequireAnyClientCert\n"), "unknown variant"),
            (format!("{tls}  client_auth_type: RequireAndVerifyClientCert\n"), "no client_ca_file"),
            (format!("{tls}  client_ca_file: c\n"), "wants no certificates"),
            (format!("{tls}  min_version: TLS13\n  max_version: TLS12\n"), "above max_version"),
            ("basic_auth_users:\n  a: secret\n".to_owned(), "no bcrypt hash"),
        ];
        for (text, expected) in cases {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
