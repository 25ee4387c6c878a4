//! Reads Calico's resources from the Kubernetes API: a few GET requests with the credentials of a pod or a
//! kubeconfig. It neither writes nor watches.

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

/// Maximum duration of a request.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Objects per request.
const PAGE: u32 = 500;
/// Maximum size of a response, bytes.
const LARGEST: u64 = 64 << 20;

/// A failed access to the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {operation} {object}: {cause}; {remedy}")]
pub struct KubernetesError {
    /// What was attempted, as a verb.
    pub operation: &'static str,
    /// Its object.
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

/// A kind of objects, and the paths where it may be, the most common first.
struct Kind {
    name: &'static str,
    paths: &'static [&'static str],
}

/// In the group of Calico's CRDs, and in that of its API server and newer versions.
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

/// A client of the API.
pub struct Client {
    agent: Agent,
    credentials: Credentials,
}

impl Client {
    /// Prepares a client; nothing is sent yet.
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

    /// Reads all resources, and returns them with notes about kinds that do not exist or may not be read.
    ///
    /// # Errors
    /// Any other failure of a request.
    pub fn calico(&self) -> Result<(Calico, Vec<String>), KubernetesError> {
        let mut calico = Calico::default();
        let mut notes = Vec::new();
        for kind in &KINDS {
            match self.kind(kind, &mut calico)? {
                404 => notes.push(format!("the cluster has no {}", kind.name)),
                status @ (401 | 403) => notes.push(format!(
                    "access to {} objects is denied (HTTP {status}); allow `list` in the ClusterRole of this account",
                    kind.name
                )),
                _ => {}
            }
        }
        Ok((calico, notes))
    }

    /// Reads a kind from the first path that has it; returns the last status.
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
                        "compare with `kubectl get --raw` and the same credentials",
                    )),
                };
            }
            let wrong = |cause: String| {
                KubernetesError::new("parse", path, cause, "check that the server is a Kubernetes API")
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
                "check that it is reachable from here and that the credentials are for it",
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

/// Percent-encodes a continuation token.
fn escape(token: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    token
        .bytes()
        .map(|byte| if safe(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn tls(credentials: &Credentials) -> Result<TlsConfig, KubernetesError> {
    let remedy = "provide PEM in the kubeconfig or the mounted service account";
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

    /// A server with recorded responses; returns its address and the requests.
    fn serve(requests: usize, respond: fn(&str) -> (u16, String)) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        let server = std::thread::spawn(move || {
            let mut heads = Vec::new();
            for _ in 0..requests {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert_ne!(reader.read_line(&mut head).expect("a request"), 0);
                }
                let path = head.split(' ').nth(1).expect("a path").to_owned();
                let (status, body) = respond(&path);
                heads.push(head);
                write!(
                    stream,
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )
                .expect("a response");
            }
            heads
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
    fn resources_of_both_groups_are_read_page_by_page() {
        let (server, requests) = serve(8, recorded);
        let credentials = Credentials { token: Some("secret".into()), ..Credentials::of(server) };
        let (calico, notes) = Client::new(credentials).expect("a client").calico().expect("responses");
        assert_eq!(calico.mode(false), Some(Mode::CrossSubnet(Class::Vxlan)));
        assert_eq!(calico.nodes.len(), 2);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("no FelixConfiguration") && notes[1].contains("HTTP 403"), "{notes:?}");
        let requests = requests.join().expect("the server");
        assert!(requests.iter().all(|head| head.to_lowercase().contains("authorization: bearer secret")));
    }

    #[test]
    fn an_error_has_its_cause() {
        let (server, requests) = serve(1, |_| (500, "the database is gone".to_owned()));
        let error = Client::new(Credentials::of(server)).expect("a client").calico().expect_err("500");
        assert!(error.to_string().contains("HTTP 500: the database is gone"), "{error}");
        requests.join().expect("the server");
        let unused = Credentials::of("http://127.0.0.1:9".into());
        let error = Client::new(unused).expect("a client").calico().expect_err("nothing listens");
        assert_eq!(error.operation, "reach");
    }
}
