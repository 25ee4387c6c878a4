//! What is known of a node.

use std::net::IpAddr;

use observer_common::kind::Class;

use crate::calico::Calico;
use crate::model::Report;
use crate::topology::convert::contains;
use crate::topology::{Block, Choice, Device, MAIN, Node, Role, Route, RouteKind, Scope, Topology};

/// The devices that Calico makes for tunnels.
pub const CALICO_TUNNELS: [&str; 5] =
    ["tunl0", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "wg-v6.cali"];

/// What Felix's file with the MTU of pods says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FelixFile {
    /// It was not looked for, or there is none: Felix does not run here, or elsewhere.
    #[default]
    Absent,
    /// Bytes.
    Mtu(u32),
}

/// Everything that is known of a node. Without [`Facts::wire`] nothing was measured, without
/// [`Facts::calico`] nothing was declared.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// As netlink gave it.
    pub node: Node,
    /// As it is understood, workloads included.
    pub topology: Topology,
    /// Felix's file.
    pub felix_file: FelixFile,
    /// Where that file is, for people.
    pub felix_path: String,
    /// What was declared.
    pub calico: Option<Calico>,
    /// What was measured.
    pub observed: Option<Report>,
    /// The node's host name.
    pub host: String,
}

impl Facts {
    /// Facts from netlink alone.
    #[must_use]
    pub fn of_node(node: Node, choice: &Choice) -> Self {
        let topology = Topology::derive_present(&node, &Choice { workloads: true, ..choice.clone() });
        Self { node, topology, ..Self::default() }
    }

    /// The node's name as Calico has it, else its host name.
    #[must_use]
    pub fn name(&self) -> &str {
        let own = self.own_addresses();
        let known = self.calico.as_ref().and_then(|calico| calico.node_with(own));
        known.map_or(self.host.as_str(), |node| node.name.as_str())
    }

    /// The node's own addresses.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.node.addresses.iter().map(|own| own.address)
    }

    /// A device by its index.
    #[must_use]
    pub fn device(&self, ifindex: u32) -> Option<&Device> {
        self.node.devices.iter().find(|device| device.ifindex == ifindex)
    }

    /// Routes of the main table.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.node.routes.iter().filter(|route| route.table == MAIN)
    }

    /// Routes of the main table that lead somewhere, the default routes left out.
    pub fn unicast(&self) -> impl Iterator<Item = &Route> {
        self.routes().filter(|route| route.kind == RouteKind::Unicast && route.prefix_len != 0)
    }

    /// Underlay devices.
    pub fn underlays(&self) -> impl Iterator<Item = &Device> {
        self.topology.watched.iter().filter(|w| w.role == Role::Underlay).map(|w| &w.device)
    }

    /// Whether it is one of the devices that Calico makes for tunnels, or one that leads to pod blocks.
    #[must_use]
    pub fn is_calico_tunnel(&self, device: &Device) -> bool {
        let Some((class, _)) = device.encapsulation() else { return false };
        CALICO_TUNNELS.contains(&device.name.as_str())
            || self.topology.blocks.iter().any(|block| {
                block.class == class
                    && self.unicast().any(|route| {
                        route.ifindex == Some(device.ifindex) && route.destination == block.address
                    })
            })
    }

    /// Where the node is that a block belongs to, as far as its next hop tells.
    #[must_use]
    pub fn scope_of(&self, peer: IpAddr) -> Scope {
        let scopes = self.underlays().map(|device| self.topology.scope(device.ifindex, peer));
        scopes.min().unwrap_or(Scope::Unknown)
    }

    /// The mode that the pool of a block asks for, for a block in that place.
    #[must_use]
    pub fn declared_class(&self, block: &Block) -> Option<(Class, String)> {
        use crate::model::Mode;
        let calico = self.calico.as_ref()?;
        let pool = calico.pools.iter().find(|pool| {
            pool.cidr.1 <= block.prefix_len && contains(pool.cidr.0, pool.cidr.1, block.address)
        })?;
        let class = match (pool.mode(), self.scope_of(block.peer)) {
            (Mode::Always(class), _) | (Mode::CrossSubnet(class), Scope::CrossSubnet) => class,
            (Mode::CrossSubnet(_), Scope::SameSubnet) | (Mode::Native, _) => Class::None,
            _ => return None,
        };
        Some((class, pool.describe()))
    }

    /// The far tunnel endpoints that VXLAN devices know: the device, the endpoint's own address and the
    /// node's.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(&Device, IpAddr, IpAddr)> {
        let vxlan = |device: &&Device| device.encapsulation().is_some_and(|(class, _)| class == Class::Vxlan);
        let mut endpoints = Vec::new();
        for device in self.node.devices.iter().filter(vxlan) {
            for neighbour in self.node.neighbours.iter().filter(|n| n.ifindex == device.ifindex) {
                let entry =
                    |e: &&crate::topology::FdbEntry| e.ifindex == device.ifindex && e.mac == neighbour.mac;
                if let Some(entry) = self.node.fdb.iter().find(entry) {
                    endpoints.push((device, neighbour.address, entry.remote));
                }
            }
        }
        endpoints
    }

    /// What to call a peer: its name where it is known, and its address.
    #[must_use]
    pub fn peer_name(&self, address: IpAddr) -> String {
        let known = self.calico.as_ref().and_then(|calico| calico.node_at(address));
        known.map_or_else(|| address.to_string(), |node| format!("{} ({address})", node.name))
    }
}
