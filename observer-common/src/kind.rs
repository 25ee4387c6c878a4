//! Direction, encapsulation and class of packets.

/// Which way a packet crosses a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[repr(u8)]
pub enum Direction {
    /// From the wire (or, at a tunnel device, out of the tunnel) towards the node.
    Ingress = 0,
    /// From the node towards the wire (or into the tunnel).
    Egress = 1,
}

impl Direction {
    /// Both directions, in numeric order.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The label used by every view.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The opposite direction.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

/// The class that totals are broken down by: the encapsulations, and packets without one.
///
/// The numbers are array indices in kernel maps ([`crate::abi::totals_index`]), never wire bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[repr(u8)]
pub enum Class {
    /// An IP packet without encapsulation. On an underlay: native pod traffic.
    None = 0,
    /// IPv4 in IPv4, protocol 4 (RFC 2003).
    Ipip = 1,
    /// IPv6 in IPv4, protocol 41 (RFC 4213).
    Ip6In4 = 2,
    /// IPv4 in IPv6, next header 4 (RFC 2473).
    Ip4In6 = 3,
    /// IPv6 in IPv6, next header 41 (RFC 2473).
    Ip6In6 = 4,
    /// VXLAN (RFC 7348), also its generic protocol extension on the same port.
    Vxlan = 5,
    /// Geneve (RFC 8926).
    Geneve = 6,
    /// GRE (RFC 2784, 2890), IP or transparent Ethernet bridging.
    Gre = 7,
    /// WireGuard transport data and handshakes.
    Wireguard = 8,
    /// An IP packet without encapsulation on an underlay, whose remote address is not a pod's.
    External = 9,
    /// A frame that is not IP (ARP, LLDP, MPLS, PPPoE, …).
    #[cfg_attr(feature = "serde", serde(rename = "non_ip"))]
    NonIp = 10,
    /// A frame whose outer headers could not be parsed; the reasons are counted separately.
    Malformed = 11,
}

impl Class {
    /// Every class, in numeric order.
    pub const ALL: [Self; 12] = [
        Self::None,
        Self::Ipip,
        Self::Ip6In4,
        Self::Ip4In6,
        Self::Ip6In6,
        Self::Vxlan,
        Self::Geneve,
        Self::Gre,
        Self::Wireguard,
        Self::External,
        Self::NonIp,
        Self::Malformed,
    ];
    /// The encapsulations, including `none`.
    pub const ENCAPSULATIONS: [Self; 9] = [
        Self::None,
        Self::Ipip,
        Self::Ip6In4,
        Self::Ip4In6,
        Self::Ip6In6,
        Self::Vxlan,
        Self::Geneve,
        Self::Gre,
        Self::Wireguard,
    ];

    /// The label used by every view.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ipip => "ipip",
            Self::Ip6In4 => "ip6in4",
            Self::Ip4In6 => "ip4in6",
            Self::Ip6In6 => "ip6in6",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Wireguard => "wireguard",
            Self::External => "external",
            Self::NonIp => "non_ip",
            Self::Malformed => "malformed",
        }
    }

    /// The class with this number, if there is one.
    #[must_use]
    pub const fn from_index(index: u8) -> Option<Self> {
        if (index as usize) < Self::ALL.len() { Some(Self::ALL[index as usize]) } else { None }
    }

    /// Whether packets of this class carry another packet.
    #[must_use]
    pub const fn is_tunnel(self) -> bool {
        (self as u8) >= (Self::Ipip as u8) && (self as u8) <= (Self::Wireguard as u8)
    }
}
