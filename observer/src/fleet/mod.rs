//! The fleet, from a Prometheus that scrapes `observer export` on every node.
//!
//! [`Client`] runs the queries; [`Fleet::of`] assembles the responses without I/O.

mod answer;
mod assemble;
mod client;
mod error;
mod goal;
mod query;

use std::collections::BTreeMap;
use std::time::Duration;

pub use answer::{Answer, Labels, Sample};
pub use client::{Client, Login};
pub use error::FleetError;
pub use goal::{Goal, Progress};
pub use query::{Query, Scope};

/// Responses by query.
pub type Answers = BTreeMap<Query, Answer>;

/// The fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Evaluation time by the server's clock.
    pub taken: Duration,
    /// The time that rates cover.
    pub window: Duration,
    /// Nodes by overhead ratio, the largest first, unknown ones last.
    pub nodes: Vec<Node>,
    /// The sum over nodes.
    pub traffic: Traffic,
    /// Number of nodes in each mode.
    pub modes: Vec<ModeCount>,
    /// How pod blocks are routed, over all nodes.
    pub routes: Vec<Route>,
    /// Paths across subnets with the most bytes, as counted by the sender.
    pub pairs: Vec<Pair>,
    /// Progress of a switch, if requested.
    pub progress: Option<Progress>,
    /// What is incomplete.
    pub notes: Vec<String>,
}

/// Rates on underlay devices, per second; `None` if unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Link-layer bytes.
    pub wire: Option<f64>,
    /// Bytes counted from the outer IP header.
    pub l3: Option<f64>,
    /// L3 bytes − inner bytes.
    pub overhead: Option<f64>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Label `cluster`, or empty.
    pub cluster: String,
    /// Label `node`, or the target's address.
    pub name: String,
    /// Address of the target without its port.
    pub address: String,
    /// It has current samples.
    pub answering: bool,
    /// Observer's version.
    pub version: String,
    /// Modes by address family (`ipv4`, `ipv6`).
    pub modes: BTreeMap<String, String>,
    /// Its traffic.
    pub traffic: Traffic,
    /// Fragments per second among pod packets; `None` if nothing was counted.
    pub fragments: Option<f64>,
    /// Packets per second that do not fit the tunnel.
    pub would_drop: Option<f64>,
    /// PTB messages per second.
    pub ptb: Option<f64>,
    /// Number of lost hooks; `None` for a silent node.
    pub hooks_lost: Option<u64>,
    /// Packets per second that did not fit the path table.
    pub overflow: Option<f64>,
    /// How its pod blocks are routed.
    pub routes: Vec<Route>,
}

/// Pod blocks that are routed the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// `same-subnet`, `cross-subnet`, `unknown`.
    pub scope: String,
    /// The class's label.
    pub encapsulation: String,
    /// Number of blocks.
    pub blocks: u64,
    /// Number of nodes with such routes; 1 in a node.
    pub nodes: u64,
}

/// Number of nodes in a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeCount {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// The mode's label.
    pub mode: String,
    /// Number of nodes.
    pub nodes: u64,
}

/// A path across subnets.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The cluster of the sender.
    pub cluster: String,
    /// The sending node.
    pub from: String,
    /// The receiving node: its name if its address is a target's, else the address.
    pub to: String,
    /// The receiver's address.
    pub peer: String,
    /// The class's label.
    pub encapsulation: String,
    /// L3 bytes per second.
    pub l3: f64,
    /// Overhead bytes per second.
    pub overhead: Option<f64>,
}

impl Traffic {
    /// Overhead bytes / L3 bytes; `None` without traffic.
    #[must_use]
    pub fn overhead_ratio(&self) -> Option<f64> {
        ratio(self.overhead?, self.l3?)
    }
}

impl Pair {
    /// Overhead bytes / L3 bytes; `None` without traffic.
    #[must_use]
    pub fn overhead_ratio(&self) -> Option<f64> {
        ratio(self.overhead?, self.l3)
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// Runs all queries, evaluated at the time of the first one.
///
/// # Errors
/// The first query that failed, or that there are no nodes.
pub fn fetch(client: &Client, scope: &Scope, goal: Option<Goal>) -> Result<Fleet, FleetError> {
    let mut answers = Answers::new();
    let mut at = None;
    for query in Query::ALL {
        let answer = client.query(&query.promql(scope), at)?;
        at = at.or_else(|| answer.samples.first().map(|sample| sample.time));
        answers.insert(query, answer);
    }
    Fleet::of(&answers, scope, goal).ok_or_else(|| FleetError::NoNodes {
        url: client.url().to_owned(),
        filter: if scope.selector.is_empty() { String::new() } else { format!(" with {}", scope.selector) },
    })
}
