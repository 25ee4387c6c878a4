//! Owned raw counters at one moment: what the kernel, a capture or a recording provides and the model reads.
//!
//! Everything is monotonic since the source started, and nothing is interpreted: rates, shares and
//! ratios are the model's.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use observer_common::abi::SIZE_CLASSES;
use observer_common::counters::{EVENTS, PATH_COUNTERS, TOTALS};
use observer_common::kind::{Class, Direction};
use serde::{Deserialize, Serialize};

use crate::cost::Cost;
pub use crate::topology::Routing;
use crate::topology::{Role, Scope};

/// Everything that was counted up to one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When: since the Unix epoch.
    pub taken: Duration,
    /// How long the source has been counting.
    pub counting: Duration,
    /// The node's name.
    pub node: String,
    /// The kernel's release, or what stands in its place (the capture file).
    pub origin: String,
    /// Devices, watched now or before.
    pub devices: Vec<Device>,
    /// Paths.
    pub paths: Vec<Path>,
    /// Tunnel senders and receivers that are no known nodes.
    pub unknown_peers: Vec<UnknownPeer>,
    /// How full the tables are.
    pub fill: Fill,
    /// Where pod blocks of other nodes are routed, by family, encapsulation and scope.
    pub routing: Vec<Routing>,
    /// What the programs cost; empty where the kernel was not asked.
    pub programs: Vec<Program>,
    /// What encapsulation costs; `None` where it was not asked for.
    pub cost: Option<Cost>,
    /// Upper bounds (inclusive) of the packet-size classes, ascending; sizes beyond the last are one
    /// more class. Classes: `bounds.len() + 1`.
    pub size_bounds: Vec<u32>,
    /// Sentences about what could not be measured, and why.
    pub notes: Vec<String>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its kind in `ip -d link` (`veth`, `ipip`, `vxlan`, …; empty for hardware).
    pub kind: String,
    /// What it is for.
    pub role: Role,
    /// Bytes, L3; 0 where unknown.
    pub mtu: u32,
    /// Of a tunnel device: its encapsulation and the bytes that it adds.
    pub tunnel: Option<Tunnel>,
    /// How ingress and egress are watched, by [`Direction`].
    pub hooks: [Hook; 2],
    /// How often the hook of a direction was found lost, by [`Direction`]; monotonic.
    pub losses: [u64; 2],
    /// Totals; classes that were never seen are absent.
    pub totals: Vec<Totals>,
    /// Rare events by [`Direction`] and [`observer_common::counters::Event`].
    pub events: [[u64; EVENTS]; 2],
}

impl Device {
    /// The direction of what is counted under `direction`; `None` if it is not known.
    #[must_use]
    pub fn known_direction(&self, direction: Direction) -> Option<Direction> {
        (self.hooks[direction as usize] != Hook::Undirected).then_some(direction)
    }

    /// The figures come from a capture file.
    #[must_use]
    pub const fn is_captured(&self) -> bool {
        matches!(self.hooks[0], Hook::File | Hook::Undirected)
    }
}

/// What a tunnel device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its encapsulation.
    #[serde(rename = "encapsulation")]
    pub class: Class,
    /// Bytes that it adds, L3.
    #[serde(rename = "overhead_bytes")]
    pub overhead: u32,
    /// MTU of its underlay, where known.
    pub underlay_mtu: Option<u32>,
    /// Its VNI, where it has one.
    pub vni: Option<u32>,
}

/// How a direction of a device is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// Not at all.
    #[default]
    None,
    /// TCX link, first in the chain.
    Tcx,
    /// `clsact` filter.
    Clsact,
    /// XDP link.
    Xdp,
    /// A capture file.
    File,
    /// A capture file without directions: all frames are counted under ingress.
    Undirected,
    /// It was watched and is no more; traffic since then is unknown.
    Lost,
    /// It was watched, and the device is gone or down: nothing crosses it.
    Gone,
}

impl Hook {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Tcx,
        Self::Clsact,
        Self::Xdp,
        Self::File,
        Self::Undirected,
        Self::Lost,
        Self::Gone,
    ];

    /// The word that every view uses.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Xdp => "xdp",
            Self::File => "file",
            Self::Undirected => "undirected",
            Self::Lost => "lost",
            Self::Gone => "gone",
        }
    }
}

/// Totals of one direction and class of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Direction.
    pub direction: Direction,
    /// Class.
    pub class: Class,
    /// By [`observer_common::counters::Total`].
    pub counters: [u64; TOTALS],
    /// Packets by size class.
    pub sizes: [u64; SIZE_CLASSES],
}

/// A VNI as a path has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Vni {
    /// The encapsulation has none.
    None,
    /// One of the node's own.
    Own(u32),
    /// Some other; which is among the unknown peers.
    Unknown,
}

/// Who a path is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PathId {
    /// The underlay device's name: one for all of its paths, of which there may be thousands.
    pub device: Arc<str>,
    /// Direction.
    pub direction: Direction,
    /// Encapsulation.
    pub class: Class,
    /// VNI.
    pub vni: Vni,
    /// The peer node's address; if the direction is not known, the outer destination.
    pub peer: IpAddr,
    /// The other end of the tunnel, in captures only.
    pub local: Option<IpAddr>,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Who it is.
    pub id: PathId,
    /// Where its peer is.
    pub scope: Scope,
    /// By [`observer_common::counters::PathCounter`].
    pub counters: [u64; PATH_COUNTERS],
}

/// One tunnel sender or receiver that is no known node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPeer {
    /// Who; the VNI is the one on the wire.
    pub id: PathId,
    /// Packets.
    pub packets: u64,
    /// Link-layer bytes.
    pub wire_bytes: u64,
}

/// One of our programs in the kernel, and what it has cost since it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// How often it ran while the kernel's BPF statistics were on.
    pub runs: u64,
    /// How long these runs took together.
    pub run_time: Duration,
}

/// How full the bounded tables are, in entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Pod blocks in use.
    pub blocks: u64,
    /// Pod blocks that fit.
    pub blocks_capacity: u64,
    /// Paths in use.
    pub paths: u64,
    /// Paths that fit.
    pub paths_capacity: u64,
    /// Peers in use.
    pub peers: u64,
    /// Peers that fit.
    pub peers_capacity: u64,
}
