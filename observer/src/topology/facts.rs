//! A node as netlink reported it, without interpretation. As JSON, it describes a node in tests and bug
//! reports.

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
    /// Neighbours that do not answer (`FAILED`): device and address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<(u32, IpAddr)>,
    /// Forwarding entries of VXLAN devices.
    pub fdb: Vec<FdbEntry>,
    /// What could not be read, one sentence each.
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
    /// L3 bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The underlying device of a VLAN, or of a VXLAN bound to a device, in the same namespace.
    pub lower: Option<u32>,
    /// The bond or bridge it belongs to.
    pub controller: Option<u32>,
    /// Properties of a VXLAN device.
    pub vxlan: Option<Vxlan>,
    /// Local address of an IP tunnel or VXLAN device.
    pub local: Option<IpAddr>,
    /// Address of a tunnel's fixed remote endpoint; `None` for a multicast group.
    pub remote: Option<IpAddr>,
    /// UDP port of a Geneve or WireGuard device.
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
    /// Whether it is a kernel tunnel of IP packets in IP or GRE, without an inner Ethernet header.
    #[must_use]
    pub fn is_ip_tunnel(&self) -> bool {
        match self {
            Self::Ipip | Self::OtherIpTunnel(_) => true,
            Self::Gre(kind) => !kind.ends_with("tap"),
            _ => false,
        }
    }

    /// The kernel's name for it; empty for hardware.
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

    /// The reverse of [`Self::label`].
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

/// The first header of a device's frames (`IFLA` link type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkLayer {
    /// `ARPHRD_ETHER`.
    Ethernet,
    /// `ARPHRD_NONE`, `ARPHRD_TUNNEL`, `ARPHRD_TUNNEL6`, `ARPHRD_SIT`, `ARPHRD_IPGRE`, …: an IP header.
    Ip,
    /// `ARPHRD_LOOPBACK`: an Ethernet header of zeros.
    Loopback,
    /// Any other; cannot be parsed.
    Other(u16),
}

/// Properties of a VXLAN device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vxlan {
    /// VNI; `None` if it is flow-based (`external`).
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
    /// Forwards to a next hop or device.
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
    /// VNI, if it differs from the device's.
    pub vni: Option<u32>,
}
