//! Selection of the paths with their own series. No series ever decreases.
//!
//! The peers with the most wire bytes are selected and stay selected: another peer replaces one only if it has more than
//! twice its bytes. Counts from before a path was selected stay with `other`, and counts while it was selected are never
//! added to `other`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Error;
use std::net::IpAddr;

use observer_common::counters::{PATH_COUNTERS, PathCounter};
use observer_common::kind::{Class, Direction};
use prometheus_client::encoding::DescriptorEncoder;
use serde::{Deserialize, Serialize};

use super::families as f;
use super::write::Writer;
use crate::model::PathFigures;
use crate::path_name::PathName;
use crate::snapshot::{Path, PathId, Vni};
use crate::topology::Scope;

/// Maximum number of paths per selected peer: two directions, tunnel and native, times two.
pub const PATHS_PER_PEER: usize = 8;

type Counters = [u64; PATH_COUNTERS];

/// An exported path, or the sum of other paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The device.
    pub device: String,
    /// Direction.
    pub direction: Direction,
    /// Encapsulation.
    pub class: Class,
    /// VNI, peer and scope; `None`: the sum of all other paths.
    pub peer: Option<(Vni, IpAddr, Scope)>,
    /// The figures.
    pub figures: PathFigures,
}

/// The selected peers and paths.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    peers: BTreeSet<IpAddr>,
    /// Selected paths, each with the part of its counts that belongs to `other`.
    named: BTreeMap<PathId, Counters>,
    /// Other paths, each with the part of its counts that does not belong to `other`.
    left: BTreeMap<PathId, Counters>,
    /// The selection has changed since the last call of [`Self::changed`].
    changed: bool,
    /// Resumed from a saved selection: paths missing from it belonged to `other`.
    resumed: bool,
}

/// A saved selection.
#[derive(Deserialize, Serialize)]
struct Saved {
    named: Vec<(PathName, Vec<u64>)>,
    left: Vec<(PathName, Vec<u64>)>,
}

impl Selection {
    /// Resumes a saved selection, so that no series decreases after a restart.
    #[must_use]
    pub fn resume(saved: &serde_json::Value) -> Self {
        let Ok(saved) = Saved::deserialize(saved) else { return Self::default() };
        let read = |rows: &[(PathName, Vec<u64>)]| -> BTreeMap<PathId, Counters> {
            let row = |(name, values): &(PathName, Vec<u64>)| {
                let mut counters = [0; PATH_COUNTERS];
                counters.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
                Some((name.id()?, counters))
            };
            rows.iter().filter_map(row).collect()
        };
        let named = read(&saved.named);
        let peers = named.keys().map(|id| id.peer).collect();
        Self { peers, named, left: read(&saved.left), changed: false, resumed: true }
    }

    /// The selection for [`Self::resume`], if it has changed since the last call.
    pub fn changed(&mut self) -> Option<serde_json::Value> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let rows = |all: &BTreeMap<PathId, Counters>, zero: bool| {
            let saved =
                all.iter().filter(|(_, counters)| zero || counters.iter().any(|counter| *counter != 0));
            saved.map(|(id, counters)| (id.into(), counters.to_vec())).collect()
        };
        serde_json::to_value(Saved { named: rows(&self.named, true), left: rows(&self.left, false) }).ok()
    }

    /// Selects at most `limit` peers with [`PATHS_PER_PEER`] paths each, and returns the exported paths and one sum for
    /// each device, direction and class.
    pub fn choose(&mut self, paths: &[Path], limit: usize) -> Vec<Named> {
        if std::mem::take(&mut self.resumed) {
            for path in paths.iter().filter(|path| !self.named.contains_key(&path.id)) {
                self.left.entry(path.id.clone()).or_insert([0; PATH_COUNTERS]);
            }
        }
        self.choose_peers(paths, limit);
        self.update(paths, limit.saturating_mul(PATHS_PER_PEER));
        self.export(paths)
    }

    fn choose_peers(&mut self, paths: &[Path], limit: usize) {
        let mut bytes: BTreeMap<IpAddr, u64> = BTreeMap::new();
        for path in paths {
            *bytes.entry(path.id.peer).or_default() += path.counters[PathCounter::WireBytes as usize];
        }
        self.peers.retain(|peer| bytes.contains_key(peer));
        let of = |peer: &IpAddr| bytes.get(peer).copied().unwrap_or(0);
        let mut ranked: Vec<(u64, IpAddr)> = self.peers.iter().map(|peer| (of(peer), *peer)).collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        for (_, peer) in ranked.split_off(limit.min(ranked.len())) {
            self.peers.remove(&peer);
        }
        let mut waiting: Vec<(u64, IpAddr)> =
            bytes.iter().filter(|(peer, _)| !self.peers.contains(*peer)).map(|(p, b)| (*b, *p)).collect();
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        for (bytes, peer) in waiting {
            if self.peers.len() < limit {
                self.peers.insert(peer);
            } else if ranked.last().is_some_and(|(least, _)| bytes / 2 > *least) {
                if let Some((_, least)) = ranked.pop() {
                    self.peers.remove(&least);
                }
                self.peers.insert(peer);
            } else {
                break;
            }
        }
    }

    /// Adds and removes selected paths.
    fn update(&mut self, paths: &[Path], most: usize) {
        let now: BTreeMap<&PathId, &Counters> = paths.iter().map(|path| (&path.id, &path.counters)).collect();
        let leaving: Vec<PathId> =
            self.named.keys().filter(|id| !self.peers.contains(&id.peer)).cloned().collect();
        for id in leaving {
            if let (Some(others), Some(counted)) = (self.named.remove(&id), now.get(&id)) {
                let own = since(counted, &others);
                self.left.insert(id, own);
                self.changed = true;
            }
        }
        for path in paths.iter().filter(|path| self.peers.contains(&path.id.peer)) {
            if self.named.len() >= most {
                break;
            }
            if self.named.contains_key(&path.id) {
                continue;
            }
            // What belonged to `other` so far stays there.
            let others = match self.left.remove(&path.id) {
                Some(own) => since(&path.counters, &own),
                None => [0; PATH_COUNTERS],
            };
            self.named.insert(path.id.clone(), others);
            self.changed = true;
        }
        for path in paths.iter().filter(|path| !self.named.contains_key(&path.id)) {
            if !self.left.contains_key(&path.id) {
                self.left.insert(path.id.clone(), [0; PATH_COUNTERS]);
            }
        }
    }

    fn export(&self, paths: &[Path]) -> Vec<Named> {
        let mut named = Vec::new();
        let mut sums: BTreeMap<(&str, Direction, Class), Counters> = BTreeMap::new();
        for path in paths {
            let PathId { device, direction, class, vni, peer, .. } = &path.id;
            let others = if let Some(others) = self.named.get(&path.id) {
                named.push(Named {
                    device: device.to_string(),
                    direction: *direction,
                    class: *class,
                    peer: Some((*vni, *peer, path.scope)),
                    figures: PathFigures(since(&path.counters, others)),
                });
                *others
            } else {
                self.left.get(&path.id).map_or(path.counters, |own| since(&path.counters, own))
            };
            if !self.named.contains_key(&path.id) || others != [0; PATH_COUNTERS] {
                let sum = sums.entry((device, *direction, *class)).or_insert([0; PATH_COUNTERS]);
                for counter in PathCounter::ALL {
                    counter.merge().add(&mut sum[counter as usize], others[counter as usize]);
                }
            }
        }
        named.extend(sums.into_iter().map(|((device, direction, class), sum)| Named {
            device: device.to_owned(),
            direction,
            class,
            peer: None,
            figures: PathFigures(sum),
        }));
        named
    }
}

/// The difference; maxima are not exported and are unchanged.
fn since(later: &Counters, earlier: &Counters) -> Counters {
    PathFigures(*later).since(&PathFigures(*earlier)).0
}

/// Writes the families of paths.
pub(super) fn encode(to: &mut DescriptorEncoder, paths: &[Named]) -> Result<(), Error> {
    type Value = fn(&PathFigures) -> u64;
    let families: [(&f::Family, Value); 9] = [
        (&f::PATH_PACKETS, PathFigures::packets),
        (&f::PATH_WIRE_BYTES, |figures| figures.get(PathCounter::WireBytes)),
        (&f::PATH_L3_BYTES, |figures| figures.get(PathCounter::L3Bytes)),
        (&f::PATH_OVERHEAD_BYTES, PathFigures::overhead_bytes),
        (&f::PATH_FRAGMENTS, PathFigures::fragments),
        (&f::PATH_OVERSIZED, |figures| figures.get(PathCounter::Oversized)),
        (&f::PATH_WOULD_FRAGMENT, |figures| figures.get(PathCounter::WouldFragment)),
        (&f::PATH_WOULD_DROP, |figures| figures.get(PathCounter::WouldDrop)),
        (&f::PATH_PTB, |figures| figures.get(PathCounter::Ptb)),
    ];
    let labels: Vec<[String; 3]> = paths.iter().map(path_labels).collect();
    for (family, value) in families {
        let mut writer = Writer::start(to, family)?;
        for (path, [vni, peer, scope]) in paths.iter().zip(&labels) {
            let labels = [
                ("device", path.device.as_str()),
                ("direction", path.direction.label()),
                ("encapsulation", path.class.label()),
                ("vni", vni.as_str()),
                ("peer", peer.as_str()),
                ("scope", scope.as_str()),
            ];
            writer.counter(&labels, value(&path.figures))?;
        }
    }
    Ok(())
}

/// VNI, peer and scope.
fn path_labels(path: &Named) -> [String; 3] {
    let Some((vni, peer, scope)) = path.peer else {
        return [String::new(), "other".to_owned(), String::new()];
    };
    let vni = match vni {
        Vni::None => String::new(),
        Vni::Own(number) => number.to_string(),
        Vni::Unknown => "unknown".to_owned(),
    };
    [vni, peer.to_string(), scope.label().to_owned()]
}
