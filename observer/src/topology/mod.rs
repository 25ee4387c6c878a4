//! What the node looks like: from devices, addresses, routes, neighbours and forwarding entries, as
//! netlink gave them, to roles, peers, pod blocks and scopes. Pure: no I/O, no clock.

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
pub use convert::{block_facts, block_key, peer_facts};
pub use derive::Choice;
pub use error::TopologyError;
pub use facts::{Address, Device, DeviceKind, FdbEntry, LinkLayer, Neighbour, Node, Route, RouteKind, Vxlan};
pub use index::MAIN;
pub use prefix::{Prefix, prefix};

use std::net::IpAddr;

use observer_common::kind::Class;

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Carries encapsulated packets.
    Underlay,
    /// Encapsulates.
    Tunnel,
    /// Leads to a pod.
    Workload,
    /// Anything else.
    Other,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Underlay, Self::Tunnel, Self::Workload, Self::Other];

    /// The word that every view uses.
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

/// Where a peer is, seen from this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The node's own prefix on the device contains the peer.
    SameSubnet,
    /// It does not, or the next hop is a gateway.
    CrossSubnet,
    /// The node has no address of that family on the device.
    Unknown,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::SameSubnet, Self::CrossSubnet, Self::Unknown];

    /// The word that every view uses.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The device.
    pub device: Device,
    /// What it is for.
    pub role: Role,
    /// Of a tunnel device: its encapsulation; [`Class::None`] otherwise.
    pub class: Class,
    /// Of a tunnel device: bytes that it adds to a packet, L3; 0 otherwise.
    pub overhead: u32,
    /// Of a tunnel device: its VNI, where it has one.
    pub vni: Option<u32>,
    /// Of a tunnel device: the interface index of its underlay, where known.
    pub underlay: Option<u32>,
    /// Of a tunnel device: the MTU of its underlay, where known.
    pub underlay_mtu: Option<u32>,
}

/// A peer node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its address on the underlay.
    pub address: IpAddr,
    /// The UDP tunnel that leads there, if one does: later fragments of UDP between here and there
    /// belong to it.
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
    /// The node that its route leads to (for a native route: the next hop).
    pub peer: IpAddr,
    /// The tunnel that its route uses; [`Class::None`] for a native route.
    pub class: Class,
    /// The VNI of that tunnel, or 0.
    pub vni: u32,
}

/// What Observer needs to know of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Devices to watch, in the order of views: underlays, tunnels, workloads, others.
    pub watched: Vec<Watched>,
    /// Peer nodes.
    pub peers: Vec<Peer>,
    /// Pod blocks of other nodes.
    pub blocks: Vec<Block>,
    /// VXLAN ports of the node's own devices and the standard one, host byte order.
    pub vxlan_ports: Vec<u16>,
    /// The same for Geneve.
    pub geneve_ports: Vec<u16>,
    /// The same for WireGuard.
    pub wireguard_ports: Vec<u16>,
    /// The node's own VNIs.
    pub vnis: Vec<u32>,
    /// The node's own addresses with their prefixes: what scopes are told from.
    pub addresses: Vec<Address>,
    /// Routers: the device and address of next hops that are gateways of other than pod routes, and no
    /// tunnel's far end.
    pub routers: Vec<(u32, IpAddr)>,
    /// Sentences about what could not be found out or does not fit.
    pub notes: Vec<String>,
}
