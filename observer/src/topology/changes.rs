//! Differences between two topologies: what to attach, detach and rewrite.
//!
//! Devices are identified by name. Felix deletes and recreates `vxlan.calico` with another interface index,
//! and its totals continue.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Block, Peer, Topology, Watched};

/// The differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Devices to watch from now on.
    pub attach: Vec<Watched>,
    /// Devices that are gone or no longer to be watched.
    pub detach: Vec<Watched>,
    /// Devices that were deleted and recreated: their hooks are lost.
    pub recreated: Vec<Recreated>,
    /// Devices with a changed MTU, role, underlay or other property.
    pub update: Vec<Watched>,
    /// New and changed peers.
    pub peers: Vec<Peer>,
    /// Addresses of removed peers.
    pub peers_gone: Vec<IpAddr>,
    /// New and changed blocks.
    pub blocks: Vec<Block>,
    /// Removed blocks.
    pub blocks_gone: Vec<Block>,
    /// [`Topology::config`] differs.
    pub config: bool,
    /// [`Topology::size_bounds`] differs.
    pub size_bounds: bool,
}

/// A device that was deleted and recreated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recreated {
    /// Its previous interface index.
    pub old_ifindex: u32,
    /// The new device.
    pub watched: Watched,
}

impl Changes {
    /// The changes from `old` to `new`. Apply detachments first: a renamed device is detached and attached
    /// with the same interface index.
    #[must_use]
    pub fn between(old: &Topology, new: &Topology) -> Self {
        let mut changes = Self {
            config: old.config() != new.config(),
            size_bounds: old.size_bounds() != new.size_bounds(),
            ..Self::default()
        };
        let before: HashMap<&str, &Watched> =
            old.watched.iter().map(|watched| (watched.device.name.as_str(), watched)).collect();
        for watched in &new.watched {
            match before.get(watched.device.name.as_str()) {
                None => changes.attach.push(watched.clone()),
                Some(was) if was.device.ifindex != watched.device.ifindex => changes
                    .recreated
                    .push(Recreated { old_ifindex: was.device.ifindex, watched: watched.clone() }),
                Some(was) if **was != *watched => changes.update.push(watched.clone()),
                Some(_) => {}
            }
        }
        let gone = |was: &&Watched| !new.watched.iter().any(|now| now.device.name == was.device.name);
        changes.detach = old.watched.iter().filter(gone).cloned().collect();

        let key = |peer: &Peer| peer.address;
        (changes.peers, changes.peers_gone) = differences(&old.peers, &new.peers, key, key);
        let key = |block: &Block| (block.address, block.prefix_len);
        (changes.blocks, changes.blocks_gone) = differences(&old.blocks, &new.blocks, key, |block| *block);
        changes
    }

    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Entries of `new` that are added or changed, and the ids of entries of `old` that are gone.
fn differences<T, K, G>(
    old: &[T],
    new: &[T],
    key: impl Fn(&T) -> K,
    gone: impl Fn(&T) -> G,
) -> (Vec<T>, Vec<G>)
where
    T: Copy + PartialEq,
    K: std::hash::Hash + Eq,
{
    let before: HashMap<K, &T> = old.iter().map(|entry| (key(entry), entry)).collect();
    let after: HashMap<K, &T> = new.iter().map(|entry| (key(entry), entry)).collect();
    let set = new.iter().filter(|entry| before.get(&key(entry)) != Some(entry)).copied().collect();
    let removed = old.iter().filter(|entry| !after.contains_key(&key(entry))).map(gone).collect();
    (set, removed)
}
