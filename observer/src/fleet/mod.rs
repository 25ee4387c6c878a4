//! The fleet, as a Prometheus that scrapes `observer export` on every node knows it.
//!
//! [`Client`] asks, [`Fleet::of`] puts the answers together without asking anybody.

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

/// Answers by question.
pub type Answers = BTreeMap<Query, Answer>;

/// Everything that is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// When, by the server's clock.
    pub taken: Duration,
    /// The time that rates cover.
    pub window: Duration,
    /// Nodes, those with the largest share of overhead first, unknown ones last.
    pub nodes: Vec<Node>,
    /// The sum over nodes.
    pub traffic: Traffic,
    /// How many nodes are in which mode.
    pub modes: Vec<ModeCount>,
    /// How pod blocks are routed, over all nodes.
    pub routes: Vec<Route>,
    /// Paths across subnets with most bytes, as the sender counts them.
    pub pairs: Vec<Pair>,
    /// How far a switch is.
    pub progress: Option<Progress>,
    /// What is incomplete.
    pub notes: Vec<String>,
}

/// Rates on underlay devices, per second; `None`: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Link-layer bytes.
    pub wire: Option<f64>,
    /// Bytes from the outer IP header on.
    pub l3: Option<f64>,
    /// L3 bytes − inner bytes.
    pub overhead: Option<f64>,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its cluster; empty where series have no such label.
    pub cluster: String,
    /// Label `node`, or the target's address where there is none.
    pub name: String,
    /// Address of the target, without its port.
    pub address: String,
    /// It answered the last scrape.
    pub answering: bool,
    /// Observer's version.
    pub version: String,
    /// Modes by address family (`ipv4`, `ipv6`).
    pub modes: BTreeMap<String, String>,
    /// Its traffic.
    pub traffic: Traffic,
    /// Fragments a second among pod packets; unknown where nothing was counted.
    pub fragments: Option<f64>,
    /// Packets a second that do not fit into the tunnel.
    pub would_drop: Option<f64>,
    /// PTB messages a second.
    pub ptb: Option<f64>,
    /// Hooks that are lost: figures of their devices are too small. Unknown of a node that is silent.
    pub hooks_lost: Option<u64>,
    /// Packets a second that found no place in the table of paths.
    pub overflow: Option<f64>,
    /// How its pod blocks are routed.
    pub routes: Vec<Route>,
}

/// Pod blocks that are routed in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// `same-subnet`, `cross-subnet`, `unknown`.
    pub scope: String,
    /// The class's label.
    pub encapsulation: String,
    /// How many.
    pub blocks: u64,
    /// Nodes that route any so; 1 for a node's own.
    pub nodes: u64,
}

/// Nodes of one mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeCount {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// The mode's label.
    pub mode: String,
    /// How many.
    pub nodes: u64,
}

/// A path across subnets.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The cluster of the sender.
    pub cluster: String,
    /// The node that sends.
    pub from: String,
    /// The node that receives, by name where its address is a target's, else the address.
    pub to: String,
    /// The address.
    pub peer: String,
    /// The class's label.
    pub encapsulation: String,
    /// L3 bytes a second.
    pub l3: f64,
    /// Overhead bytes a second.
    pub overhead: Option<f64>,
}

impl Traffic {
    /// Overhead bytes / L3 bytes; unknown over nothing.
    #[must_use]
    pub fn overhead_ratio(&self) -> Option<f64> {
        ratio(self.overhead?, self.l3?)
    }
}

impl Pair {
    /// Overhead bytes / L3 bytes; unknown over nothing.
    #[must_use]
    pub fn overhead_ratio(&self) -> Option<f64> {
        ratio(self.overhead?, self.l3)
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// Asks everything, as of one moment: that of the first answer.
///
/// # Errors
/// The first question that got no answer, or that nobody is known.
pub fn ask(client: &Client, scope: &Scope, goal: Option<Goal>) -> Result<Fleet, FleetError> {
    let mut answers = Answers::new();
    let mut at = None;
    for query in Query::ALL {
        let answer = client.query(&query.promql(scope), at)?;
        at = at.or_else(|| answer.samples.first().map(|sample| sample.time));
        answers.insert(query, answer);
    }
    Fleet::of(&answers, scope, goal).ok_or_else(|| FleetError::Nobody {
        url: client.url().to_owned(),
        about: if scope.selector.is_empty() { String::new() } else { format!(" where {}", scope.selector) },
    })
}
