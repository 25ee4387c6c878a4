//! Raw counters at one moment, monotonic since the source started. The model computes rates, shares and ratios.

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
    /// Time since the Unix epoch.
    pub taken: Duration,
    /// Time since the source started counting.
    pub counting: Duration,
    /// The node's name.
    pub node: String,
    /// The kernel's release, or the capture file.
    pub origin: String,
    /// Devices that are or were watched.
    pub devices: Vec<Device>,
    /// Paths.
    pub paths: Vec<Path>,
    /// Tunnel senders and receivers that are not known nodes.
    pub unknown_peers: Vec<UnknownPeer>,
    /// Fill level of the tables.
    pub fill: Fill,
    /// Routes to pod blocks of other nodes, by family, encapsulation and scope.
    pub routing: Vec<Routing>,
    /// Run time of the BPF programs; empty if it was not measured.
    pub programs: Vec<Program>,
    /// The cost of encapsulation; `None` if it was not measured.
    pub cost: Option<Cost>,
    /// Inclusive upper bounds of the packet size classes in ascending order. One more class is above the last bound.
    pub size_bounds: Vec<u32>,
    /// What could not be measured and why, as sentences.
    pub notes: Vec<String>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its kind in `ip -d link` (`veth`, `ipip`, `vxlan`, …; empty for hardware).
    pub kind: String,
    /// Its role.
    pub role: Role,
    /// L3 bytes; 0 if unknown.
    pub mtu: u32,
    /// Tunnel devices only.
    pub tunnel: Option<Tunnel>,
    /// How ingress and egress are watched, by [`Direction`].
    pub hooks: [Hook; 2],
    /// How often the hook of a direction was lost, by [`Direction`]; monotonic.
    pub losses: [u64; 2],
    /// Totals, without classes that never occurred.
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
    /// MTU of its underlay, if known.
    pub underlay_mtu: Option<u32>,
    /// Its VNI, if it has one.
    pub vni: Option<u32>,
}

/// How a direction of a device is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// Not watched.
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
    /// The device was removed or is down, so it has no traffic.
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

    /// The label in every view.
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

/// The VNI of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Vni {
    /// The encapsulation has none.
    None,
    /// A VNI of one of the node's devices.
    Own(u32),
    /// Any other; its number is in the unknown peers.
    Unknown,
}

/// Identity of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PathId {
    /// The underlay device's name, shared by its paths, of which there may be thousands.
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
    /// Its identity.
    pub id: PathId,
    /// Scope of its peer.
    pub scope: Scope,
    /// By [`observer_common::counters::PathCounter`].
    pub counters: [u64; PATH_COUNTERS],
}

/// One tunnel sender or receiver that is not a known node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPeer {
    /// Its identity, with the VNI on the wire.
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
    /// Runs while the kernel's BPF statistics were enabled.
    pub runs: u64,
    /// Total time of these runs.
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
    /// Maximum number of paths.
    pub paths_capacity: u64,
    /// Peers in use.
    pub peers: u64,
    /// Maximum number of peers.
    pub peers_capacity: u64,
}
