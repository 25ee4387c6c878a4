//! Other nodes and their pod blocks, from routes, neighbours and forwarding entries.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use observer_common::kind::Class;

use super::convert::contains;
use super::index::{Index, MAIN, is_default};
use super::scope::is_link_local;
use super::tunnel::{is_workload, tunnel};
use super::{Block, Choice, Device, LinkLayer, Peer, Prefix, Route, RouteKind};

/// The local table (`RT_TABLE_LOCAL`): the node's own addresses.
const LOCAL: u32 = 255;
/// BIRD's and Felix's protocol numbers, which identify routes to pods on an underlay device.
const POD_PROTOCOLS: [u8; 2] = [12, 80];

/// The other nodes.
#[derive(Default)]
pub(super) struct Far {
    /// Their pod blocks, each once.
    blocks: BTreeMap<Prefix, Block>,
    /// Their addresses, the UDP tunnel to each and its VNI.
    peers: BTreeMap<IpAddr, (Class, u32)>,
    /// The remote endpoints of each tunnel device, by its interface index.
    pub ends: HashMap<u32, BTreeSet<IpAddr>>,
    /// Devices that lead to native pod blocks.
    pub native: BTreeSet<u32>,
    /// Gateways of routes that do not lead to pods.
    gateways: BTreeSet<(u32, IpAddr)>,
    /// Blocks in WireGuard's routing table.
    encrypted: HashSet<Prefix>,
    /// Blocks with several next hops.
    several: HashSet<Prefix>,
    /// Blocks whose tunnel endpoint is unknown, by tunnel device.
    unresolved: BTreeMap<String, Vec<Prefix>>,
}

impl Far {
    pub(super) fn read(index: &Index<'_>, choice: &Choice) -> Self {
        let mut far = Self::default();
        for route in &index.node.routes {
            far.read_route(index, choice, route);
        }
        far.encrypt(index);
        far.read_tunnels(index);
        for address in &choice.extra_peers {
            let class = flow_based(index).unwrap_or((Class::None, 0));
            far.add_peer(index, address.to_canonical(), class);
        }
        far
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        self.blocks.values().copied().collect()
    }

    pub(super) fn peers(&self) -> Vec<Peer> {
        self.peers.iter().map(|(&address, &(udp_class, vni))| Peer { address, udp_class, vni }).collect()
    }

    /// Gateways of routes that do not lead to pods, unless they are tunnel endpoints.
    pub(super) fn routers(&self) -> Vec<(u32, IpAddr)> {
        let ends: HashSet<&IpAddr> = self.ends.values().flatten().collect();
        self.gateways.iter().filter(|(_, gateway)| !ends.contains(gateway)).copied().collect()
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (device, blocks) in &self.unresolved {
            let (address, len) = blocks[0];
            notes.push(format!(
                "pod blocks through `{device}` whose node is unknown, as their tunnel endpoint has no neighbour or \
                 forwarding entry: {} (first: {address}/{len})",
                blocks.len()
            ));
        }
        if !self.several.is_empty() {
            notes.push(format!(
                "pod blocks with several next hops: {}; their native packets are shown under the first",
                self.several.len()
            ));
        }
        notes
    }

    fn read_route(&mut self, index: &Index<'_>, choice: &Choice, route: &Route) {
        if route.kind != RouteKind::Unicast || route.table == LOCAL {
            return;
        }
        let Some(device) = route.ifindex.and_then(|ifindex| index.device(ifindex)) else { return };
        let prefix = (route.destination, route.prefix_len);
        let for_pods =
            !is_default(route) && !is_link_local(route.destination) && !route.destination.is_multicast();
        match tunnel(device).map(|tunnel| tunnel.class) {
            Some(_) if !for_pods || !device.up => {}
            // A rule sends encrypted traffic to a separate table whose routes have no gateway. The main table
            // keeps the unencrypted route, which has the node's address.
            Some(Class::Wireguard) => {
                self.encrypted.insert(prefix);
            }
            Some(class) if route.table == MAIN && (route.gateway.is_some() || is_pod(choice, route)) => {
                self.read_tunnelled(index, route, device, class);
            }
            Some(_) => {}
            None if route.table != MAIN || is_workload(device) || device.link == LinkLayer::Loopback => {}
            None => {
                let Some(gateway) = route.gateway else { return };
                if for_pods && is_pod(choice, route) {
                    self.native.insert(device.ifindex);
                    self.add_peer(index, gateway, (Class::None, 0));
                    self.add_block(index, prefix, gateway, (Class::None, 0));
                } else {
                    self.gateways.insert((device.ifindex, gateway));
                }
            }
        }
    }

    fn read_tunnelled(&mut self, index: &Index<'_>, route: &Route, device: &Device, class: Class) {
        let far = match class {
            Class::Vxlan => route
                .gateway
                .and_then(|vtep| index.behind(device.ifindex, vtep))
                .map(|entry| (entry.remote, entry.vni.or(own_vni(device)).unwrap_or(0)))
                .or_else(|| Some((device.remote?, own_vni(device).unwrap_or(0)))),
            Class::Geneve => device.remote.map(|remote| (remote, 0)),
            _ => device.remote.or(route.gateway).map(|remote| (remote, 0)),
        };
        let prefix = (route.destination, route.prefix_len);
        let Some((remote, vni)) = far else {
            self.unresolved.entry(device.name.clone()).or_default().push(prefix);
            return;
        };
        let udp = if has_udp(class) { (class, vni) } else { (Class::None, 0) };
        self.ends.entry(device.ifindex).or_default().insert(remote);
        self.add_peer(index, remote, udp);
        self.add_block(index, prefix, remote, (class, vni));
    }

    /// Reads remote endpoints from forwarding entries and from the devices.
    fn read_tunnels(&mut self, index: &Index<'_>) {
        let tunnels: HashMap<u32, (&Device, Class)> = index
            .node
            .devices
            .iter()
            .filter(|device| device.up)
            .filter_map(|device| Some((device.ifindex, (device, tunnel(device)?.class))))
            .collect();
        for entry in &index.node.fdb {
            let Some((device, class @ Class::Vxlan)) = tunnels.get(&entry.ifindex) else { continue };
            if index.may_be_peer(entry.remote) {
                self.ends.entry(device.ifindex).or_default().insert(entry.remote);
                let vni = entry.vni.or(own_vni(device)).unwrap_or(0);
                self.add_peer(index, entry.remote, (*class, vni));
            }
        }
        for (device, class) in tunnels.values() {
            let Some(remote) = device.remote.filter(|remote| index.may_be_peer(*remote)) else { continue };
            self.ends.entry(device.ifindex).or_default().insert(remote);
            let udp = if has_udp(*class) { (*class, own_vni(device).unwrap_or(0)) } else { (Class::None, 0) };
            self.add_peer(index, remote, udp);
        }
    }

    /// Marks the blocks and peers that WireGuard encrypts.
    fn encrypt(&mut self, index: &Index<'_>) {
        let devices: Vec<u32> = index
            .node
            .devices
            .iter()
            .filter(|device| device.up && tunnel(device).is_some_and(|t| t.class == Class::Wireguard))
            .map(|device| device.ifindex)
            .collect();
        for prefix in &self.encrypted {
            let Some(block) = self.blocks.get_mut(prefix) else { continue };
            (block.class, block.vni) = (Class::Wireguard, 0);
            self.peers.insert(block.peer, (Class::Wireguard, 0));
            for device in &devices {
                self.ends.entry(*device).or_default().insert(block.peer);
            }
        }
    }

    /// Adds a peer. The first UDP tunnel to it wins.
    fn add_peer(&mut self, index: &Index<'_>, address: IpAddr, udp: (Class, u32)) {
        if !index.may_be_peer(address) {
            return;
        }
        let known = self.peers.entry(address).or_insert(udp);
        if known.0 == Class::None {
            *known = udp;
        }
    }

    /// Adds a block. The first route to it wins: the kernel lists the best metric first.
    fn add_block(&mut self, index: &Index<'_>, prefix: Prefix, peer: IpAddr, (class, vni): (Class, u32)) {
        if !index.may_be_peer(peer) {
            return;
        }
        let block = Block { address: prefix.0, prefix_len: prefix.1, peer, class, vni };
        if self.blocks.entry(prefix).or_insert(block).peer != peer {
            self.several.insert(prefix);
        }
    }
}

fn own_vni(device: &Device) -> Option<u32> {
    device.vxlan.and_then(|vxlan| vxlan.vni)
}

fn has_udp(class: Class) -> bool {
    matches!(class, Class::Vxlan | Class::Geneve | Class::Wireguard)
}

/// Whether a route through an underlay leads to pods. The table also has other routes with a gateway, so
/// this takes BIRD's or Felix's protocol number, or a prefix given by the user.
fn is_pod(choice: &Choice, route: &Route) -> bool {
    POD_PROTOCOLS.contains(&route.protocol)
        || choice
            .pod_cidrs
            .iter()
            .any(|&(address, len)| len <= route.prefix_len && contains(address, len, route.destination))
}

/// The flow-based UDP tunnel, if there is one (Calico's eBPF data plane). It has no forwarding entries, so any
/// address may be behind it.
fn flow_based(index: &Index<'_>) -> Option<(Class, u32)> {
    index.node.devices.iter().filter(|device| device.up).find_map(|device| {
        let class = tunnel(device)?.class;
        let open = device.vxlan.is_some_and(|vxlan| vxlan.vni.is_none());
        open.then_some((class, 0))
    })
}
