//! The routes of a mode, as Calico creates them. Pure: (topology, mode) → routes; `devices.rs` applies them.

use std::fmt;
use std::net::IpAddr;

use super::topology::{Family, Mode, Node, Prefix, Topology, UNDERLAY};

/// The protocol number of BIRD.
const BIRD: u8 = 12;
/// The protocol number of Felix.
const FELIX: u8 = 80;

/// The target of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A next hop.
    Via {
        /// Its address.
        gateway: IpAddr,
        /// The device towards it.
        device: String,
        /// Whether the kernel accepts it as on-link whatever its other routes are.
        onlink: bool,
    },
    /// A directly attached pod.
    Link {
        /// The pod's device.
        device: String,
    },
    /// A blackhole for the rest of the node's own block.
    Blackhole,
}

/// One route in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The namespace.
    pub netns: String,
    /// The destination.
    pub prefix: Prefix,
    /// The target.
    pub target: Target,
    /// The protocol; `None` is the default of `ip route`, 3 (boot).
    pub protocol: Option<u8>,
}

impl fmt::Display for Route {
    /// The route as arguments of `ip route add`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Via { gateway, device, .. } => write!(f, "{} via {gateway} dev {device}", self.prefix)?,
            Target::Link { device } if self.prefix.address.is_ipv4() => {
                write!(f, "{} dev {device} scope link", self.prefix)?;
            }
            Target::Link { device } => write!(f, "{} dev {device}", self.prefix)?,
            Target::Blackhole => write!(f, "blackhole {}", self.prefix)?,
        }
        if let Some(protocol) = self.protocol {
            write!(f, " proto {protocol}")?;
        }
        if matches!(self.target, Target::Via { onlink: true, .. }) {
            f.write_str(" onlink")?;
        }
        Ok(())
    }
}

/// Every route of a lab in `mode`, except those that the kernel creates and the default routes.
pub fn routes(topology: &Topology, mode: Mode) -> Vec<Route> {
    let mut routes = Vec::new();
    for family in Family::ALL {
        for node in &topology.nodes {
            routes.extend(local(node, mode, family));
            let peers = topology.nodes.iter().filter(|peer| peer.name != node.name);
            routes.extend(peers.map(|peer| remote(node, peer, mode, family)));
        }
        if mode.tunnel_device(family).is_none() {
            routes.extend(topology.nodes.iter().map(|node| from_router(&topology.router, node, family)));
        }
    }
    routes
}

/// The node's own block and its pods.
fn local(node: &Node, mode: Mode, family: Family) -> impl Iterator<Item = Route> {
    let blackhole = Route {
        netns: node.netns.clone(),
        prefix: node.block(family),
        target: Target::Blackhole,
        protocol: Some(if mode.is_vxlan() { FELIX } else { BIRD }),
    };
    let pods = node.pods.iter().map(move |pod| Route {
        netns: node.netns.clone(),
        prefix: Prefix { address: pod.ip(family), len: if family == Family::V4 { 32 } else { 128 } },
        target: Target::Link { device: pod.device.clone() },
        protocol: None,
    });
    std::iter::once(blackhole).chain(pods)
}

/// The block of another node.
fn remote(node: &Node, peer: &Node, mode: Mode, family: Family) -> Route {
    let same_subnet = node.subnet(family).contains(peer.ip(family));
    let tunnel = mode.tunnel_device(family).filter(|_| !(mode.is_cross_subnet() && same_subnet));
    let (gateway, device, onlink, protocol) = match tunnel {
        Some(device) if mode.is_vxlan() => (peer.vtep(family), device, true, None),
        Some(device) => (peer.ip(family), device, true, Some(BIRD)),
        None if mode.is_vxlan() => (peer.ip(family), UNDERLAY, true, Some(FELIX)),
        None if same_subnet => (peer.ip(family), UNDERLAY, false, Some(BIRD)),
        // BIRD resolves a next hop that is not a neighbour to the gateway towards it.
        None => (node.gateway(family), UNDERLAY, false, Some(BIRD)),
    };
    Route {
        netns: node.netns.clone(),
        prefix: peer.block(family),
        target: Target::Via { gateway, device: device.to_owned(), onlink },
        protocol,
    }
}

/// Without encapsulation the router needs routes to the blocks too.
fn from_router(router: &str, node: &Node, family: Family) -> Route {
    let device = if node.same_subnet_as.is_empty() { "c" } else { "br0" };
    Route {
        netns: router.to_owned(),
        prefix: node.block(family),
        target: Target::Via { gateway: node.ip(family), device: device.to_owned(), onlink: false },
        protocol: Some(BIRD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mode: Mode, netns: &str, family: Family) -> Vec<String> {
        let topology = Topology::new("o");
        routes(&topology, mode)
            .into_iter()
            .filter(|route| route.netns == netns && route.prefix.address.is_ipv4() == (family == Family::V4))
            .filter(|route| !matches!(route.target, Target::Link { .. }))
            .map(|route| route.to_string())
            .collect()
    }

    #[test]
    fn ipv4_routes_of_node_a_are_those_of_the_design_table() {
        let b = "10.244.20.64/26";
        let c = "10.244.30.128/26";
        let cases = [
            (
                Mode::IpipAlways,
                "proto 12",
                format!("{b} via 10.10.1.12 dev tunl0 proto 12 onlink"),
                format!("{c} via 10.10.2.13 dev tunl0 proto 12 onlink"),
            ),
            (
                Mode::IpipCrossSubnet,
                "proto 12",
                format!("{b} via 10.10.1.12 dev eth0 proto 12"),
                format!("{c} via 10.10.2.13 dev tunl0 proto 12 onlink"),
            ),
            (
                Mode::VxlanAlways,
                "proto 80",
                format!("{b} via 10.244.20.64 dev vxlan.calico onlink"),
                format!("{c} via 10.244.30.128 dev vxlan.calico onlink"),
            ),
            (
                Mode::VxlanCrossSubnet,
                "proto 80",
                format!("{b} via 10.10.1.12 dev eth0 proto 80 onlink"),
                format!("{c} via 10.244.30.128 dev vxlan.calico onlink"),
            ),
            (
                Mode::Bgp,
                "proto 12",
                format!("{b} via 10.10.1.12 dev eth0 proto 12"),
                format!("{c} via 10.10.1.1 dev eth0 proto 12"),
            ),
        ];
        for (mode, protocol, to_b, to_c) in cases {
            let expected = [format!("blackhole 10.244.10.0/26 {protocol}"), to_b, to_c];
            assert_eq!(of(mode, "o-node-a", Family::V4), expected, "{mode}");
        }
    }

    #[test]
    fn ipv6_is_native_but_for_vxlan() {
        for mode in Mode::ALL {
            let routes = of(mode, "o-node-a", Family::V6).join("\n");
            assert_eq!(routes.contains("vxlan-v6.calico"), mode.is_vxlan(), "{mode}");
            assert!(!routes.contains("tunl0"), "{mode}");
        }
        assert_eq!(
            of(Mode::IpipAlways, "o-node-c", Family::V6),
            [
                "blackhole fd00:10:244::1e:0/122 proto 12",
                "fd00:10:244::a:0/122 via fd00:10:10:2::1 dev eth0 proto 12",
                "fd00:10:244::14:0/122 via fd00:10:10:2::1 dev eth0 proto 12",
            ]
        );
    }

    #[test]
    fn router_has_routes_to_blocks_only_for_native_traffic() {
        for mode in Mode::ALL {
            for family in Family::ALL {
                let native = mode.tunnel_device(family).is_none();
                let expected = if native { 3 } else { 0 };
                assert_eq!(of(mode, "o-router", family).len(), expected, "{mode} {family:?}");
            }
        }
    }

    #[test]
    fn every_pod_has_a_route_in_every_mode() {
        let topology = Topology::new("o");
        for mode in Mode::ALL {
            let links = routes(&topology, mode)
                .into_iter()
                .filter(|route| matches!(route.target, Target::Link { .. }))
                .count();
            assert_eq!(links, 2 * topology.pods().count(), "{mode}");
        }
    }
}
