//! What the programs need to know about a device.

use observer_common::abi::{DeviceFacts, link, role};
use observer_common::path::VNI_NONE;

use super::sys;
use crate::topology::{LinkLayer, Role, Watched};

/// Before this kernel, TC ingress of tunl0 starts at the outer headers.
const INNER_AT_TUNNEL_INGRESS: (u32, u32) = (6, 1);

/// The entry of a device in `DEVICES`.
pub(super) fn facts(watched: &Watched, slot: u16, underlay_slot: u16) -> DeviceFacts {
    let [ingress_link, egress_link] = links(watched);
    DeviceFacts {
        ifindex: watched.device.ifindex,
        mtu: watched.device.mtu,
        underlay_mtu: watched.underlay_mtu.unwrap_or(0),
        overhead: watched.overhead,
        vni: watched.vni.unwrap_or(VNI_NONE),
        slot,
        underlay_slot,
        role: match watched.role {
            Role::Underlay => role::UNDERLAY,
            Role::Tunnel => role::TUNNEL,
            Role::Workload => role::WORKLOAD,
            Role::Other => role::OTHER,
        },
        ingress_link,
        egress_link,
        class: watched.class as u8,
        reserved: 0,
    }
}

/// What packets of a device start with at ingress and at egress: of [`link`].
pub(super) fn links(watched: &Watched) -> [u8; 2] {
    let by_link = match watched.device.link {
        LinkLayer::Ethernet | LinkLayer::Loopback => link::ETHERNET,
        LinkLayer::Ip => link::IP,
        LinkLayer::Other(_) => link::UNKNOWN,
    };
    let old = sys::version().is_some_and(|version| version < INNER_AT_TUNNEL_INGRESS);
    let outer_first = old && watched.device.kind.is_ip_tunnel();
    [if outer_first { link::NETWORK_HEADER } else { by_link }, by_link]
}
