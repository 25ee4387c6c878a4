//! Derives a topology from what netlink reported.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use observer_common::kind::Class;

use super::blocks::Far;
use super::index::Index;
use super::tunnel::{is_workload, tunnel};
use super::{Choice, Device, LinkLayer, Node, Role, Topology, TopologyError, Watched};

/// VXLAN's port.
const VXLAN_PORT: u16 = 4789;
/// Geneve's port.
const GENEVE_PORT: u16 = 6081;
/// Calico's ports for WireGuard over IPv4 and IPv6.
const WIREGUARD_PORTS: [u16; 2] = [51820, 51821];
/// Calico's VXLAN, and NodePort forwarding of its eBPF data plane (felix/bpf-gpl/nat_types.h).
const CALICO_VNIS: [u32; 2] = [4096, 0x00ca_11c0];

impl Topology {
    /// Derives the topology.
    ///
    /// # Errors
    /// The node does not have one of the chosen devices.
    pub fn derive(node: &Node, choice: &Choice) -> Result<Self, TopologyError> {
        let missing = choice.devices.iter().find(|name| !node.devices.iter().any(|d| d.name == **name));
        match missing {
            Some(name) => {
                Err(TopologyError::unknown_device(name, node.devices.iter().map(|d| d.name.as_str())))
            }
            None => Ok(Self::derive_present(node, choice)),
        }
    }

    /// The same, but a missing device is only noted: devices come and go while Observer runs.
    #[must_use]
    pub fn derive_present(node: &Node, choice: &Choice) -> Self {
        let index = Index::new(node);
        let far = Far::read(&index, choice);
        let mut notes = node.notes.clone();
        let carriers = Carriers::find(&index, &far, choice, &mut notes);
        let mut topology = Self {
            watched: watched(&index, choice, &carriers, &mut notes),
            peers: far.peers(),
            blocks: far.blocks(),
            vxlan_ports: ports(node, Class::Vxlan, &[VXLAN_PORT]),
            geneve_ports: ports(node, Class::Geneve, &[GENEVE_PORT]),
            wireguard_ports: ports(node, Class::Wireguard, &WIREGUARD_PORTS),
            vnis: vnis(node),
            addresses: node.addresses.clone(),
            routers: far.routers(),
            notes: Vec::new(),
        };
        notes.extend(far.notes());
        notes.extend(watched_notes(&topology.watched));
        notes.extend(topology.fit().notes);
        topology.notes = notes;
        topology
    }
}

/// The devices that carry pod traffic between nodes.
struct Carriers {
    underlays: BTreeSet<u32>,
    /// The underlay of each tunnel device.
    of: HashMap<u32, u32>,
}

impl Carriers {
    fn find(index: &Index<'_>, far: &Far, choice: &Choice, notes: &mut Vec<String>) -> Self {
        let mut underlays: BTreeSet<u32> = far.native.clone();
        let mut of = HashMap::new();
        for device in tunnels(index.node) {
            let below = below(index, device, far.ends.get(&device.ifindex));
            if let Some(first) = below.first() {
                of.insert(device.ifindex, *first);
            }
            underlays.extend(below);
        }
        underlays.extend(choice.extra_peers.iter().filter_map(|peer| index.towards(*peer)));
        let usable =
            |ifindex: &u32| index.may_be_underlay(*ifindex) && index.device(*ifindex).is_some_and(|d| d.up);
        underlays.retain(usable);
        if underlays.is_empty() {
            underlays.extend(index.default_devices().filter(usable));
        }
        if underlays.is_empty() {
            underlays.extend(index.ethernet_with_address().filter(usable));
            if !underlays.is_empty() {
                notes.push(
                    "there is no route to another node and no default route, so every Ethernet device with an \
                     address is assumed to be an underlay"
                        .to_owned(),
                );
            }
        }
        let members: Vec<u32> = underlays
            .iter()
            .copied()
            .filter(|ifindex| {
                index
                    .device(*ifindex)
                    .and_then(|d| d.controller)
                    .is_some_and(|above| underlays.contains(&above))
            })
            .collect();
        underlays.retain(|ifindex| !members.contains(ifindex));
        if let Some(first) = underlays.first() {
            for device in tunnels(index.node) {
                of.entry(device.ifindex).or_insert(*first);
            }
        }
        Self { underlays, of }
    }
}

fn tunnels(node: &Node) -> impl Iterator<Item = &Device> {
    node.devices.iter().filter(|device| device.up && tunnel(device).is_some())
}

/// The devices that carry a tunnel's packets, the one towards most remote endpoints first.
fn below(index: &Index<'_>, device: &Device, ends: Option<&BTreeSet<IpAddr>>) -> Vec<u32> {
    if let Some(lower) = device.lower.filter(|lower| index.may_be_underlay(*lower)) {
        return vec![lower];
    }
    let mut ends_by_device: HashMap<u32, usize> = HashMap::new();
    for end in ends.into_iter().flatten() {
        if let Some(ifindex) = index.towards(*end).filter(|ifindex| index.may_be_underlay(*ifindex)) {
            *ends_by_device.entry(ifindex).or_default() += 1;
        }
    }
    let mut devices: Vec<(u32, usize)> = ends_by_device.into_iter().collect();
    devices.sort_by_key(|&(ifindex, ends)| (std::cmp::Reverse(ends), ifindex));
    if devices.is_empty() {
        let holder = device.local.and_then(|local| index.holder(local));
        return holder.filter(|ifindex| index.may_be_underlay(*ifindex)).into_iter().collect();
    }
    devices.into_iter().map(|(ifindex, _)| ifindex).collect()
}

/// The devices to watch, in display order.
fn watched(index: &Index<'_>, choice: &Choice, carriers: &Carriers, notes: &mut Vec<String>) -> Vec<Watched> {
    let mut devices: Vec<(&Device, Role)> = Vec::new();
    for device in &index.node.devices {
        let named = choice.devices.contains(&device.name);
        let role = if tunnel(device).is_some() {
            Role::Tunnel
        } else if is_workload(device) {
            Role::Workload
        } else if carriers.underlays.contains(&device.ifindex)
            || (named && index.may_be_underlay(device.ifindex))
        {
            Role::Underlay
        } else {
            Role::Other
        };
        let automatic = match role {
            Role::Underlay => true,
            Role::Tunnel => device.up,
            Role::Workload | Role::Other => false,
        };
        let pod = role == Role::Workload && choice.workloads && device.up;
        if named || pod || (choice.devices.is_empty() && automatic) {
            devices.push((device, role));
        }
    }
    for name in &choice.devices {
        if !index.node.devices.iter().any(|device| device.name == *name) {
            notes.push(format!("device `{name}` does not exist at the moment"));
        }
    }
    devices.sort_by(|a, b| (a.1, &a.0.name).cmp(&(b.1, &b.0.name)));
    devices.into_iter().map(|(device, role)| watch(index, device, role, carriers)).collect()
}

fn watch(index: &Index<'_>, device: &Device, role: Role, carriers: &Carriers) -> Watched {
    let tunnel = tunnel(device);
    let underlay = tunnel.and_then(|_| carriers.of.get(&device.ifindex)).copied();
    Watched {
        device: device.clone(),
        role,
        class: tunnel.map_or(Class::None, |tunnel| tunnel.class),
        overhead: tunnel.map_or(0, |tunnel| tunnel.overhead),
        vni: device.vxlan.and_then(|vxlan| vxlan.vni),
        underlay,
        underlay_mtu: underlay.and_then(|ifindex| index.device(ifindex)).map(|device| device.mtu),
    }
}

fn watched_notes(watched: &[Watched]) -> Vec<String> {
    let mut notes = Vec::new();
    if watched.is_empty() {
        notes.push("there is nothing to watch: no underlay or tunnel device is up".to_owned());
    }
    for one in watched {
        let name = &one.device.name;
        if !one.device.up {
            notes.push(format!("device `{name}` is down"));
        }
        if let LinkLayer::Other(kind) = one.device.link {
            notes.push(format!("frames of `{name}` cannot be parsed: unsupported link type {kind}"));
        }
        if one.class == Class::Wireguard && one.device.port.is_none() {
            notes.push(format!(
                "the UDP port of `{name}` could not be read; assuming Calico's default ports {} and {}",
                WIREGUARD_PORTS[0], WIREGUARD_PORTS[1]
            ));
        }
        let below = [one.device.lower.filter(|_| one.role == Role::Underlay), one.device.controller];
        for other in watched {
            if other.role == Role::Underlay && below.contains(&Some(other.device.ifindex)) {
                notes.push(format!(
                    "`{name}` and `{}` are both watched; packets that cross both are counted on each",
                    other.device.name
                ));
            }
        }
    }
    notes
}

/// The ports of the node's devices, then the standard ones.
fn ports(node: &Node, class: Class, standard: &[u16]) -> Vec<u16> {
    let own = tunnels(node)
        .filter(|device| tunnel(device).is_some_and(|tunnel| tunnel.class == class))
        .filter_map(|device| device.vxlan.map(|vxlan| vxlan.port).or(device.port));
    distinct(own.chain(standard.iter().copied()))
}

fn vnis(node: &Node) -> Vec<u32> {
    let own = tunnels(node).filter_map(|device| device.vxlan?.vni);
    let forwarded = node.fdb.iter().filter_map(|entry| entry.vni);
    // 0 ends the list in the map, and Calico does not use it.
    distinct(own.chain(CALICO_VNIS).chain(forwarded).filter(|vni| *vni != 0))
}

fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut list = Vec::new();
    for value in values {
        if !list.contains(&value) {
            list.push(value);
        }
    }
    list
}
