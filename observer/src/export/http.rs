//! Responses by path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use observer_common::abi::LAYOUT;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{ReadRequest, Reading};
use crate::model::Report;
use crate::process;
use crate::view::json;
use crate::view::prometheus::{self, Form, Own, Scrape};

/// Concurrent readings: each takes the memory of a whole snapshot and its text.
const SCRAPES: usize = 2;
/// Time limit of a reading; after it, the client gets an error.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
const TEXT: &str = "text/plain; charset=utf-8";
const LANDING: &str = "<!doctype html><title>Observer</title><h1>Observer</h1><ul>
<li><a href=\"/metrics\">/metrics</a><li><a href=\"/api/v1/snapshot\">/api/v1/snapshot</a>
<li><a href=\"/healthz\">/healthz</a><li><a href=\"/readyz\">/readyz</a></ul>
";

pub(super) type Answer = Response<Full<Bytes>>;

/// Responds to requests.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    requests: mpsc::Sender<ReadRequest>,
    scrapes: Arc<Semaphore>,
}

impl Answers {
    pub(super) fn new(requests: mpsc::Sender<ReadRequest>) -> Self {
        Self { requests, scrapes: Arc::new(Semaphore::new(SCRAPES)) }
    }

    /// The response to an authorized request.
    pub(super) async fn to(&self, request: &Request<Incoming>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed; use GET or HEAD\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path() {
            "/" => answer(StatusCode::OK, "text/html; charset=utf-8", LANDING),
            "/metrics" => self.metrics(request).await,
            "/api/v1/snapshot" => self.snapshot().await,
            "/healthz" => match self.errors().await {
                Ok(_) => plain(StatusCode::OK, "ok\n"),
                Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
            },
            "/readyz" => match self.errors().await {
                Ok(errors) if errors.is_empty() => plain(StatusCode::OK, "ready\n"),
                Ok(errors) => plain(StatusCode::SERVICE_UNAVAILABLE, errors.join("\n") + "\n"),
                Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
            },
            _ => plain(
                StatusCode::NOT_FOUND,
                "not found; available: /metrics, /api/v1/snapshot, /healthz, /readyz\n",
            ),
        }
    }

    async fn metrics(&self, request: &Request<Incoming>) -> Answer {
        let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let form = Form::accepted(accept);
        // Until the text is complete; a waiting request costs only its connection.
        let _turn = self.scrapes.acquire().await;
        let began = Instant::now();
        let reading = match self.read().await {
            Ok(reading) => reading,
            Err(why) => return plain(StatusCode::SERVICE_UNAVAILABLE, why),
        };
        let own = Own {
            cpu: process::own_cpu(),
            resident: process::own_memory(),
            reading: began.elapsed(),
            unwatched: reading.unwatched,
            peers: reading.peers,
            layout: LAYOUT,
        };
        let scrape = Scrape { snapshot: reading.snapshot, paths: reading.paths, own };
        match prometheus::text(scrape, form) {
            Ok(text) => answer(StatusCode::OK, form.content_type(), text),
            Err(error) => {
                plain(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the metrics: {error}\n"))
            }
        }
    }

    async fn snapshot(&self) -> Answer {
        let _turn = self.scrapes.acquire().await;
        match self.read().await {
            Ok(reading) => {
                let text = json::line(&Report::total(&reading.snapshot)) + "\n";
                answer(StatusCode::OK, "application/json", text)
            }
            Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }

    async fn read(&self) -> Result<Reading, String> {
        self.request(ReadRequest::Read).await?.map_err(|why| why + "\n")
    }

    async fn errors(&self) -> Result<Vec<String>, String> {
        self.request(ReadRequest::Errors).await
    }

    async fn request<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> ReadRequest) -> Result<T, String> {
        let (give, get) = oneshot::channel();
        let response = async {
            self.requests.send(request(give)).await.ok()?;
            get.await.ok()
        };
        match tokio::time::timeout(READ_TIMEOUT, response).await {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err("the exporter is shutting down\n".to_owned()),
            Err(_) => {
                Err(format!("cannot read the counters: no response within {} s\n", READ_TIMEOUT.as_secs()))
            }
        }
    }
}

/// A plain-text response.
pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    answer(status, TEXT, text)
}

fn answer(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
