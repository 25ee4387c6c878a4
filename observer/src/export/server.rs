//! Listens and serves, in a separate thread.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};

use super::ReadRequest;
use super::auth::Checked;
use super::http::Answers;
use super::web::Web;

/// Concurrent connections; others wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// Time limit of a request's headers.
const HEADERS: Duration = Duration::from_secs(10);
/// Time limit of a connection, so that a client that does not read cannot occupy it permanently.
const LIFETIME: Duration = Duration::from_secs(300);
/// Maximum size of a request's headers.
const HEADER_BYTES: usize = 16 * 1024;

/// The server could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}; {remedy}")]
pub struct ServerError {
    address: String,
    cause: String,
    remedy: &'static str,
}

/// Open sockets, not yet served.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    web: Shared,
}

type Shared = Arc<RwLock<Arc<Web>>>;

/// Replaces certificates and passwords while the server runs.
#[derive(Clone, Debug)]
pub struct Reload(Shared);

impl Reload {
    /// Takes effect with the next connection.
    ///
    /// # Errors
    /// The server has panicked.
    pub fn set(&self, web: Web) -> std::io::Result<()> {
        let mut place = self.0.write().map_err(|_| std::io::Error::other("the HTTP server has panicked"))?;
        *place = Arc::new(web);
        Ok(())
    }
}

impl Server {
    /// Opens the sockets.
    ///
    /// # Errors
    /// An address is in use, or not an address of this machine.
    pub fn bind(addresses: &[SocketAddr], web: Web) -> Result<Self, ServerError> {
        let listeners = addresses.iter().map(|address| {
            let open = || {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            };
            open().map_err(|error: std::io::Error| ServerError {
                address: address.to_string(),
                cause: error.to_string(),
                remedy: "stop the process that uses it, or use another address with --listen",
            })
        });
        Ok(Self {
            listeners: listeners.collect::<Result<_, _>>()?,
            web: Arc::new(RwLock::new(Arc::new(web))),
        })
    }

    /// The addresses, with the ports that the system assigned.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Replaces certificates and passwords later.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload(Arc::clone(&self.web))
    }

    /// Serves in a separate thread until the process ends.
    ///
    /// # Errors
    /// The thread or its event loop cannot be started.
    pub fn start(self, requests: mpsc::Sender<ReadRequest>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answers = Answers::new(requests);
        std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.block_on(async {
                let room = Arc::new(Semaphore::new(CONNECTIONS));
                let listening = self.listeners.into_iter().filter_map(|listener| {
                    let listener = tokio::net::TcpListener::from_std(listener).ok()?;
                    Some(accept(listener, Arc::clone(&room), Arc::clone(&self.web), answers.clone()))
                });
                futures::future::join_all(listening).await;
            });
        })?;
        Ok(())
    }
}

async fn accept(listener: tokio::net::TcpListener, room: Arc<Semaphore>, web: Shared, answers: Answers) {
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answers = answers.clone();
                let web = web.read().map(|web| Arc::clone(&web)).ok();
                tokio::spawn(async move {
                    if let Some(web) = web
                        && tokio::time::timeout(LIFETIME, handshake(stream, web, answers)).await.is_err()
                    {
                        log::debug!("closed a connection after {LIFETIME:?}");
                    }
                    drop(place);
                });
            }
            // For example no descriptors left: temporary.
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Accepts TLS first, if configured.
async fn handshake(stream: tokio::net::TcpStream, web: Arc<Web>, answers: Answers) {
    match web.tls.clone() {
        None => serve(stream, web, answers).await,
        Some(tls) => {
            let accepted = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
            match tokio::time::timeout(HEADERS, accepted).await {
                Ok(Ok(stream)) => serve(stream, web, answers).await,
                Ok(Err(error)) => log::debug!("TLS handshake failed: {error}"),
                Err(_) => log::debug!("TLS handshake timed out after {HEADERS:?}"),
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, web: Arc<Web>, answers: Answers) {
    let service = service_fn(move |request| {
        let (answers, web) = (answers.clone(), Arc::clone(&web));
        async move {
            let answer = match web.users.check(&request).await {
                Checked::Accepted => answers.to(&request).await,
                Checked::Refused(answer) => answer,
            };
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        log::debug!("closed a connection: {error}");
    }
}
