//! Calico's resources from the Kubernetes API: a few GET requests with the credentials of a pod or of a
//! kubeconfig file. Nothing is written, nothing is watched.

mod credentials;

pub use credentials::Credentials;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::tls::{ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::calico::{Calico, parse};
use crate::pem;

/// Longer than this no request may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Objects that are asked for at once.
const PAGE: u32 = 500;
/// No answer may be larger.
const LARGEST: u64 = 64 << 20;

/// What could not be had from the API, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {operation} {object}: {cause}; {remedy}")]
pub struct KubernetesError {
    /// What was tried, as a verb.
    pub operation: &'static str,
    /// On what.
    pub object: String,
    /// Why it failed.
    pub cause: String,
    /// What the user can do.
    pub remedy: &'static str,
}

impl KubernetesError {
    fn new(
        operation: &'static str,
        object: impl Into<String>,
        cause: impl ToString,
        remedy: &'static str,
    ) -> Self {
        Self { operation, object: object.into(), cause: cause.to_string(), remedy }
    }
}

/// A kind of objects: its words, and the paths that it may be found at, the usual one first.
struct Kind {
    name: &'static str,
    paths: &'static [&'static str],
}

/// In the group of Calico's own objects, and in that of its API server or of newer versions.
const KINDS: [Kind; 4] = [
    Kind {
        name: "IPPool",
        paths: &["/apis/crd.projectcalico.org/v1/ippools", "/apis/projectcalico.org/v3/ippools"],
    },
    Kind {
        name: "FelixConfiguration",
        paths: &[
            "/apis/crd.projectcalico.org/v1/felixconfigurations",
            "/apis/projectcalico.org/v3/felixconfigurations",
        ],
    },
    Kind {
        name: "BlockAffinity",
        paths: &[
            "/apis/crd.projectcalico.org/v1/blockaffinities",
            "/apis/projectcalico.org/v3/blockaffinities",
        ],
    },
    Kind { name: "Node", paths: &["/api/v1/nodes"] },
];

/// A connection to the API.
pub struct Client {
    agent: Agent,
    credentials: Credentials,
}

impl Client {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// Certificates or keys cannot be read.
    pub fn new(credentials: Credentials) -> Result<Self, KubernetesError> {
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("observer/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls(&credentials)?)
            .build()
            .new_agent();
        Ok(Self { agent, credentials })
    }

    /// All that the doctor wants to know.
    ///
    /// # Errors
    /// The first request that failed. A kind that this cluster does not have, or that may not be read, is
    /// in the list of sentences instead.
    pub fn calico(&self) -> Result<(Calico, Vec<String>), KubernetesError> {
        let mut calico = Calico::default();
        let mut notes = Vec::new();
        for kind in &KINDS {
            match self.kind(kind, &mut calico)? {
                404 => notes.push(format!("the cluster has no {}", kind.name)),
                status @ (401 | 403) => notes.push(format!(
                    "{} objects may not be read (HTTP {status}): allow `list` to this account in its ClusterRole",
                    kind.name
                )),
                _ => {}
            }
        }
        Ok((calico, notes))
    }

    /// Reads a kind wherever it is; returns the last status.
    fn kind(&self, kind: &Kind, calico: &mut Calico) -> Result<u16, KubernetesError> {
        let mut last = 404;
        for path in kind.paths {
            last = self.list(path, calico)?;
            if last == 200 {
                break;
            }
        }
        Ok(last)
    }

    fn list(&self, path: &str, calico: &mut Calico) -> Result<u16, KubernetesError> {
        let mut next = String::new();
        loop {
            let query = format!("{path}?limit={PAGE}{next}");
            let (status, text) = self.get(&query)?;
            if status != 200 {
                return match status {
                    401 | 403 | 404 => Ok(status),
                    _ => Err(KubernetesError::new(
                        "read",
                        format!("{}{path}", self.credentials.server),
                        format!("HTTP {status}: {}", text.chars().take(200).collect::<String>()),
                        "try `kubectl get --raw` with the same credentials",
                    )),
                };
            }
            let wrong = |cause: String| {
                KubernetesError::new("understand", path, cause, "is this the API server's address?")
            };
            calico.add(parse(&text).map_err(|error| wrong(error.to_string()))?);
            let value: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
            match value["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => next = format!("&continue={}", escape(token)),
                _ => return Ok(200),
            }
        }
    }

    fn get(&self, path: &str) -> Result<(u16, String), KubernetesError> {
        let url = format!("{}{path}", self.credentials.server);
        let failed = |error: ureq::Error| {
            KubernetesError::new(
                "reach",
                self.credentials.server.clone(),
                error,
                "see that it is reachable from here, and that the credentials are for it",
            )
        };
        let mut request = self.agent.get(&url).header("Accept", "application/json");
        if let Some(token) = &self.credentials.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LARGEST).read_to_string().map_err(failed)?;
        Ok((status, body))
    }
}

/// The token of a page in a query.
fn escape(token: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    token
        .bytes()
        .map(|byte| if safe(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn tls(credentials: &Credentials) -> Result<TlsConfig, KubernetesError> {
    let remedy = "it should hold PEM; see the kubeconfig or the mounted service account";
    let wrong = |what: &'static str, error: &dyn Display| KubernetesError::new("use", what, error, remedy);
    let mut config = TlsConfig::builder().disable_verification(credentials.insecure);
    if let Some(ca) = &credentials.ca {
        let certificates = pem::certificates(ca).map_err(|error| wrong("the CA certificate", &error))?;
        config = config.root_certs(RootCerts::Specific(Arc::new(certificates)));
    }
    if let Some((certificate, key)) = &credentials.client {
        let chain =
            pem::certificates(certificate).map_err(|error| wrong("the client certificate", &error))?;
        let key = PrivateKey::from_pem(key).map_err(|error| wrong("the client key", &error))?;
        config = config.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(config.build())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;
    use crate::model::Mode;
    use observer_common::kind::Class;

    /// A server that answers as a recorded API server did; returns its address and what it was asked.
    fn serve(requests: usize, answer: fn(&str) -> (u16, String)) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        let server = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for _ in 0..requests {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert_ne!(reader.read_line(&mut head).expect("a request"), 0);
                }
                let path = head.split(' ').nth(1).expect("a path").to_owned();
                let (status, body) = answer(&path);
                asked.push(head);
                write!(
                    stream,
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )
                .expect("an answer");
            }
            asked
        });
        (address, server)
    }

    fn recorded(path: &str) -> (u16, String) {
        let pools = r#"{"kind":"IPPoolList","metadata":{"continue":""},"items":[{"metadata":{"name":"p"},
            "spec":{"cidr":"10.244.0.0/16","ipipMode":"Never","vxlanMode":"CrossSubnet"}}]}"#;
        let node = |name: &str, next: &str| {
            format!(
                r#"{{"kind":"NodeList","metadata":{{"continue":"{next}"}},"items":[{{"metadata":{{"name":"{name}",
                "annotations":{{"projectcalico.org/IPv4Address":"192.0.2.1/24"}}}}}}]}}"#
            )
        };
        match path {
            "/apis/projectcalico.org/v3/ippools?limit=500" => (200, pools.to_owned()),
            "/api/v1/nodes?limit=500" => (200, node("one", "a/b=")),
            "/api/v1/nodes?limit=500&continue=a%2Fb%3D" => (200, node("two", "")),
            path if path.contains("blockaffinities") => (403, "{\"kind\":\"Status\"}".to_owned()),
            _ => (404, "404 page not found".to_owned()),
        }
    }

    #[test]
    fn what_the_api_has_in_either_group_and_in_pages() {
        let (server, asked) = serve(8, recorded);
        let credentials = Credentials { token: Some("secret".into()), ..Credentials::of(server) };
        let (calico, notes) = Client::new(credentials).expect("a client").calico().expect("answers");
        assert_eq!(calico.mode(false), Some(Mode::CrossSubnet(Class::Vxlan)));
        assert_eq!(calico.nodes.len(), 2);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("no FelixConfiguration") && notes[1].contains("HTTP 403"), "{notes:?}");
        let asked = asked.join().expect("the server");
        assert!(asked.iter().all(|head| head.to_lowercase().contains("authorization: bearer secret")));
    }

    #[test]
    fn an_error_names_the_server_and_the_cause() {
        let (server, asked) = serve(1, |_| (500, "the database is gone".to_owned()));
        let error = Client::new(Credentials::of(server)).expect("a client").calico().expect_err("500");
        assert!(error.to_string().contains("HTTP 500: the database is gone"), "{error}");
        asked.join().expect("the server");
        let nobody = Credentials::of("http://127.0.0.1:9".into());
        let error = Client::new(nobody).expect("a client").calico().expect_err("nobody listens");
        assert_eq!(error.operation, "reach");
    }
}
