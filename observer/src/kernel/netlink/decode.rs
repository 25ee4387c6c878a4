//! Converts netlink messages to facts. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoGeneve, InfoGre, InfoGre6, InfoIpTunnel, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHopFlags, RouteType,
    RouteVia,
};

use crate::topology::{Address, Device, DeviceKind, FdbEntry, LinkLayer, Neighbour, Route, RouteKind, Vxlan};

/// VXLAN's port if the kernel does not report one.
const VXLAN_PORT: u16 = 4789;

/// A device.
pub(super) fn device(message: &LinkMessage) -> Device {
    let mut device = Device {
        ifindex: message.header.index,
        name: String::new(),
        kind: DeviceKind::Hardware,
        link: link_layer(u16::from(message.header.link_layer_type)),
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        lower: None,
        controller: None,
        vxlan: None,
        local: None,
        remote: None,
        port: None,
    };
    // The index of a device in another namespace is meaningless here (veth peers).
    let abroad = message.attributes.iter().any(|a| matches!(a, LinkAttribute::LinkNetNsId(_)));
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => device.mtu = *mtu,
            LinkAttribute::Link(below) if !abroad && *below != 0 && *below != device.ifindex => {
                device.lower = Some(*below);
            }
            LinkAttribute::Controller(above) => device.controller = Some(*above),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => device.kind = DeviceKind::from_label(&kind.to_string()),
                        LinkInfo::Data(data) => details(&mut device, data, abroad),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if device.kind == DeviceKind::Veth {
        // IFLA_LINK of a veth is its peer, not a lower device.
        device.lower = None;
    }
    device
}

fn link_layer(kind: u16) -> LinkLayer {
    /// Link types without a header before the IP header: NONE, RAWIP, TUNNEL, TUNNEL6, SIT, IPGRE and
    /// IP6GRE of if_arp.h.
    const IP: [u16; 7] = [0xfffe, 519, libc::ARPHRD_TUNNEL, libc::ARPHRD_TUNNEL6, libc::ARPHRD_SIT, 778, 823];
    match kind {
        libc::ARPHRD_ETHER => LinkLayer::Ethernet,
        libc::ARPHRD_LOOPBACK => LinkLayer::Loopback,
        kind if IP.contains(&kind) => LinkLayer::Ip,
        other => LinkLayer::Other(other),
    }
}

/// Sets a tunnel's addresses and lower device. The attributes have the same names in each kind's enum.
macro_rules! ends {
    ($device:ident, $list:ident, $info:ident, $abroad:ident) => {
        for info in $list {
            match info {
                $info::Local(address) => $device.local = one_host((*address).into()),
                $info::Remote(address) => $device.remote = one_host((*address).into()),
                $info::Link(below) => $device.lower = below_of(*below, $abroad),
                _ => {}
            }
        }
    };
}

fn details(device: &mut Device, data: &InfoData, abroad: bool) {
    match data {
        InfoData::Vxlan(list) => vxlan(device, list, abroad),
        InfoData::Geneve(list) => geneve(device, list),
        InfoData::IpTunnel(list) => ends!(device, list, InfoIpTunnel, abroad),
        InfoData::GreTun(list) | InfoData::GreTap(list) | InfoData::ErSpan(list) => {
            ends!(device, list, InfoGre, abroad);
        }
        InfoData::GreTun6(list) | InfoData::GreTap6(list) | InfoData::Ip6ErSpan(list) => {
            ends!(device, list, InfoGre6, abroad);
        }
        _ => {}
    }
}

fn vxlan(device: &mut Device, list: &[InfoVxlan], abroad: bool) {
    let mut vxlan = Vxlan { vni: None, port: VXLAN_PORT, over_ipv6: false };
    let mut flow_based = false;
    for info in list {
        match info {
            InfoVxlan::Id(vni) => vxlan.vni = Some(*vni),
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::CollectMetadata(on) => flow_based = *on,
            InfoVxlan::Link(below) => device.lower = below_of(*below, abroad),
            InfoVxlan::Local(address) => device.local = one_host((*address).into()),
            InfoVxlan::Local6(address) => {
                device.local = one_host((*address).into());
                vxlan.over_ipv6 = true;
            }
            InfoVxlan::Group(address) => device.remote = one_host((*address).into()),
            InfoVxlan::Group6(address) => {
                device.remote = one_host((*address).into());
                vxlan.over_ipv6 = true;
            }
            _ => {}
        }
    }
    if flow_based {
        // The kernel reports id 0.
        vxlan.vni = None;
    }
    device.vxlan = Some(vxlan);
}

fn geneve(device: &mut Device, list: &[InfoGeneve]) {
    for info in list {
        match info {
            InfoGeneve::Port(port) => device.port = Some(*port),
            InfoGeneve::Local(address) => device.local = one_host((*address).into()),
            InfoGeneve::Local6(address) => device.local = one_host((*address).into()),
            InfoGeneve::Remote(address) => device.remote = one_host((*address).into()),
            InfoGeneve::Remote6(address) => device.remote = one_host((*address).into()),
            _ => {}
        }
    }
}

fn below_of(ifindex: u32, abroad: bool) -> Option<u32> {
    (ifindex != 0 && !abroad).then_some(ifindex)
}

fn one_host(address: IpAddr) -> Option<IpAddr> {
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}

/// An address of a device.
pub(super) fn address(message: &AddressMessage) -> Option<Address> {
    let mut own = None;
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point device IFA_ADDRESS is the peer's, and IFA_LOCAL the local one.
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => own = own.or(Some(*address)),
            _ => {}
        }
    }
    let address = own?;
    Some(Address { ifindex: message.header.index, address, prefix_len: message.header.prefix_len })
}

/// A route: one for each next hop.
pub(super) fn routes(message: &RouteMessage) -> Vec<Route> {
    let header = &message.header;
    // Cloned entries are the kernel's cache, not routes.
    if header.flags.contains(RouteFlags::Cloned) {
        return Vec::new();
    }
    let everywhere = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return Vec::new(),
    };
    let kind = match header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw => RouteKind::Refusing,
        RouteType::Local | RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast => {
            RouteKind::Local
        }
        _ => return Vec::new(),
    };
    let mut route = Route {
        destination: everywhere,
        prefix_len: header.destination_prefix_length,
        gateway: gateway(&message.attributes),
        ifindex: None,
        kind,
        protocol: u8::from(header.protocol),
        table: u32::from(header.table),
        onlink: header.flags.contains(RouteFlags::Onlink),
        mtu: None,
    };
    let mut hops = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination = ip(address).unwrap_or(everywhere),
            RouteAttribute::Oif(ifindex) => route.ifindex = Some(*ifindex),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            RouteAttribute::MultiPath(list) => hops = Some(list),
            _ => {}
        }
    }
    let Some(hops) = hops else { return vec![route] };
    hops.iter()
        .map(|hop| Route {
            gateway: gateway(&hop.attributes),
            ifindex: Some(hop.interface_index),
            onlink: hop.flags.contains(RouteNextHopFlags::Onlink),
            ..route
        })
        .collect()
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// A neighbour with a link-layer address of Ethernet's size.
pub(super) fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    Some(Neighbour {
        ifindex: message.header.ifindex,
        address: neighbour_address(message)?,
        mac: mac(message)?,
    })
}

/// A neighbour that could not be resolved: its device and address.
pub(super) fn unreachable(message: &NeighbourMessage) -> Option<(u32, IpAddr)> {
    let failed = message.header.state == NeighbourState::Failed;
    neighbour_address(message).filter(|_| failed).map(|address| (message.header.ifindex, address))
}

fn neighbour_address(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}

/// A forwarding entry with a remote address; entries of bridges have none.
pub(super) fn forwarding(message: &NeighbourMessage) -> Option<FdbEntry> {
    if message.header.family != AddressFamily::Bridge {
        return None;
    }
    let mut remote = None;
    let mut vni = None;
    for attribute in &message.attributes {
        match attribute {
            // The family is that of bridges; the length distinguishes IPv4 and IPv6.
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => remote = by_length(bytes),
            // VNI: of a remote with its own. Source VNI: of a flow-based device's entry.
            NeighbourAttribute::Vni(own) => vni = Some(*own),
            NeighbourAttribute::SourceVni(own) => vni = vni.or(Some(*own)),
            _ => {}
        }
    }
    let remote = one_host(remote?)?;
    Some(FdbEntry { ifindex: message.header.ifindex, mac: mac(message)?, remote, vni })
}

fn by_length(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn mac(message: &NeighbourMessage) -> Option<[u8; 6]> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    })
}
