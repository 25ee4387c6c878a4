//! An index of what netlink reported: nodes may have tens of thousands of routes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::convert::network;
use super::scope::is_link_local;
use super::{Device, DeviceKind, FdbEntry, LinkLayer, Node, Route, RouteKind};

/// The main routing table (`RT_TABLE_MAIN`).
pub const MAIN: u32 = 254;

/// Prefixes of one family in the main table, longest first, with the device of each.
type Prefixes = BTreeMap<Reverse<u8>, HashMap<IpAddr, u32>>;

/// A node, indexed.
pub(super) struct Index<'a> {
    pub node: &'a Node,
    devices: HashMap<u32, &'a Device>,
    own: HashSet<IpAddr>,
    prefixes: [Prefixes; 2],
    neighbours: HashMap<(u32, IpAddr), [u8; 6]>,
    forwarding: HashMap<(u32, [u8; 6]), &'a FdbEntry>,
}

impl<'a> Index<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        let mut prefixes = [Prefixes::new(), Prefixes::new()];
        for route in node.routes.iter().filter(|r| r.table == MAIN && r.kind == RouteKind::Unicast) {
            let Some(ifindex) = route.ifindex else { continue };
            // The kernel lists routes to one destination with the best metric first.
            prefixes[usize::from(route.destination.is_ipv6())]
                .entry(Reverse(route.prefix_len))
                .or_default()
                .entry(route.destination)
                .or_insert(ifindex);
        }
        let mut forwarding = HashMap::new();
        for entry in &node.fdb {
            forwarding.entry((entry.ifindex, entry.mac)).or_insert(entry);
        }
        Self {
            node,
            devices: node.devices.iter().map(|device| (device.ifindex, device)).collect(),
            own: node.addresses.iter().map(|address| address.address).collect(),
            prefixes,
            neighbours: node.neighbours.iter().map(|n| ((n.ifindex, n.address), n.mac)).collect(),
            forwarding,
        }
    }

    pub(super) fn device(&self, ifindex: u32) -> Option<&'a Device> {
        self.devices.get(&ifindex).copied()
    }

    /// Whether the address may be another node's: a single host's, and not one of this node.
    pub(super) fn may_be_peer(&self, address: IpAddr) -> bool {
        !self.own.contains(&address)
            && !address.is_unspecified()
            && !address.is_multicast()
            && !address.is_loopback()
    }

    /// The device through which the main table routes packets to the address.
    pub(super) fn towards(&self, address: IpAddr) -> Option<u32> {
        self.prefixes[usize::from(address.is_ipv6())]
            .iter()
            .find_map(|(Reverse(len), nets)| nets.get(&network(address, *len)))
            .copied()
    }

    /// The devices of default routes, IPv4 first.
    pub(super) fn default_devices(&self) -> impl Iterator<Item = u32> {
        self.prefixes.iter().filter_map(|family| {
            let nets = family.get(&Reverse(0))?;
            nets.values().next().copied()
        })
    }

    /// The device that has the address.
    pub(super) fn holder(&self, address: IpAddr) -> Option<u32> {
        self.node.addresses.iter().find(|own| own.address == address).map(|own| own.ifindex)
    }

    /// The forwarding entry of a VXLAN tunnel endpoint, found by its neighbour entry.
    pub(super) fn behind(&self, ifindex: u32, vtep: IpAddr) -> Option<&'a FdbEntry> {
        let mac = self.neighbours.get(&(ifindex, vtep))?;
        self.forwarding.get(&(ifindex, *mac)).copied()
    }

    /// Ethernet devices that are up, have a global address and belong to no bond or bridge.
    pub(super) fn ethernet_with_address(&self) -> impl Iterator<Item = u32> {
        self.node
            .devices
            .iter()
            .filter(|d| d.up && d.link == LinkLayer::Ethernet && d.controller.is_none())
            .filter(|device| {
                self.node.addresses.iter().any(|a| {
                    a.ifindex == device.ifindex && !is_link_local(a.address) && !a.address.is_loopback()
                })
            })
            .map(|device| device.ifindex)
    }

    /// Whether a device is of a kind that can be an underlay.
    pub(super) fn may_be_underlay(&self, ifindex: u32) -> bool {
        self.device(ifindex).is_some_and(|device| {
            device.link != LinkLayer::Loopback
                && device.kind != DeviceKind::Other("dummy".to_owned())
                && super::tunnel::tunnel(device).is_none()
                && !super::tunnel::is_workload(device)
        })
    }
}

/// Whether it is a default route.
pub(super) fn is_default(route: &Route) -> bool {
    route.prefix_len == 0
}
