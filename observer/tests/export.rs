//! The exporter's HTTP server, without a kernel: TLS, client certificates, slow and many clients.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

extern crate observer;

use observer::export::{ReadRequest, Reading, Server, Web};
use observer::view::prometheus::Selection;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::sync::mpsc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

#[path = "../src/view/fixture.rs"]
#[expect(dead_code, reason = "only some of the fixture's states are served here")]
mod fixture;

/// Serves the fixture with this configuration.
fn serve(web: Web) -> SocketAddr {
    let server = Server::bind(&["127.0.0.1:0".parse().expect("an address")], web).expect("listen");
    let address = server.addresses()[0];
    let (requests, mut asked) = mpsc::channel(4);
    server.start(requests).expect("start");
    std::thread::spawn(move || {
        while let Some(ask) = asked.blocking_recv() {
            match ask {
                ReadRequest::Errors(to) => drop(to.send(Vec::new())),
                ReadRequest::Read(to) => {
                    let snapshot = fixture::snapshot(60);
                    let paths = Selection::default().choose(&snapshot.paths, 2);
                    drop(to.send(Ok(Reading { snapshot, paths, unwatched: Duration::ZERO, peers: 2 })));
                }
            }
        }
    });
    address
}

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A certificate authority that issues keys and certificates.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }

    fn write(&self, directory: &Path) {
        let (certificate, key) = self.issue();
        let write = |name: &str, text: String| std::fs::write(directory.join(name), text).expect("write");
        write("ca.crt", self.issuer.pem());
        write("server.crt", certificate.pem());
        write("server.key", key.serialize_pem());
    }

    /// The response to a client, with or without a client certificate.
    fn ask(&self, address: SocketAddr, with_certificate: bool) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = if with_certificate {
            let (certificate, key) = self.issue();
            let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
            let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
            builder.with_client_auth_cert(chain, key).expect("a pair")
        } else {
            builder.with_no_client_auth()
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = StreamOwned::new(client, TcpStream::connect(address)?);
        stream.write_all(REQUEST)?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }
}

#[test]
fn tls_with_and_without_client_certificates() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    authority.write(directory.path());
    let file = directory.path().join("web.yaml");
    let tls = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
    std::fs::write(&file, tls).expect("write");
    let open = serve(Web::read(Some(&file)).expect("a valid file"));
    let said = authority.ask(open, false).expect("TLS");
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("observer_build_info"), "{said}");

    let strict = format!("{tls}  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n");
    std::fs::write(&file, strict).expect("write");
    let strict = serve(Web::read(Some(&file)).expect("a valid file"));
    assert!(authority.ask(strict, true).expect("TLS").starts_with("HTTP/1.1 200"));
    authority.ask(strict, false).expect_err("a client without a certificate");
    Authority::new().ask(strict, true).expect_err("a client of another authority");
}

#[test]
fn slow_and_idle_clients_do_not_block_others() {
    let address = serve(Web::read(None).expect("no file"));
    // They send nothing, or half a request, and stay connected.
    let mut idle: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(address).expect("connect")).collect();
    for stream in idle.iter_mut().step_by(2) {
        stream.write_all(&REQUEST[..20]).expect("write");
    }
    let clients: Vec<_> = (0..16).map(|_| std::thread::spawn(move || plain(address, REQUEST))).collect();
    for client in clients {
        assert!(client.join().expect("no panic").starts_with("HTTP/1.1 200"));
    }
}

/// The response to a request without TLS.
fn plain(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.write_all(request).expect("write");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("read");
    response
}

#[test]
fn responses_by_path_method_and_format() {
    let address = serve(Web::read(None).expect("no file"));
    let ask = |method: &str, path: &str, header: &str| {
        plain(
            address,
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n").as_bytes(),
        )
    };
    let open = ask("GET", "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(open.contains("content-type: application/openmetrics-text") && open.ends_with("# EOF\n"));
    let classic = ask("GET", "/metrics", "");
    assert!(classic.contains("content-type: text/plain; version=0.0.4") && !classic.contains("# EOF"));
    let head = ask("HEAD", "/metrics", "");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let snapshot = ask("GET", "/api/v1/snapshot", "");
    assert!(
        snapshot.contains("\"schema\":\"observer-stat/2\"") && snapshot.contains("\"routing\":[{"),
        "{snapshot}"
    );
    assert!(ask("GET", "/readyz", "").starts_with("HTTP/1.1 200"));
    assert!(ask("GET", "/nothing", "").starts_with("HTTP/1.1 404"));
    assert!(ask("POST", "/metrics", "Content-Length: 0\r\n").starts_with("HTTP/1.1 405"));
}

#[test]
fn promtool_accepts_the_metrics() {
    let address = serve(Web::read(None).expect("no file"));
    let said = plain(address, REQUEST);
    let text = said.split_once("\r\n\r\n").expect("a body").1;
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else {
        observer_testing::skip(observer_testing::Need::Program("promtool"), "it does not start");
        return;
    };
    promtool.stdin.take().expect("its input").write_all(text.as_bytes()).expect("write");
    let output = promtool.wait_with_output().expect("promtool");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
