//! Derives device roles, peers, pod blocks and scopes from a node's devices, addresses, routes, neighbours
//! and forwarding entries. Pure: no I/O, no clock.

mod blocks;
mod changes;
mod config;
pub mod convert;
mod derive;
mod error;
mod facts;
mod index;
mod prefix;
mod routing;
mod scope;
mod tunnel;

pub use changes::{Changes, Recreated};
pub use convert::block_key;
pub use error::TopologyError;
pub use facts::{Address, Device, DeviceKind, FdbEntry, LinkLayer, Neighbour, Node, Route, RouteKind, Vxlan};
pub use index::MAIN;
pub use prefix::{Prefix, prefix};
pub use routing::Routing;

use std::net::IpAddr;

use observer_common::kind::Class;
use serde::{Deserialize, Serialize};

/// The user's selection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Names of devices; if empty, those that carry pod traffic between nodes.
    pub devices: Vec<String>,
    /// Addresses of nodes that cannot be discovered from routes and forwarding entries.
    pub extra_peers: Vec<IpAddr>,
    /// Prefixes whose routes lead to pods, whatever their protocol.
    pub pod_cidrs: Vec<(IpAddr, u8)>,
    /// Also watch pod interfaces.
    pub workloads: bool,
}

/// The role of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Carries encapsulated packets.
    Underlay,
    /// Encapsulates.
    Tunnel,
    /// Leads to a pod.
    Workload,
    /// Any other device.
    Other,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Underlay, Self::Tunnel, Self::Workload, Self::Other];

    /// The name in every view.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Underlay => "underlay",
            Self::Tunnel => "tunnel",
            Self::Workload => "workload",
            Self::Other => "other",
        }
    }
}

/// Where a peer is, relative to this node. Declared from near to far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The node's own prefix on the device contains the peer.
    SameSubnet,
    /// It does not, or the next hop is a router.
    CrossSubnet,
    /// The node has no address of that family on the device.
    Unknown,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::SameSubnet, Self::CrossSubnet, Self::Unknown];

    /// The name in every view.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::SameSubnet => "same-subnet",
            Self::CrossSubnet => "cross-subnet",
            Self::Unknown => "unknown",
        }
    }
}

/// A device to watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The device.
    pub device: Device,
    /// Its role.
    pub role: Role,
    /// Its encapsulation; [`Class::None`] unless it is a tunnel device.
    pub class: Class,
    /// L3 bytes that a tunnel device adds to a packet; otherwise 0.
    pub overhead: u32,
    /// VNI of a VXLAN device; `None` if it is flow-based.
    pub vni: Option<u32>,
    /// Interface index of a tunnel device's underlay, if known.
    pub underlay: Option<u32>,
    /// MTU of a tunnel device's underlay, if known.
    pub underlay_mtu: Option<u32>,
}

/// A peer node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its address on the underlay.
    pub address: IpAddr,
    /// The UDP tunnel to it, if any. Later fragments of UDP to and from the peer are attributed to it.
    pub udp_class: Class,
    /// The VNI of that tunnel, or 0.
    pub vni: u32,
}

/// A block of pod addresses on another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// First address.
    pub address: IpAddr,
    /// Prefix length in its own family.
    pub prefix_len: u8,
    /// The node that its route leads to; for a native route, the next hop.
    pub peer: IpAddr,
    /// The tunnel of its route; [`Class::None`] for a native route.
    pub class: Class,
    /// The VNI of that tunnel, or 0.
    pub vni: u32,
}

/// What Observer needs to know about the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Devices to watch, in display order: underlays, tunnels, workloads, others.
    pub watched: Vec<Watched>,
    /// Peer nodes.
    pub peers: Vec<Peer>,
    /// Pod blocks of other nodes.
    pub blocks: Vec<Block>,
    /// VXLAN ports in host byte order: those of the node's devices, then the standard one.
    pub vxlan_ports: Vec<u16>,
    /// The same for Geneve.
    pub geneve_ports: Vec<u16>,
    /// The same for WireGuard.
    pub wireguard_ports: Vec<u16>,
    /// The node's own VNIs.
    pub vnis: Vec<u32>,
    /// The node's addresses with their prefixes, which determine scopes.
    pub addresses: Vec<Address>,
    /// Routers by device: gateways of routes that do not lead to pods, unless they are tunnel endpoints.
    pub routers: Vec<(u32, IpAddr)>,
    /// What could not be determined or does not fit, one sentence each.
    pub notes: Vec<String>,
}
