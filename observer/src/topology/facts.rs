//! The node as netlink gave it, nothing interpreted. Written as JSON, it is what tests and bug reports
//! keep of a node.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Everything that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Devices.
    pub devices: Vec<Device>,
    /// Addresses of devices.
    pub addresses: Vec<Address>,
    /// Routes of all tables.
    pub routes: Vec<Route>,
    /// Neighbours (ARP, ND).
    pub neighbours: Vec<Neighbour>,
    /// Neighbours that were asked for and did not answer (`FAILED`): the device and the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<(u32, IpAddr)>,
    /// Forwarding entries of VXLAN devices.
    pub fdb: Vec<FdbEntry>,
    /// Sentences about what could not be read.
    pub notes: Vec<String>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Interface index in this network namespace.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: DeviceKind,
    /// Link layer.
    pub link: LinkLayer,
    /// Bytes, L3.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The device below (of a VLAN, of a VXLAN with a fixed device), same namespace.
    pub lower: Option<u32>,
    /// The bond or bridge that it belongs to.
    pub controller: Option<u32>,
    /// Of a VXLAN device.
    pub vxlan: Option<Vxlan>,
    /// Of an IPIP, GRE or similar tunnel, or of a VXLAN: its local address.
    pub local: Option<IpAddr>,
    /// Of a tunnel with one fixed far end: its address; a multicast group counts as none.
    pub remote: Option<IpAddr>,
    /// Of a Geneve or WireGuard device: its UDP port.
    pub port: Option<u16>,
}

/// The kind of a device (`IFLA_INFO_KIND`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// No kind: hardware.
    Hardware,
    /// `ipip`.
    Ipip,
    /// `sit`, `ip6tnl`: other IP-in-IP.
    OtherIpTunnel(String),
    /// `vxlan`.
    Vxlan,
    /// `geneve`.
    Geneve,
    /// `gre`, `gretap`, `ip6gre`, `ip6gretap`.
    Gre(String),
    /// `wireguard`.
    Wireguard,
    /// `veth`.
    Veth,
    /// `bond`.
    Bond,
    /// `bridge`.
    Bridge,
    /// `vlan`.
    Vlan,
    /// `tun` (TUN and TAP).
    Tun,
    /// Anything else.
    Other(String),
}

impl DeviceKind {
    /// Whether the kernel itself puts IP packets into IP or GRE here, with no Ethernet header between.
    #[must_use]
    pub fn is_ip_tunnel(&self) -> bool {
        match self {
            Self::Ipip | Self::OtherIpTunnel(_) => true,
            Self::Gre(kind) => !kind.ends_with("tap"),
            _ => false,
        }
    }

    /// The word that the kernel has for it; empty for hardware.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Hardware => "",
            Self::Ipip => "ipip",
            Self::OtherIpTunnel(kind) | Self::Gre(kind) | Self::Other(kind) => kind,
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Wireguard => "wireguard",
            Self::Veth => "veth",
            Self::Bond => "bond",
            Self::Bridge => "bridge",
            Self::Vlan => "vlan",
            Self::Tun => "tun",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn from_label(label: &str) -> Self {
        match label {
            "" => Self::Hardware,
            "ipip" => Self::Ipip,
            "sit" | "ip6tnl" => Self::OtherIpTunnel(label.to_owned()),
            "vxlan" => Self::Vxlan,
            "geneve" => Self::Geneve,
            "gre" | "gretap" | "ip6gre" | "ip6gretap" => Self::Gre(label.to_owned()),
            "wireguard" => Self::Wireguard,
            "veth" => Self::Veth,
            "bond" => Self::Bond,
            "bridge" => Self::Bridge,
            "vlan" => Self::Vlan,
            "tun" => Self::Tun,
            _ => Self::Other(label.to_owned()),
        }
    }
}

/// What stands at the start of a device's frames (`IFLA` link type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkLayer {
    /// `ARPHRD_ETHER`.
    Ethernet,
    /// `ARPHRD_NONE`, `ARPHRD_TUNNEL`, `ARPHRD_TUNNEL6`, `ARPHRD_SIT`, `ARPHRD_IPGRE`, …: an IP header.
    Ip,
    /// `ARPHRD_LOOPBACK`: an Ethernet header of zeros.
    Loopback,
    /// Another, which cannot be parsed.
    Other(u16),
}

/// What a VXLAN device says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vxlan {
    /// VNI; `None` where it is flow-based (`external`).
    pub vni: Option<u32>,
    /// UDP port, host byte order.
    pub port: u16,
    /// It encapsulates in IPv6.
    pub over_ipv6: bool,
}

/// One address of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The device.
    pub ifindex: u32,
    /// The address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix_len: u8,
}

/// The kind of a route (`RTN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteKind {
    /// Leads somewhere.
    Unicast,
    /// Drops (Calico's local blocks).
    Blackhole,
    /// `unreachable`, `prohibit`, `throw`.
    Refusing,
    /// The node's own addresses, broadcast, multicast.
    Local,
}

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination; the unspecified address with length 0 for a default route.
    pub destination: IpAddr,
    /// Prefix length.
    pub prefix_len: u8,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Device.
    pub ifindex: Option<u32>,
    /// Kind.
    pub kind: RouteKind,
    /// Protocol (BIRD 12, Felix 80).
    pub protocol: u8,
    /// Table.
    pub table: u32,
    /// `onlink`.
    pub onlink: bool,
    /// MTU metric of the route, bytes.
    pub mtu: Option<u32>,
}

/// One neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The device.
    pub ifindex: u32,
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its link-layer address.
    pub mac: [u8; 6],
}

/// One forwarding entry of a VXLAN device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbEntry {
    /// The device.
    pub ifindex: u32,
    /// The inner link-layer address; zeros for the default entry.
    pub mac: [u8; 6],
    /// Where the packet is sent.
    pub remote: IpAddr,
    /// VNI, where it differs from the device's.
    pub vni: Option<u32>,
}
