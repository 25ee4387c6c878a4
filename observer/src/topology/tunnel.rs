//! Tunnel devices: their encapsulation and overhead.

use std::net::IpAddr;

use observer_common::kind::Class;

use super::{Device, DeviceKind};

/// A tunnel device's encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tunnel {
    /// Its kind.
    pub class: Class,
    /// L3 bytes that it adds to a packet.
    pub overhead: u32,
}

const IPV4: u32 = 20;
const IPV6: u32 = 40;
const UDP: u32 = 8;
/// The VXLAN or Geneve header, without Geneve options.
const OVERLAY: u32 = 8;
const ETHERNET: u32 = 14;
/// GRE without key, checksum and sequence number.
const GRE: u32 = 4;
/// Header (16) and authentication tag (16) of a transport message.
const WIREGUARD: u32 = 32;
/// The tunnel encapsulation limit, a destination option that ip6tnl and ip6gre send by default: on 5.10 and
/// 6.12 their MTUs over 1,500 bytes are 1,452 and 1,448.
const ENCAPSULATION_LIMIT: u32 = 8;

/// The encapsulation of a tunnel device; `None` for other devices.
///
/// If the kind does not decide, Calico's device names do: WireGuard and IPIP may run in user space with a TUN
/// device.
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
        // With `mode any` it carries both families; IPv6 is the common one.
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

/// Whether it is a pod interface.
pub(super) fn is_workload(device: &Device) -> bool {
    device.name.starts_with("cali") && tunnel(device).is_none()
}

impl Device {
    /// The encapsulation and overhead (L3 bytes) of a tunnel device; `None` for other devices.
    #[must_use]
    pub fn encapsulation(&self) -> Option<(Class, u32)> {
        tunnel(self).map(|tunnel| (tunnel.class, tunnel.overhead))
    }

    /// Whether it is a pod interface.
    #[must_use]
    pub fn is_workload(&self) -> bool {
        is_workload(self)
    }
}
