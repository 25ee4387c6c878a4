//! The HTTP side of `observer export`: it knows neither the kernel nor its maps, and requests for readings
//! over a channel. Whoever owns the maps answers between two cares for the hooks, so that no client,
//! slow or in numbers, ever holds them up.

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

/// What a scrape needs of the owner of the maps.
#[derive(Debug)]
pub struct Reading {
    /// All counters.
    pub snapshot: Snapshot,
    /// Its paths, as they are exported.
    pub paths: Vec<Named>,
    /// Time in which nobody counted.
    pub unwatched: Duration,
    /// Peers that are named at most.
    pub peers: usize,
}

/// A question to the owner of the maps.
#[derive(Debug)]
pub enum ReadRequest {
    /// All counters now, or why they cannot be read.
    Read(oneshot::Sender<Result<Reading, String>>),
    /// What is in trouble: lost hooks, for example. Cheap.
    Errors(oneshot::Sender<Vec<String>>),
}
