//! Pod blocks of other nodes by the way they are routed. The mode follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use observer_common::kind::Class;
use serde::{Deserialize, Serialize};

use super::{Scope, Topology};

/// Pod blocks of other nodes that are routed the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Routing {
    /// The blocks are IPv6.
    pub ipv6: bool,
    /// The tunnel of their routes; [`Class::None`] for native ones.
    #[serde(rename = "encapsulation")]
    pub class: Class,
    /// The scope of their next hops.
    pub scope: Scope,
    /// Number of blocks.
    pub blocks: u64,
    /// Number of nodes (of next hops if native).
    pub peers: u64,
}

impl Topology {
    /// The pod blocks of other nodes by family, encapsulation and scope.
    #[must_use]
    pub fn routing(&self) -> Vec<Routing> {
        let mut ways: BTreeMap<(bool, Class, Scope), (u64, BTreeSet<IpAddr>)> = BTreeMap::new();
        for block in &self.blocks {
            let way = (block.address.is_ipv6(), block.class, self.scope_of(block.peer));
            let (blocks, peers) = ways.entry(way).or_default();
            *blocks += 1;
            peers.insert(block.peer);
        }
        ways.into_iter()
            .map(|((ipv6, class, scope), (blocks, peers))| Routing {
                ipv6,
                class,
                scope,
                blocks,
                peers: peers.len() as u64,
            })
            .collect()
    }
}
