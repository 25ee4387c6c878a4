//! Attributes the kernel's native paths, which are counted by pod block, to peer nodes.
//!
//! A block may move to another node. Its earlier counts stay with the old peer, so that no path ever decreases.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use observer_common::abi::BlockKey;
use observer_common::counters::{PATH_COUNTERS, PathCounter};
use observer_common::kind::{Class, Direction};
use observer_common::path::{PathKey, PathStats, VNI_NONE, VNI_UNKNOWN};

use crate::snapshot::{PathId, Vni};
use crate::topology::convert;

pub(super) type Counters = [u64; PATH_COUNTERS];

/// The names of devices by slot.
pub type Names = BTreeMap<u16, Arc<str>>;

/// A path's identity without its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    direction: Direction,
    class: Class,
    vni: Vni,
    peer: IpAddr,
}

impl Who {
    fn at(self, device: &Arc<str>) -> PathId {
        let Self { direction, class, vni, peer } = self;
        PathId { device: Arc::clone(device), direction, class, vni, peer, local: None }
    }
}

/// The node of every block, and counts of nodes that blocks were on before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockAttribution {
    pub(super) homes: BTreeMap<BlockKey, IpAddr>,
    /// Counters of a kernel path when its block moved to its current node.
    pub(super) base: BTreeMap<PathKey, Counters>,
    /// Counts of nodes that blocks have left.
    pub(super) retired: BTreeMap<PathId, Counters>,
}

impl BlockAttribution {
    /// Sets the node of every block. `raw` is what the kernel has counted. Returns the kernel paths without a
    /// block, which are to be removed.
    pub fn assign(
        &mut self,
        homes: BTreeMap<BlockKey, IpAddr>,
        raw: &[(PathKey, PathStats)],
        names: &Names,
    ) -> Vec<PathKey> {
        let mut gone = Vec::new();
        for (key, stats) in raw.iter().filter(|(key, _)| key.class == Class::None as u8) {
            let block = block_of(key);
            let (before, now) = (self.homes.get(&block).copied(), homes.get(&block));
            if before.as_ref() == now {
                continue;
            }
            if let Some(id) = before.and_then(|peer| native_id(key, peer, names)) {
                let counted = self.counted(key, stats);
                add(self.retired.entry(id).or_insert([0; PATH_COUNTERS]), &counted);
            }
            if now.is_some() {
                self.base.insert(*key, stats.0);
            } else {
                self.base.remove(key);
                gone.push(*key);
            }
        }
        self.homes = homes;
        gone
    }

    /// Blocks whose node differs in `homes`, with the node that applies until [`Self::assign`].
    pub fn moving(&self, homes: &BTreeMap<BlockKey, IpAddr>) -> Vec<(BlockKey, Option<IpAddr>)> {
        let gone = self.homes.iter().filter(|(block, home)| homes.get(block) != Some(*home));
        let new = homes.keys().filter(|block| !self.homes.contains_key(block));
        gone.map(|(block, home)| (*block, Some(*home))).chain(new.map(|block| (*block, None))).collect()
    }

    /// The paths by peer node, ordered by id.
    pub fn paths(&self, raw: &[(PathKey, PathStats)], names: &Names) -> Vec<(PathId, Counters)> {
        // Sorts thousands of paths by small keys, without comparing names or moving counters.
        let retired: Vec<(&PathId, &Counters)> = self.retired.iter().collect();
        let mut devices: Vec<&Arc<str>> =
            names.values().chain(retired.iter().map(|(id, _)| &id.device)).collect();
        devices.sort_unstable();
        devices.dedup();
        let rank = |name: &Arc<str>| devices.binary_search(&name).unwrap_or(devices.len());
        let ranks: BTreeMap<u16, usize> = names.iter().map(|(slot, name)| (*slot, rank(name))).collect();
        let mut order = Vec::with_capacity(retired.len() + raw.len());
        for (n, (id, _)) in retired.iter().enumerate() {
            let PathId { device, direction, class, vni, peer, .. } = id;
            let who = Who { direction: *direction, class: *class, vni: *vni, peer: *peer };
            order.push((rank(device), who, n));
        }
        for (n, (key, _)) in raw.iter().enumerate() {
            let who = if key.class == Class::None as u8 {
                self.homes.get(&block_of(key)).map(|peer| native(key, *peer))
            } else {
                tunnel(key)
            };
            if let (Some(who), Some(rank)) = (who, ranks.get(&key.slot)) {
                order.push((*rank, who, retired.len() + n));
            }
        }
        order.sort_unstable();
        let mut paths: Vec<(PathId, Counters)> = Vec::with_capacity(order.len());
        let mut before = None;
        for (rank, who, n) in order {
            let counters = match n.checked_sub(retired.len()) {
                None => *retired[n].1,
                Some(n) => self.counted(&raw[n].0, &raw[n].1),
            };
            match paths.last_mut() {
                Some((_, sum)) if before == Some((rank, who)) => add(sum, &counters),
                _ => paths.push((who.at(devices[rank]), counters)),
            }
            before = Some((rank, who));
        }
        paths
    }

    /// What a kernel path has counted since its block moved to its current node.
    fn counted(&self, key: &PathKey, stats: &PathStats) -> Counters {
        let mut counted = stats.0;
        if let Some(base) = self.base.get(key) {
            for counter in PathCounter::ALL {
                let i = counter as usize;
                counted[i] = counter.merge().since(counted[i], base[i]);
            }
        }
        counted
    }
}

fn block_of(key: &PathKey) -> BlockKey {
    BlockKey { address: key.peer, bits: key.vni }
}

fn add(sum: &mut Counters, counters: &Counters) {
    for counter in PathCounter::ALL {
        counter.merge().add(&mut sum[counter as usize], counters[counter as usize]);
    }
}

fn direction(key: &PathKey) -> Direction {
    if key.direction == Direction::Ingress as u8 { Direction::Ingress } else { Direction::Egress }
}

fn native(key: &PathKey, peer: IpAddr) -> Who {
    Who { direction: direction(key), class: Class::None, vni: Vni::None, peer }
}

fn native_id(key: &PathKey, peer: IpAddr, names: &Names) -> Option<PathId> {
    Some(native(key, peer).at(names.get(&key.slot)?))
}

fn tunnel(key: &PathKey) -> Option<Who> {
    let class = Class::from_index(key.class)?;
    Some(Who {
        direction: direction(key),
        class,
        vni: match key.vni {
            VNI_UNKNOWN => Vni::Unknown,
            VNI_NONE if !matches!(class, Class::Vxlan | Class::Geneve) => Vni::None,
            vni => Vni::Own(vni),
        },
        peer: convert::from_wire(key.peer),
    })
}

/// The identity of a tunnel path; the caller sets the VNI of an unknown peer.
pub fn tunnel_id(key: &PathKey, names: &Names) -> Option<PathId> {
    Some(tunnel(key)?.at(names.get(&key.slot)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use observer_common::address::Address;

    const BLOCK: BlockKey = BlockKey { address: Address::from_v4([10, 244, 3, 64]), bits: 122 };

    fn raw(packets: u64) -> Vec<(PathKey, PathStats)> {
        let key = PathKey { peer: BLOCK.address, vni: BLOCK.bits, slot: 0, direction: 0, class: 0 };
        let mut stats = PathStats::ZERO;
        stats.0[PathCounter::Packets as usize] = packets;
        vec![(key, stats)]
    }

    fn packets(attribution: &BlockAttribution, raw: &[(PathKey, PathStats)], peer: &str) -> Option<u64> {
        let names = Names::from([(0, "eth0".into())]);
        let peer: IpAddr = peer.parse().expect("an address");
        let paths = attribution.paths(raw, &names);
        paths.iter().find(|(id, _)| id.peer == peer).map(|(_, c)| c[PathCounter::Packets as usize])
    }

    #[test]
    fn moving_a_block_keeps_counts_with_the_old_peer() {
        let names = Names::from([(0, "eth0".into())]);
        let home = |peer: &str| BTreeMap::from([(BLOCK, peer.parse().expect("an address"))]);
        let mut attribution = BlockAttribution::default();
        assert!(attribution.assign(home("10.0.0.2"), &[], &names).is_empty());
        assert_eq!(packets(&attribution, &raw(7), "10.0.0.2"), Some(7));

        assert!(attribution.assign(home("10.0.0.3"), &raw(10), &names).is_empty());
        assert_eq!(packets(&attribution, &raw(15), "10.0.0.2"), Some(10));
        assert_eq!(packets(&attribution, &raw(15), "10.0.0.3"), Some(5));

        // Back again: both continue their counts.
        assert!(attribution.assign(home("10.0.0.2"), &raw(20), &names).is_empty());
        assert_eq!(packets(&attribution, &raw(22), "10.0.0.2"), Some(12));
        assert_eq!(packets(&attribution, &raw(22), "10.0.0.3"), Some(10));
    }

    #[test]
    fn removing_a_block_keeps_its_counts() {
        let names = Names::from([(0, "eth0".into())]);
        let mut attribution = BlockAttribution::default();
        let home = BTreeMap::from([(BLOCK, "10.0.0.2".parse().expect("an address"))]);
        attribution.assign(home, &[], &names);
        let gone = attribution.assign(BTreeMap::new(), &raw(9), &names);
        assert_eq!(gone, [raw(0)[0].0]);
        assert_eq!(packets(&attribution, &[], "10.0.0.2"), Some(9));
    }
}
