//! Pod blocks by the way that leads to them: what a mode is told from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use observer_common::kind::Class;

use super::{Block, Scope, Topology};
use crate::snapshot::Routing;

impl Topology {
    /// How many pod blocks of other nodes are routed through which encapsulation, by family and scope.
    #[must_use]
    pub fn routing(&self) -> Vec<Routing> {
        let mut ways: BTreeMap<(bool, Class, Scope), (u64, BTreeSet<IpAddr>)> = BTreeMap::new();
        for block in &self.blocks {
            let way = (block.address.is_ipv6(), block.class, self.block_scope(block));
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

    /// Where the next hop of a block is: told from the underlay that has it in its prefix, if any has.
    fn block_scope(&self, block: &Block) -> Scope {
        let underlays = self.watched.iter().filter(|watched| watched.role == super::Role::Underlay);
        let scopes: BTreeSet<Scope> =
            underlays.map(|watched| self.scope(watched.device.ifindex, block.peer)).collect();
        // The order of the enumeration is that of what they say.
        scopes.first().copied().unwrap_or(Scope::Unknown)
    }
}
