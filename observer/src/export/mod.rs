//! The HTTP server of `observer export`. It requests readings over a channel from the owner of the maps, which
//! answers between two checks of the hooks, so that slow or many clients never delay these.

mod auth;
mod http;
pub mod notify;
mod server;
mod tls;
mod web;

use std::time::Duration;

use tokio::sync::oneshot;

pub use server::{Reload, Server, ServerError};
pub use web::{Web, WebError};

use crate::snapshot::Snapshot;
use crate::view::prometheus::Named;

/// What a scrape needs from the owner of the maps.
#[derive(Debug)]
pub struct Reading {
    /// All counters.
    pub snapshot: Snapshot,
    /// Its exported paths.
    pub paths: Vec<Named>,
    /// Time without an exporter.
    pub unwatched: Duration,
    /// Maximum number of peers exported separately.
    pub peers: usize,
}

/// A request to the owner of the maps.
#[derive(Debug)]
pub enum ReadRequest {
    /// All counters, or why they cannot be read.
    Read(oneshot::Sender<Result<Reading, String>>),
    /// Current errors, such as lost hooks. Cheap.
    Errors(oneshot::Sender<Vec<String>>),
}
