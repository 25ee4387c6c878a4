//! Which devices encapsulate, as what, and how many bytes they add.

use std::net::IpAddr;

use observer_common::kind::Class;

use super::{Device, DeviceKind};

/// What a tunnel device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tunnel {
    /// As what it encapsulates.
    pub class: Class,
    /// Bytes that it adds to a packet, L3.
    pub overhead: u32,
}

const IPV4: u32 = 20;
const IPV6: u32 = 40;
const UDP: u32 = 8;
/// VXLAN's and Geneve's own header (Geneve without options).
const OVERLAY: u32 = 8;
const ETHERNET: u32 = 14;
/// GRE without key, checksum and sequence number.
const GRE: u32 = 4;
/// Transport message header (16) and tag (16).
const WIREGUARD: u32 = 32;
/// The destination option with the tunnel encapsulation limit that ip6tnl and ip6gre send unless told
/// not to: on 5.10 and 6.12 their MTUs over 1,500 bytes are 1,452 and 1,448.
const ENCAPSULATION_LIMIT: u32 = 8;

/// The tunnel that a device is, if it is one.
///
/// Calico's names decide where the kind does not: WireGuard and IPIP may be done in user space, behind
/// a TUN device.
pub(super) fn tunnel(device: &Device) -> Option<Tunnel> {
    let over_ipv6 = device.local.or(device.remote).is_some_and(|address: IpAddr| address.is_ipv6());
    let outer = |six: bool| if six { IPV6 } else { IPV4 };
    let (class, overhead) = match (&device.kind, device.name.as_str()) {
        (DeviceKind::Ipip, _) => (Class::Ipip, IPV4),
        (DeviceKind::Vxlan, name) => {
            let six = device.vxlan.map_or(name == "vxlan-v6.calico", |vxlan| vxlan.over_ipv6);
            (Class::Vxlan, outer(six) + UDP + OVERLAY + ETHERNET)
        }
        (DeviceKind::Geneve, _) => (Class::Geneve, outer(over_ipv6) + UDP + OVERLAY + ETHERNET),
        (DeviceKind::Wireguard, name) => (Class::Wireguard, outer(name == "wg-v6.cali") + UDP + WIREGUARD),
        (DeviceKind::Gre(kind), _) => {
            let frame = if kind.ends_with("tap") { ETHERNET } else { 0 };
            let six = kind.starts_with("ip6");
            let option = if six { ENCAPSULATION_LIMIT } else { 0 };
            (Class::Gre, outer(six) + option + GRE + frame)
        }
        (DeviceKind::OtherIpTunnel(kind), _) if kind == "sit" => (Class::Ip6In4, IPV4),
        // It carries either family (`mode any`); IPv6 is what it was made for.
        (DeviceKind::OtherIpTunnel(_), _) => (Class::Ip6In6, IPV6 + ENCAPSULATION_LIMIT),
        (_, "tunl0") => (Class::Ipip, IPV4),
        (_, "vxlan.calico") => (Class::Vxlan, IPV4 + UDP + OVERLAY + ETHERNET),
        (_, "vxlan-v6.calico") => (Class::Vxlan, IPV6 + UDP + OVERLAY + ETHERNET),
        (_, "wireguard.cali") => (Class::Wireguard, IPV4 + UDP + WIREGUARD),
        (_, "wg-v6.cali") => (Class::Wireguard, IPV6 + UDP + WIREGUARD),
        _ => return None,
    };
    Some(Tunnel { class, overhead })
}

/// Whether it leads to a pod.
pub(super) fn is_workload(device: &Device) -> bool {
    device.name.starts_with("cali") && tunnel(device).is_none()
}

impl Device {
    /// The encapsulation that it makes and the bytes, L3, that it adds to a packet; `None` where it is no
    /// tunnel.
    #[must_use]
    pub fn encapsulation(&self) -> Option<(Class, u32)> {
        tunnel(self).map(|tunnel| (tunnel.class, tunnel.overhead))
    }

    /// Whether it leads to a pod.
    #[must_use]
    pub fn is_workload(&self) -> bool {
        is_workload(self)
    }
}
