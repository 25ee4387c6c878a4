//! Nodes, pods and the router with their addresses and names. Pure: no clock, no I/O.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The underlay device of every node.
pub const UNDERLAY: &str = "eth0";
/// Calico's IPIP device.
pub const TUNL: &str = "tunl0";
/// Calico's VXLAN device for IPv4 pods.
pub const VXLAN: &str = "vxlan.calico";
/// Calico's VXLAN device for IPv6 pods.
pub const VXLAN6: &str = "vxlan-v6.calico";
/// The MAC address of the node's side of every pod interface in Calico.
pub const CALI_MAC: &str = "ee:ee:ee:ee:ee:ee";
/// The link-local address that follows from [`CALI_MAC`]: every pod's IPv6 gateway.
pub const CALI_LINK_LOCAL: &str = "fe80::ecee:eeff:feee:eeee";
/// Every pod's IPv4 gateway, which no device owns.
pub const POD_GATEWAY: &str = "169.254.1.1";

/// Calico mode of the pod network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub enum Mode {
    /// IPIP between all nodes
    #[value(name = "ipip-always")]
    #[serde(rename = "ipip-always")]
    IpipAlways,
    /// IPIP across subnets, native inside one
    #[value(name = "ipip-crosssubnet")]
    #[serde(rename = "ipip-crosssubnet")]
    IpipCrossSubnet,
    /// VXLAN between all nodes
    #[value(name = "vxlan-always")]
    #[serde(rename = "vxlan-always")]
    VxlanAlways,
    /// VXLAN across subnets, native inside one
    #[value(name = "vxlan-crosssubnet")]
    #[serde(rename = "vxlan-crosssubnet")]
    VxlanCrossSubnet,
    /// No encapsulation, routes as from BGP
    #[value(name = "bgp")]
    #[serde(rename = "bgp")]
    Bgp,
}

impl Mode {
    /// All modes.
    #[cfg(test)]
    pub const ALL: [Self; 5] =
        [Self::IpipAlways, Self::IpipCrossSubnet, Self::VxlanAlways, Self::VxlanCrossSubnet, Self::Bgp];

    /// Whether IPv4 pod traffic goes through `tunl0`, at least across subnets.
    pub fn is_ipip(self) -> bool {
        matches!(self, Self::IpipAlways | Self::IpipCrossSubnet)
    }

    /// Whether pod traffic goes through `vxlan.calico`, at least across subnets.
    pub fn is_vxlan(self) -> bool {
        matches!(self, Self::VxlanAlways | Self::VxlanCrossSubnet)
    }

    /// Whether nodes of one subnet reach each other's pods without a tunnel.
    pub fn is_cross_subnet(self) -> bool {
        matches!(self, Self::IpipCrossSubnet | Self::VxlanCrossSubnet)
    }

    /// The tunnel device of a family of addresses, if any traffic of the family is encapsulated.
    pub fn tunnel_device(self, family: Family) -> Option<&'static str> {
        match family {
            Family::V4 if self.is_ipip() => Some(TUNL),
            Family::V4 if self.is_vxlan() => Some(VXLAN),
            Family::V6 if self.is_vxlan() => Some(VXLAN6),
            Family::V4 | Family::V6 => None,
        }
    }

    /// The MTU that Felix would give to new pods on a 1500-byte underlay: the smallest of the MTUs of the
    /// enabled encapsulations (VXLAN over IPv6 takes 70 bytes).
    pub fn pod_mtu(self) -> u32 {
        if self.is_ipip() {
            1480
        } else if self.is_vxlan() {
            1430
        } else {
            1500
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IpipAlways => "ipip-always",
            Self::IpipCrossSubnet => "ipip-crosssubnet",
            Self::VxlanAlways => "vxlan-always",
            Self::VxlanCrossSubnet => "vxlan-crosssubnet",
            Self::Bgp => "bgp",
        })
    }
}

/// The family of addresses of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Family {
    /// IPv4
    #[value(name = "4")]
    V4,
    /// IPv6
    #[value(name = "6")]
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// 4 or 6.
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }
}

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Its first address.
    pub address: IpAddr,
    /// Its length in bits.
    pub len: u8,
}

impl Prefix {
    /// Whether the prefix holds `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.len)).unwrap_or(0);
                (u32::from(own) ^ u32::from(other)) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.len)).unwrap_or(0);
                (u128::from(own) ^ u128::from(other)) & mask == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl Serialize for Prefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A pod: a namespace with one device.
#[derive(Clone, Debug, Serialize)]
pub struct Pod {
    /// `pod-a1`
    pub name: String,
    /// The name of its network namespace.
    pub netns: String,
    /// Its IPv4 address.
    pub address: Ipv4Addr,
    /// Its IPv6 address.
    pub address6: Ipv6Addr,
    /// The node's side of its device.
    pub device: String,
    /// The MAC address of the pod's side.
    pub mac: String,
    /// Whether the pod is older than the tunnel and keeps MTU 1500, so that its packets do not fit the tunnel.
    pub keeps_old_mtu: bool,
}

impl Pod {
    /// Its address in a family.
    pub fn ip(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.address.into(),
            Family::V6 => self.address6.into(),
        }
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// `node-a`
    pub name: String,
    /// The name of its network namespace.
    pub netns: String,
    /// Its IPv4 address on the underlay.
    pub address: Ipv4Addr,
    /// The length of the underlay's IPv4 prefix.
    pub prefix_len: u8,
    /// Its IPv6 address on the underlay.
    pub address6: Ipv6Addr,
    /// The length of the underlay's IPv6 prefix.
    pub prefix_len6: u8,
    /// The router's addresses in the node's subnet.
    pub gateway: Ipv4Addr,
    /// The same for IPv6.
    pub gateway6: Ipv6Addr,
    /// The device on the underlay.
    pub underlay_device: &'static str,
    /// The MAC address of the underlay device.
    pub mac: String,
    /// Its block of the IPv4 pool.
    pub block: Prefix,
    /// Its block of the IPv6 pool.
    pub block6: Prefix,
    /// The address of its tunnel devices: the first one of the block.
    pub vtep: Ipv4Addr,
    /// The same for IPv6.
    pub vtep6: Ipv6Addr,
    /// The MAC address of `vxlan.calico`.
    pub vtep_mac: String,
    /// The MAC address of `vxlan-v6.calico`.
    pub vtep6_mac: String,
    /// The nodes whose address the prefix of this one's underlay device contains.
    pub same_subnet_as: Vec<String>,
    /// Its pods.
    pub pods: Vec<Pod>,
}

impl Node {
    /// Its underlay address in a family.
    pub fn ip(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.address.into(),
            Family::V6 => self.address6.into(),
        }
    }

    /// Its block in a family.
    pub fn block(&self, family: Family) -> Prefix {
        match family {
            Family::V4 => self.block,
            Family::V6 => self.block6,
        }
    }

    /// The address of its tunnel device in a family.
    pub fn vtep(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.vtep.into(),
            Family::V6 => self.vtep6.into(),
        }
    }

    /// The router's address in its subnet.
    pub fn gateway(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.gateway.into(),
            Family::V6 => self.gateway6.into(),
        }
    }

    /// The underlay's prefix in a family.
    pub fn subnet(&self, family: Family) -> Prefix {
        match family {
            Family::V4 => Prefix { address: self.address.into(), len: self.prefix_len },
            Family::V6 => Prefix { address: self.address6.into(), len: self.prefix_len6 },
        }
    }
}

/// The whole lab.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The namespace of the router; its ports are `a`, `b` (in the bridge `br0`) and `c`.
    pub router: String,
    /// The nodes; `a` and `b` share a subnet, `c` is behind the router.
    pub nodes: Vec<Node>,
}

impl Topology {
    /// The lab whose namespaces have names that start with `prefix` and a dash.
    pub fn new(prefix: &str) -> Self {
        let mut nodes = vec![
            node(prefix, 'a', 1, 11, Ipv4Addr::new(10, 244, 10, 0), 2),
            node(prefix, 'b', 1, 12, Ipv4Addr::new(10, 244, 20, 64), 1),
            node(prefix, 'c', 2, 13, Ipv4Addr::new(10, 244, 30, 128), 1),
        ];
        let addresses: Vec<(String, IpAddr)> =
            nodes.iter().map(|node| (node.name.clone(), node.address.into())).collect();
        for node in &mut nodes {
            let subnet = node.subnet(Family::V4);
            node.same_subnet_as = addresses
                .iter()
                .filter(|(name, address)| *name != node.name && subnet.contains(*address))
                .map(|(name, _)| name.clone())
                .collect();
        }
        Self { router: format!("{prefix}-router"), nodes }
    }

    /// Every namespace's name: the router, the nodes, the pods.
    pub fn namespaces(&self) -> Vec<String> {
        let nodes = self.nodes.iter().map(|node| node.netns.clone());
        std::iter::once(self.router.clone())
            .chain(nodes)
            .chain(self.pods().map(|pod| pod.netns.clone()))
            .collect()
    }

    /// Every pod.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.nodes.iter().flat_map(|node| &node.pods)
    }

    /// A pod by its name, with or without `pod-`.
    pub fn pod(&self, name: &str) -> Option<&Pod> {
        let wanted = name.strip_prefix("pod-").unwrap_or(name);
        self.pods().find(|pod| pod.name.strip_prefix("pod-") == Some(wanted))
    }

    /// The namespace of a node, a pod or the router, by its name with or without `node-` and `pod-`.
    pub fn netns(&self, name: &str) -> Option<&str> {
        let node = name.strip_prefix("node-").unwrap_or(name);
        if name == "router" {
            return Some(&self.router);
        }
        self.nodes
            .iter()
            .find(|candidate| candidate.name.strip_prefix("node-") == Some(node))
            .map(|node| node.netns.as_str())
            .or_else(|| self.pod(name).map(|pod| pod.netns.as_str()))
    }
}

fn node(prefix: &str, letter: char, subnet: u8, host: u8, block: Ipv4Addr, pods: u8) -> Node {
    let net = u16::from(subnet);
    let block_number = u16::from(block.octets()[2]);
    let block6 = |offset: u16| Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, block_number, offset);
    let pod = |number: u8| Pod {
        name: format!("pod-{letter}{number}"),
        netns: format!("{prefix}-pod-{letter}{number}"),
        address: Ipv4Addr::from(u32::from(block) + 1 + u32::from(number)),
        address6: block6(1 + u16::from(number)),
        device: cali_name(&format!("default.{letter}{number}")),
        mac: format!("02:0b:00:00:{host:02}:{number:02}"),
        keeps_old_mtu: letter == 'a' && number == 2,
    };
    Node {
        name: format!("node-{letter}"),
        netns: format!("{prefix}-node-{letter}"),
        address: Ipv4Addr::new(10, 10, subnet, host),
        prefix_len: 24,
        address6: Ipv6Addr::new(0xfd00, 0x10, 0x10, net, 0, 0, 0, u16::from(host)),
        prefix_len6: 64,
        gateway: Ipv4Addr::new(10, 10, subnet, 1),
        gateway6: Ipv6Addr::new(0xfd00, 0x10, 0x10, net, 0, 0, 0, 1),
        underlay_device: UNDERLAY,
        mac: format!("02:0b:01:00:00:{host:02}"),
        block: Prefix { address: block.into(), len: 26 },
        block6: Prefix { address: block6(0).into(), len: 122 },
        vtep: block,
        vtep6: block6(0),
        vtep_mac: format!("66:0b:04:00:00:{host:02}"),
        vtep6_mac: format!("66:0b:06:00:00:{host:02}"),
        same_subnet_as: Vec::new(),
        pods: (1..=pods).map(pod).collect(),
    }
}

/// `cali` and eleven hexadecimal digits of a hash, like Calico's pod interfaces. Calico uses SHA-1; any stable hash is
/// sufficient here, so this is FNV-1a.
fn cali_name(workload: &str) -> String {
    let hash = workload.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("cali{:011x}", hash & 0xfff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_differ() {
        let topology = Topology::new("observer");
        let mut names: Vec<&str> = topology.pods().map(|pod| pod.device.as_str()).collect();
        assert!(names.iter().all(|name| name.len() == 15));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 4);
        assert_eq!(topology.namespaces().len(), 8);
    }

    #[test]
    fn a_and_b_share_a_subnet_and_c_does_not() {
        let topology = Topology::new("observer");
        let same: Vec<_> = topology.nodes.iter().map(|node| node.same_subnet_as.clone()).collect();
        assert_eq!(same, [vec!["node-b".to_owned()], vec!["node-a".to_owned()], vec![]]);
    }

    #[test]
    fn pods_are_in_their_nodes_blocks() {
        for node in &Topology::new("x").nodes {
            for pod in &node.pods {
                for family in Family::ALL {
                    assert!(node.block(family).contains(pod.ip(family)), "{} {:?}", pod.name, family);
                    assert_ne!(pod.ip(family), node.vtep(family));
                }
            }
        }
    }

    #[test]
    fn prefix_contains_its_addresses_only() {
        let cases = [
            ("10.10.1.0", 24, "10.10.1.255", true),
            ("10.10.1.0", 24, "10.10.2.0", false),
            ("10.10.1.0", 0, "192.0.2.1", true),
            ("10.10.1.1", 32, "10.10.1.2", false),
            ("fd00::", 122, "fd00::3f", true),
            ("fd00::", 122, "fd00::40", false),
            ("::", 0, "fd00::40", true),
            ("0.0.0.0", 0, "fd00::40", false),
        ];
        for (address, len, other, expected) in cases {
            let prefix = Prefix { address: address.parse().expect("an address"), len };
            assert_eq!(prefix.contains(other.parse().expect("an address")), expected, "{prefix} {other}");
        }
    }

    #[test]
    fn nodes_and_pods_are_found_by_short_and_long_names() {
        let topology = Topology::new("t");
        for (name, netns) in [
            ("a", "t-node-a"),
            ("node-c", "t-node-c"),
            ("a2", "t-pod-a2"),
            ("pod-b1", "t-pod-b1"),
            ("router", "t-router"),
        ] {
            assert_eq!(topology.netns(name), Some(netns));
        }
        assert_eq!(topology.netns("d"), None);
    }
}
