//! Creates devices, addresses and routes, and changes them in a mode switch.

use std::collections::HashMap;

use anyhow::{Context as _, Result};

use super::netlink;
use super::netns;
use super::routes::{Route, routes};
use super::state::{Ipip, State};
use super::topology::{
    CALI_LINK_LOCAL, CALI_MAC, Family, Mode, Node, POD_GATEWAY, Pod, TUNL, Topology, UNDERLAY, VXLAN, VXLAN6,
};

/// Kernel parameters of every namespace: addresses are usable at once, and there is no reverse path filter.
const EVERYWHERE: &[(&str, &str)] = &[
    ("-ipv6/conf/all/disable_ipv6", "0"),
    ("-ipv6/conf/default/disable_ipv6", "0"),
    ("-ipv6/conf/all/accept_dad", "0"),
    ("-ipv6/conf/default/accept_dad", "0"),
    ("-ipv6/conf/default/dad_transmits", "0"),
    ("-ipv6/conf/default/accept_ra", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
];
/// Kernel parameters of nodes and the router.
const FORWARDING: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("-ipv6/conf/all/forwarding", "1"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
];

/// Creates `tunl0` if the kernel does not create it in every namespace. Like the kernel's, it copies DF from the
/// inner packet instead of always setting it.
const ADD_TUNL: &str = "link add name tunl0 type ipip nopmtudisc";

/// Creates the namespaces and everything in them except tunnels and routes between nodes.
///
/// # Errors
/// The step that failed.
pub fn make(topology: &Topology, state: &State) -> Result<()> {
    let namespaces = topology.namespaces();
    let adds: Vec<String> = namespaces.iter().map(|name| format!("netns add {name}")).collect();
    netns::ip(None, &adds)?;
    for name in &namespaces {
        netns::sysctl(name, EVERYWHERE)?;
    }
    netns::sysctl(&topology.router, FORWARDING)?;
    make_router(topology, state.underlay_mtu)?;
    for node in &topology.nodes {
        netns::sysctl(&node.netns, FORWARDING)?;
        make_node(node, state)?;
        for pod in &node.pods {
            make_pod(pod)?;
        }
    }
    Ok(())
}

fn make_router(topology: &Topology, mtu: u32) -> Result<()> {
    let mut commands: Vec<String> =
        vec!["link set lo up".into(), "link add br0 address 02:0b:02:00:00:01 type bridge".into()];
    for node in &topology.nodes {
        let port = node.name.trim_start_matches("node-");
        commands.push(format!(
            "link add name {port} mtu {mtu} address 02:0b:03:00:00:{last:02} type veth peer name {UNDERLAY} \
             mtu {mtu} address {mac} netns {netns}",
            last = node.address.octets()[3],
            mac = node.mac,
            netns = node.netns,
        ));
        let owner = if node.same_subnet_as.is_empty() {
            port
        } else {
            commands.push(format!("link set dev {port} master br0"));
            "br0"
        };
        commands.push(format!("link set dev {port} up"));
        for family in Family::ALL {
            let address = format!(
                "{}/{}{}",
                node.gateway(family),
                node.subnet(family).len,
                if family == Family::V6 { " nodad" } else { "" }
            );
            commands.push(format!("address replace {address} dev {owner}"));
        }
    }
    commands.push("link set br0 up".into());
    netns::ip(Some(&topology.router), &commands)
}

fn make_node(node: &Node, state: &State) -> Result<()> {
    let mut commands = vec![
        "link set lo up".to_owned(),
        format!("address add {}/{} dev {UNDERLAY}", node.address, node.prefix_len),
        format!("address add {}/{} dev {UNDERLAY} nodad", node.address6, node.prefix_len6),
        format!("link set {UNDERLAY} up"),
        format!("route add default via {}", node.gateway),
        format!("route add default via {} dev {UNDERLAY}", node.gateway6),
    ];
    for pod in &node.pods {
        let mtu = mtu_of(pod, state);
        let device = &pod.device;
        commands.extend([
            format!(
                "link add {device} mtu {mtu} address {CALI_MAC} type veth peer name eth0 mtu {mtu} address {} \
                 netns {}",
                pod.mac, pod.netns
            ),
            format!("link set {device} up"),
            format!("neighbour replace {} lladdr {} dev {device} nud permanent", pod.address, pod.mac),
            format!("neighbour replace {} lladdr {} dev {device} nud permanent", pod.address6, pod.mac),
        ]);
    }
    netns::ip(Some(&node.netns), &commands)
}

fn make_pod(pod: &Pod) -> Result<()> {
    netns::ip(
        Some(&pod.netns),
        &[
            "link set lo up".into(),
            format!("address add {}/32 dev eth0", pod.address),
            format!("address add {}/128 dev eth0 nodad", pod.address6),
            "link set eth0 up".into(),
            format!("neighbour replace {POD_GATEWAY} lladdr {CALI_MAC} dev eth0 nud permanent"),
            format!("neighbour replace {CALI_LINK_LOCAL} lladdr {CALI_MAC} dev eth0 nud permanent"),
            format!("route add {POD_GATEWAY} dev eth0 scope link"),
            format!("route add default via {POD_GATEWAY} dev eth0"),
            format!("route add default via {CALI_LINK_LOCAL} dev eth0"),
        ],
    )
}

/// The MTU of a pod.
pub fn mtu_of(pod: &Pod, state: &State) -> u32 {
    if pod.keeps_old_mtu && !state.fresh_pods { state.pod_mtu.max(1500) } else { state.pod_mtu }
}

/// Whether the kernel encapsulates IPIP, which it can if it creates an ipip device, or user space.
///
/// # Errors
/// A namespace cannot be inspected.
pub fn find_ipip(topology: &Topology) -> Result<Ipip> {
    // Loads the module if there is one. Without modprobe or module, creating the device fails below.
    let _ = std::process::Command::new("modprobe")
        .arg("ipip")
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    let first = topology.nodes.first().context("a lab without nodes")?;
    let netns = &first.netns;
    // This fails if the module has created tunl0 in every namespace, which is as good.
    let _ = netns::ip(Some(netns), &[ADD_TUNL.to_owned()]);
    let there = netns::within(netns, || Ok(netlink::exists(TUNL)))?;
    Ok(if there { Ipip::Kernel } else { Ipip::UserSpace })
}

/// Creates the tunnel devices of the mode that do not exist yet.
///
/// # Errors
/// The step that failed.
pub fn make_tunnels(topology: &Topology, state: &State) -> Result<()> {
    // The kernel limits the MTU of a VXLAN device to what its underlay device carries at that moment. So that a lab
    // can have a tunnel MTU that is too high, the underlay gets its MTU last.
    let roomy = state.underlay_mtu.max(state.tunnel_mtu.unwrap_or(1430) + 70);
    for node in &topology.nodes {
        netns::ip(Some(&node.netns), &[format!("link set {UNDERLAY} mtu {roomy}")])?;
        if state.mode.is_ipip() {
            make_tunl(node, state).with_context(|| format!("{TUNL} on {}", node.name))?;
        }
        for family in Family::ALL {
            if state.mode.is_vxlan() {
                make_vxlan(topology, node, family, state)
                    .with_context(|| format!("VXLAN for IPv{} on {}", family.number(), node.name))?;
            }
        }
        netns::ip(Some(&node.netns), &[format!("link set {UNDERLAY} mtu {}", state.underlay_mtu)])?;
    }
    Ok(())
}

fn make_tunl(node: &Node, state: &State) -> Result<()> {
    let there = netns::within(&node.netns, || Ok(netlink::exists(TUNL)))?;
    let mut commands = Vec::new();
    if !there {
        commands.push(match state.ipip {
            Some(Ipip::UserSpace) => format!("tuntap add dev {TUNL} mode tun"),
            _ => ADD_TUNL.to_owned(),
        });
    }
    commands.extend([
        format!("link set {TUNL} mtu {}", state.tunnel_mtu.unwrap_or(1480)),
        format!("link set {TUNL} up"),
        format!("address replace {}/32 dev {TUNL}", node.vtep),
    ]);
    netns::ip(Some(&node.netns), &commands)?;
    // The endpoint sends PTB messages through the device with the node's own address as the source.
    netns::sysctl(&node.netns, &[("ipv4/conf/tunl0/accept_local", "1")])
}

fn make_vxlan(topology: &Topology, node: &Node, family: Family, state: &State) -> Result<()> {
    let (device, mtu, mac, len, nodad) = match family {
        Family::V4 => (VXLAN, 1450, &node.vtep_mac, 32, ""),
        Family::V6 => (VXLAN6, 1430, &node.vtep6_mac, 128, " nodad"),
    };
    let there = netns::within(&node.netns, || Ok(netlink::exists(device)))?;
    let mut commands = Vec::new();
    if !there {
        let checksums = if family == Family::V6 { " udp6zerocsumrx" } else { "" };
        commands.push(format!(
            "link add {device} address {mac} type vxlan id 4096 local {} dev {UNDERLAY} dstport 4789 \
             nolearning{checksums}",
            node.ip(family)
        ));
    }
    commands.extend([
        format!("link set {device} mtu {}", state.tunnel_mtu.unwrap_or(mtu)),
        format!("link set {device} up"),
        format!("address replace {}/{len} dev {device}{nodad}", node.vtep(family)),
    ]);
    let peers: Vec<&Node> = topology.nodes.iter().filter(|peer| peer.name != node.name).collect();
    for peer in &peers {
        commands.push(format!(
            "neighbour replace {} lladdr {} dev {device} nud permanent",
            peer.vtep(family),
            vtep_mac(peer, family)
        ));
    }
    netns::ip(Some(&node.netns), &commands)?;
    netns::within(&node.netns, || {
        peers.iter().try_for_each(|peer| netlink::set_fdb(device, vtep_mac(peer, family), peer.ip(family)))
    })
}

fn vtep_mac(node: &Node, family: Family) -> &str {
    match family {
        Family::V4 => &node.vtep_mac,
        Family::V6 => &node.vtep6_mac,
    }
}

/// Removes the tunnel devices that the mode does not need.
///
/// # Errors
/// A device that cannot be removed.
pub fn remove_tunnels(topology: &Topology, state: &State) -> Result<()> {
    for node in &topology.nodes {
        for device in [TUNL, VXLAN, VXLAN6] {
            let needed = Family::ALL.iter().any(|family| state.mode.tunnel_device(*family) == Some(device));
            if needed || !netns::within(&node.netns, || Ok(netlink::exists(device)))? {
                continue;
            }
            // Deleting the kernel's own tunl0 succeeds without effect, so its addresses are removed and it is set down.
            let _ = netns::ip(Some(&node.netns), &[format!("link delete {device}")]);
            if netns::within(&node.netns, || Ok(netlink::exists(device)))? {
                netns::ip(
                    Some(&node.netns),
                    &[format!("address flush dev {device}"), format!("link set {device} down")],
                )?;
            }
        }
    }
    Ok(())
}

/// Creates the routes of `mode`. With `before`, only routes that differ from that mode change, so that traffic
/// continues.
///
/// # Errors
/// A route that the kernel refuses.
pub fn write_routes(topology: &Topology, before: Option<Mode>, mode: Mode) -> Result<()> {
    let old = before.map(|before| routes(topology, before)).unwrap_or_default();
    let new = routes(topology, mode);
    let mut commands: HashMap<&str, Vec<String>> = HashMap::new();
    // The kernel refuses an IPv6 next hop as onlink while another route, here the one to be replaced, leads to it
    // through another device ("invalid gateway or device mismatch"). So IPv6 routes are deleted before new ones are added.
    for route in old.iter().filter(|route| route.prefix.address.is_ipv6() && !new.contains(route)) {
        commands.entry(&route.netns).or_default().push(format!("route delete {}", route.prefix));
    }
    for route in new.iter().filter(|route| !old.contains(route)) {
        commands.entry(&route.netns).or_default().push(format!("route replace {route}"));
    }
    let stays =
        |route: &Route| new.iter().any(|other| other.netns == route.netns && other.prefix == route.prefix);
    for route in old.iter().filter(|route| route.prefix.address.is_ipv4() && !stays(route)) {
        commands.entry(&route.netns).or_default().push(format!("route delete {}", route.prefix));
    }
    commands.iter().try_for_each(|(netns, commands)| netns::ip(Some(netns), commands))
}

/// Turns off the offloads of every device in the lab.
///
/// # Errors
/// A device is missing.
pub fn switch_offloads_off(topology: &Topology) -> Result<()> {
    for name in topology.namespaces() {
        netns::within(&name, || {
            netlink::devices()?
                .iter()
                .filter(|device| *device != "lo")
                .try_for_each(|device| netlink::switch_offloads_off(device))
        })?;
    }
    Ok(())
}
