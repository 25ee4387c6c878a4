//! Calico's declared resources, from `calicoctl get … -o yaml`, `kubectl get … -o yaml` or the Kubernetes API,
//! in either API group. Pure.

mod resources;

pub use resources::{ResourceError, parse};

use std::net::IpAddr;

use observer_common::kind::Class;

use crate::model::Mode;
use crate::topology::Block;
pub use crate::topology::Prefix;
use crate::topology::convert::contains;

/// The resources that the doctor uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calico {
    /// IP pools.
    pub pools: Vec<Pool>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Felix's settings, the default ones first.
    pub felix: Vec<Felix>,
    /// Pod blocks, each with the name of its node.
    pub blocks: Vec<(Prefix, String)>,
    /// Number of skipped objects of other kinds.
    pub others: u64,
}

/// An IP pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// The addresses.
    pub cidr: Prefix,
    /// When pod traffic uses IPIP.
    pub ipip: When,
    /// When pod traffic uses VXLAN.
    pub vxlan: When,
    /// New pods get no address from it.
    pub disabled: bool,
}

/// When traffic is encapsulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Never.
    #[default]
    Never,
    /// Between all nodes.
    Always,
    /// Between nodes of different subnets.
    CrossSubnet,
}

impl When {
    /// Calico's name for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Never => "Never",
            Self::Always => "Always",
            Self::CrossSubnet => "CrossSubnet",
        }
    }
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<Prefix>,
    /// The addresses of its tunnel devices, which are in its pod blocks.
    pub tunnels: Vec<IpAddr>,
}

/// Felix's MTU settings; `None` and 0 mean that Felix detects the MTU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Felix {
    /// `default`, or `node.NAME`.
    pub name: String,
    /// `mtuIfacePattern`: the devices used for MTU detection.
    pub mtu_iface_pattern: Option<String>,
    /// `ipipMTU`.
    pub ipip_mtu: Option<u32>,
    /// `vxlanMTU`.
    pub vxlan_mtu: Option<u32>,
    /// `vxlanMTUV6`.
    pub vxlan_mtu_v6: Option<u32>,
    /// `wireguardMTU`.
    pub wireguard_mtu: Option<u32>,
    /// `wireguardMTUV6`.
    pub wireguard_mtu_v6: Option<u32>,
}

impl Pool {
    /// The declared mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match (self.ipip, self.vxlan) {
            (When::Always, _) => Mode::Always(Class::Ipip),
            (When::CrossSubnet, _) => Mode::CrossSubnet(Class::Ipip),
            (When::Never, When::Always) => Mode::Always(Class::Vxlan),
            (When::Never, When::CrossSubnet) => Mode::CrossSubnet(Class::Vxlan),
            (When::Never, When::Never) => Mode::Native,
        }
    }

    /// Whether a block belongs to the pool.
    #[must_use]
    pub fn contains(&self, block: &Block) -> bool {
        self.cidr.1 <= block.prefix_len && contains(self.cidr.0, self.cidr.1, block.address)
    }

    /// Its encapsulation settings as text.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "IPPool {} {}/{}: ipipMode {}, vxlanMode {}",
            self.name,
            self.cidr.0,
            self.cidr.1,
            self.ipip.label(),
            self.vxlan.label()
        )
    }
}

impl Calico {
    /// Adds the resources of another file.
    pub fn add(&mut self, other: Self) {
        self.pools.extend(other.pools);
        for node in other.nodes {
            // A node may be given as an object of Kubernetes and of Calico.
            match self.nodes.iter_mut().find(|known| known.name == node.name) {
                Some(known) => {
                    known.addresses.extend(node.addresses);
                    known.tunnels.extend(node.tunnels);
                }
                None => self.nodes.push(node),
            }
        }
        self.felix.extend(other.felix);
        self.felix.sort_by_key(|felix| felix.name != "default");
        self.blocks.extend(other.blocks);
        self.others += other.others;
    }

    /// Enabled pools of a family.
    pub fn pools_of(&self, ipv6: bool) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(move |pool| pool.cidr.0.is_ipv6() == ipv6 && !pool.disabled)
    }

    /// The declared mode of a family: `None` without pools, [`Mode::Mixed`] if they differ.
    #[must_use]
    pub fn mode(&self, ipv6: bool) -> Option<Mode> {
        let mut modes = self.pools_of(ipv6).map(Pool::mode);
        let first = modes.next()?;
        Some(if modes.all(|mode| mode == first) { first } else { Mode::Mixed })
    }

    /// The node with this address.
    #[must_use]
    pub fn node_at(&self, address: IpAddr) -> Option<&Node> {
        self.nodes.iter().find(|node| node.addresses.iter().any(|(own, _)| *own == address))
    }

    /// The node with one of these addresses.
    #[must_use]
    pub fn node_with(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Option<&Node> {
        addresses.into_iter().find_map(|address| self.node_at(address))
    }

    /// The name of the node that owns the block, or has a tunnel address in it.
    #[must_use]
    pub fn owner(&self, (address, len): Prefix) -> Option<&str> {
        let block = self.blocks.iter().find(|((first, own), _)| *first == address && *own == len);
        block.map(|(_, node)| node.as_str()).or_else(|| {
            let within = |node: &&Node| node.tunnels.iter().any(|tunnel| contains(address, len, *tunnel));
            self.nodes.iter().find(within).map(|node| node.name.as_str())
        })
    }

    /// Felix's settings on a node: the default ones, overridden by the node's.
    #[must_use]
    pub fn felix_on(&self, node: Option<&str>) -> Felix {
        let mut merged = Felix::default();
        let own = node.map(|name| format!("node.{name}"));
        for felix in self.felix.iter().filter(|f| f.name == "default" || Some(&f.name) == own.as_ref()) {
            let Felix { name, mtu_iface_pattern, ipip_mtu, vxlan_mtu, .. } = felix.clone();
            merged.name = name;
            merged.mtu_iface_pattern = mtu_iface_pattern.or(merged.mtu_iface_pattern);
            merged.ipip_mtu = ipip_mtu.or(merged.ipip_mtu);
            merged.vxlan_mtu = vxlan_mtu.or(merged.vxlan_mtu);
            merged.vxlan_mtu_v6 = felix.vxlan_mtu_v6.or(merged.vxlan_mtu_v6);
            merged.wireguard_mtu = felix.wireguard_mtu.or(merged.wireguard_mtu);
            merged.wireguard_mtu_v6 = felix.wireguard_mtu_v6.or(merged.wireguard_mtu_v6);
        }
        merged
    }
}

impl Felix {
    /// The declared MTU of a tunnel device; `None` if Felix detects it.
    #[must_use]
    pub fn mtu_of(&self, class: Class, over_ipv6: bool) -> Option<u32> {
        let set = match (class, over_ipv6) {
            (Class::Ipip, _) => self.ipip_mtu,
            (Class::Vxlan, false) => self.vxlan_mtu,
            (Class::Vxlan, true) => self.vxlan_mtu_v6,
            (Class::Wireguard, false) => self.wireguard_mtu,
            (Class::Wireguard, true) => self.wireguard_mtu_v6,
            _ => None,
        };
        set.filter(|mtu| *mtu != 0)
    }

    /// The name of that setting.
    #[must_use]
    pub const fn setting(class: Class, over_ipv6: bool) -> Option<&'static str> {
        Some(match (class, over_ipv6) {
            (Class::Ipip, _) => "ipipMTU",
            (Class::Vxlan, false) => "vxlanMTU",
            (Class::Vxlan, true) => "vxlanMTUV6",
            (Class::Wireguard, false) => "wireguardMTU",
            (Class::Wireguard, true) => "wireguardMTUV6",
            _ => return None,
        })
    }
}
