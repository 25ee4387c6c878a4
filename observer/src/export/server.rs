//! Listens, in a thread of its own.

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

/// Connections at the same time; who comes later waits in the kernel's queue.
const CONNECTIONS: usize = 64;
/// How long the headers of a request may take.
const HEADERS: Duration = Duration::from_secs(10);
/// How long a connection may live, requests or not: a client that does not read holds its place no longer.
const LIFETIME: Duration = Duration::from_secs(300);
/// How much of headers is read.
const HEADER_BYTES: usize = 16 * 1024;

/// The server could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}: {cause}; {remedy}")]
pub struct ServerError {
    address: String,
    cause: String,
    remedy: &'static str,
}

/// Sockets that are open, not yet served.
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
    /// From the next connection on.
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
    /// An address is taken, or not ours.
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
                remedy: "end who listens there, or name another address with --listen",
            })
        });
        Ok(Self {
            listeners: listeners.collect::<Result<_, _>>()?,
            web: Arc::new(RwLock::new(Arc::new(web))),
        })
    }

    /// The addresses, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// What replaces certificates and passwords later.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload(Arc::clone(&self.web))
    }

    /// Serves in a thread of its own, for as long as the process lives.
    ///
    /// # Errors
    /// The thread or its event loop cannot be had.
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
                        && tokio::time::timeout(LIFETIME, greet(stream, web, answers)).await.is_err()
                    {
                        log::debug!("a connection ended after {LIFETIME:?}");
                    }
                    drop(place);
                });
            }
            // No descriptors left, for example: it passes.
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Speaks TLS first where that is wanted.
async fn greet(stream: tokio::net::TcpStream, web: Arc<Web>, answers: Answers) {
    match web.tls.clone() {
        None => serve(stream, web, answers).await,
        Some(tls) => {
            let accepted = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
            match tokio::time::timeout(HEADERS, accepted).await {
                Ok(Ok(stream)) => serve(stream, web, answers).await,
                Ok(Err(error)) => log::debug!("no TLS: {error}"),
                Err(_) => log::debug!("no TLS within {HEADERS:?}"),
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, web: Arc<Web>, answers: Answers) {
    let service = service_fn(move |request| {
        let (answers, web) = (answers.clone(), Arc::clone(&web));
        async move {
            let answer = match web.users.check(&request).await {
                Checked::Welcome => answers.to(&request).await,
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
        log::debug!("a connection ended: {error}");
    }
}
