//! What is known about a node.

use std::net::IpAddr;

use observer_common::kind::Class;

use crate::calico::Calico;
use crate::model::{Mode, Report};
use crate::topology::{
    Block, Choice, Device, FdbEntry, MAIN, Node, Role, Route, RouteKind, Scope, Topology, Watched,
};

/// Calico's tunnel devices.
pub const CALICO_TUNNELS: [&str; 5] =
    ["tunl0", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "wg-v6.cali"];

/// Calico's tunnel device of an encapsulation and family, if it has one.
pub(super) const fn calico_tunnel(class: Class, ipv6: bool) -> Option<&'static str> {
    Some(match (class, ipv6) {
        (Class::Ipip, false) => "tunl0",
        (Class::Vxlan, false) => "vxlan.calico",
        (Class::Vxlan, true) => "vxlan-v6.calico",
        (Class::Wireguard, false) => "wireguard.cali",
        (Class::Wireguard, true) => "wg-v6.cali",
        _ => return None,
    })
}

/// The name of an address family.
#[must_use]
pub const fn family(ipv6: bool) -> &'static str {
    if ipv6 { "IPv6" } else { "IPv4" }
}

/// Felix's file with the MTU for new pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FelixFile {
    /// It was not read or does not exist.
    #[default]
    Absent,
    /// Its content, bytes.
    Mtu(u32),
}

/// Everything known about a node.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What netlink reported.
    pub node: Node,
    /// The topology derived from it, including pod interfaces.
    pub topology: Topology,
    /// Felix's MTU file.
    pub felix_file: FelixFile,
    /// The path of that file.
    pub felix_path: String,
    /// The declared resources; `None` if none were given.
    pub calico: Option<Calico>,
    /// The measured traffic; `None` if it was not measured.
    pub observed: Option<Report>,
    /// The host name.
    pub host: String,
}

impl Facts {
    /// Facts from netlink alone.
    #[must_use]
    pub fn of_node(node: Node, choice: &Choice) -> Self {
        let topology = Topology::derive_present(&node, &Choice { workloads: true, ..choice.clone() });
        Self { node, topology, ..Self::default() }
    }

    /// The node's name in Calico, otherwise its host name.
    #[must_use]
    pub fn name(&self) -> &str {
        let own = self.own_addresses();
        let known = self.calico.as_ref().and_then(|calico| calico.node_with(own));
        known.map_or(self.host.as_str(), |node| node.name.as_str())
    }

    /// The node's addresses.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.node.addresses.iter().map(|own| own.address)
    }

    /// A device by its index.
    #[must_use]
    pub fn device(&self, ifindex: u32) -> Option<&Device> {
        self.node.devices.iter().find(|device| device.ifindex == ifindex)
    }

    /// The device of a route.
    #[must_use]
    pub fn device_of(&self, route: &Route) -> Option<&Device> {
        self.device(route.ifindex?)
    }

    /// Routes of the main table.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.node.routes.iter().filter(|route| route.table == MAIN)
    }

    /// Unicast routes of the main table without default routes.
    pub fn unicast(&self) -> impl Iterator<Item = &Route> {
        self.routes().filter(|route| route.kind == RouteKind::Unicast && route.prefix_len != 0)
    }

    /// Watched devices of a role.
    pub(super) fn watched(&self, role: Role) -> impl Iterator<Item = &Watched> {
        self.topology.watched.iter().filter(move |watched| watched.role == role)
    }

    /// Whether it is one of Calico's tunnel devices, or pod blocks are routed through it.
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

    /// The declared encapsulation of a block, and a description of its pool.
    #[must_use]
    pub fn declared_class(&self, block: &Block) -> Option<(Class, String)> {
        let pool = self.calico.as_ref()?.pools.iter().find(|pool| pool.contains(block))?;
        let class = match (pool.mode(), self.topology.scope_of(block.peer)) {
            (Mode::Always(class), _) | (Mode::CrossSubnet(class), Scope::CrossSubnet) => class,
            (Mode::CrossSubnet(_), Scope::SameSubnet) | (Mode::Native, _) => Class::None,
            _ => return None,
        };
        Some((class, pool.describe()))
    }

    /// The remote endpoints of VXLAN devices: the device, the endpoint's tunnel address, the node's address.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(&Device, IpAddr, IpAddr)> {
        let vxlan = |device: &&Device| device.encapsulation().is_some_and(|(class, _)| class == Class::Vxlan);
        let mut endpoints = Vec::new();
        for device in self.node.devices.iter().filter(vxlan) {
            for neighbour in self.node.neighbours.iter().filter(|n| n.ifindex == device.ifindex) {
                let entry = |e: &&FdbEntry| e.ifindex == device.ifindex && e.mac == neighbour.mac;
                if let Some(entry) = self.node.fdb.iter().find(entry) {
                    endpoints.push((device, neighbour.address, entry.remote));
                }
            }
        }
        endpoints
    }

    /// A peer's name, if known, and address.
    #[must_use]
    pub fn peer_name(&self, address: IpAddr) -> String {
        let known = self.calico.as_ref().and_then(|calico| calico.node_at(address));
        known.map_or_else(|| address.to_string(), |node| format!("{} ({address})", node.name))
    }
}
