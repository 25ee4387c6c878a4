//! What is different between two topologies: what to attach, to detach and to write anew.
//!
//! A device is who its name says: Felix deletes and makes `vxlan.calico` anew, with another interface
//! index, and its totals go on.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Block, Peer, Topology, Watched};

/// What is different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Devices that are to be watched now.
    pub attach: Vec<Watched>,
    /// Devices that are to be watched no longer, or are gone.
    pub detach: Vec<Watched>,
    /// Devices that were deleted and made anew: their hooks are lost.
    pub recreated: Vec<Recreated>,
    /// Devices that stayed, with other facts (MTU, role, underlay).
    pub update: Vec<Watched>,
    /// Peers that are new or have other facts.
    pub peers: Vec<Peer>,
    /// Addresses that are no peer's any more.
    pub peers_gone: Vec<IpAddr>,
    /// Blocks that are new or have other facts.
    pub blocks: Vec<Block>,
    /// Blocks that are gone.
    pub blocks_gone: Vec<Block>,
    /// [`Topology::config`] differs.
    pub config: bool,
    /// [`Topology::size_bounds`] differs.
    pub size_bounds: bool,
}

/// A device that was deleted and made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recreated {
    /// Its interface index before.
    pub old_ifindex: u32,
    /// The device now.
    pub watched: Watched,
}

impl Changes {
    /// What is to be done to get from `old` to `new`. Detach first: a renamed device is one to detach
    /// and one to attach, with the same interface index.
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

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What of `new` is not in `old`, and what of `old` has no successor in `new`.
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
