//! Topologies of `node-a` of the lab in each mode (`data/topology`, written by `examples/topology --node` inside
//! the lab), and of constructed nodes.

use std::net::IpAddr;

use observer::model::Mode;
use observer::topology::{
    Address, Block, Changes, Choice, Device, DeviceKind, FdbEntry, LinkLayer, Neighbour, Node, Peer, Role,
    Route, RouteKind, Scope, Topology, TopologyError, Vxlan, block_key, convert,
};
use observer_common::abi::Config;
use observer_common::kind::Class;

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn lab(mode: &str) -> Node {
    let path = format!("{}/tests/data/topology/{mode}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    serde_json::from_str(&text).expect(&path)
}

fn derive(node: &Node) -> Topology {
    Topology::derive(node, &Choice::default()).expect("automatic choice")
}

fn roles(topology: &Topology) -> Vec<(&str, Role)> {
    topology.watched.iter().map(|w| (w.device.name.as_str(), w.role)).collect()
}

fn block(topology: &Topology, address: &str) -> (String, Class, u32) {
    let found = topology.blocks.iter().find(|block| block.address == ip(address)).expect(address);
    (found.peer.to_string(), found.class, found.vni)
}

#[test]
fn the_lab_in_each_mode_has_its_tunnels_peers_and_blocks() {
    use Class::{Ipip, None as Native, Vxlan};
    // mode, tunnels with class and overhead, then for node-b and node-c: next hop, class, VNI; IPv4, IPv6
    type Hop = (&'static str, Class, u32);
    type Case = (&'static str, &'static [(&'static str, Class, u32)], [Hop; 4]);
    const B4: &str = "10.10.1.12";
    const B6: &str = "fd00:10:10:1::c";
    const C4: &str = "10.10.2.13";
    const C6: &str = "fd00:10:10:2::d";
    const ROUTER4: &str = "10.10.1.1";
    const ROUTER6: &str = "fd00:10:10:1::1";
    const TUNL: &[(&str, Class, u32)] = &[("tunl0", Ipip, 20)];
    const VXLANS: &[(&str, Class, u32)] = &[("vxlan-v6.calico", Vxlan, 70), ("vxlan.calico", Vxlan, 50)];
    let (b6, c6) = ((B6, Native, 0), (ROUTER6, Native, 0));
    let cases: [Case; 5] = [
        ("ipip-always", TUNL, [(B4, Ipip, 0), (C4, Ipip, 0), b6, c6]),
        ("ipip-crosssubnet", TUNL, [(B4, Native, 0), (C4, Ipip, 0), b6, c6]),
        (
            "vxlan-always",
            VXLANS,
            [(B4, Vxlan, 4096), (C4, Vxlan, 4096), (B6, Vxlan, 4096), (C6, Vxlan, 4096)],
        ),
        ("vxlan-crosssubnet", VXLANS, [(B4, Native, 0), (C4, Vxlan, 4096), b6, (C6, Vxlan, 4096)]),
        ("bgp", &[], [(B4, Native, 0), (ROUTER4, Native, 0), b6, c6]),
    ];
    for (mode, tunnels, hops) in cases {
        let topology = derive(&lab(mode));
        let eth0 = &topology.watched[0];
        assert_eq!(
            (eth0.device.name.as_str(), eth0.role, eth0.class),
            ("eth0", Role::Underlay, Native),
            "{mode}"
        );
        let label = Mode::of(&topology.routing(), false).map(Mode::label);
        assert_eq!(label.as_deref(), Some(if mode == "bgp" { "native" } else { mode }), "{mode}");
        let found: Vec<_> =
            topology.watched[1..].iter().map(|w| (w.device.name.as_str(), w.class, w.overhead)).collect();
        assert_eq!(found, tunnels, "{mode}");
        for tunnel in &topology.watched[1..] {
            assert_eq!(tunnel.role, Role::Tunnel, "{mode}");
            assert_eq!(
                (tunnel.underlay, tunnel.underlay_mtu),
                (Some(eth0.device.ifindex), Some(1500)),
                "{mode}"
            );
        }
        let blocks = ["10.244.20.64", "10.244.30.128", "fd00:10:244::14:0", "fd00:10:244::1e:0"];
        assert_eq!(topology.blocks.len(), blocks.len(), "{mode}");
        for (i, (address, (peer, class, vni))) in blocks.into_iter().zip(hops).enumerate() {
            assert_eq!(block(&topology, address), (peer.to_owned(), class, vni), "{mode} {address}");
            let scope = if i % 2 == 0 { Scope::SameSubnet } else { Scope::CrossSubnet };
            assert_eq!(topology.scope(eth0.device.ifindex, ip(peer)), scope, "{mode} {peer}");
            let known = topology.peers.iter().find(|p| p.address == ip(peer)).expect(peer);
            // In a mode with VXLAN every node has a forwarding entry, native or not.
            let udp = if mode.starts_with("vxlan") { (Vxlan, 4096) } else { (Native, 0) };
            assert_eq!((known.udp_class, known.vni), udp, "{mode} {peer}");
        }
        assert_eq!(topology.peers.len(), 4, "{mode}");
        assert_eq!(topology.notes, Vec::<String>::new(), "{mode}");
        assert_eq!(topology.vxlan_ports, [4789]);
        assert_eq!(topology.vnis, [4096, 0x00ca_11c0]);
    }
}

#[test]
fn the_coarse_filter_passes_pods_of_other_nodes_only() {
    for mode in ["ipip-always", "vxlan-crosssubnet", "bgp"] {
        let topology = derive(&lab(mode));
        let config = topology.config();
        for (pod, expected) in [
            ("10.244.20.66", true),
            ("10.244.30.130", true),
            ("10.244.20.128", false),
            ("10.10.1.12", false),
            ("203.0.113.9", false),
            ("fd00:10:244::14:2", true),
            // The first word of an IPv6 address cannot tell these apart.
            ("fd00:10:10:1::c", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(passes(&config, ip(pod)), expected, "{mode} {pod}");
        }
        assert_eq!(config.lengths.map(|length| length.bits), [122, 0, 0, 0], "{mode}");
    }
}

/// Applies the coarse filter like the programs.
fn passes(config: &Config, address: IpAddr) -> bool {
    let words = convert::to_wire(address).0;
    let (word, coarse) =
        if address.is_ipv4() { (words[3], config.coarse4) } else { (words[0], config.coarse6) };
    coarse.iter().any(|prefix| word & prefix.mask == prefix.net)
}

// Constructed nodes.

fn device(ifindex: u32, name: &str, kind: DeviceKind) -> Device {
    Device {
        ifindex,
        name: name.to_owned(),
        kind,
        link: LinkLayer::Ethernet,
        mtu: 1500,
        up: true,
        lower: None,
        controller: None,
        vxlan: None,
        local: None,
        remote: None,
        port: None,
    }
}

fn vxlan(ifindex: u32, name: &str, vni: Option<u32>) -> Device {
    Device {
        mtu: 1450,
        vxlan: Some(Vxlan { vni, port: 4789, over_ipv6: false }),
        ..device(ifindex, name, DeviceKind::Vxlan)
    }
}

fn address(ifindex: u32, text: &str) -> Address {
    let (address, len) = text.split_once('/').expect(text);
    Address { ifindex, address: ip(address), prefix_len: len.parse().expect(text) }
}

fn route(to: &str, via: Option<&str>, ifindex: u32, protocol: u8) -> Route {
    let (destination, len) = to.split_once('/').expect(to);
    Route {
        destination: ip(destination),
        prefix_len: len.parse().expect(to),
        gateway: via.map(ip),
        ifindex: Some(ifindex),
        kind: RouteKind::Unicast,
        protocol,
        table: 254,
        onlink: false,
        mtu: None,
    }
}

/// A node on `eth0` (index 2), 192.0.2.11/24, with a default route.
fn plain() -> Node {
    Node {
        devices: vec![
            Device {
                link: LinkLayer::Loopback,
                mtu: 65536,
                ..device(1, "lo", DeviceKind::Other(String::new()))
            },
            device(2, "eth0", DeviceKind::Hardware),
        ],
        addresses: vec![address(1, "127.0.0.1/8"), address(2, "192.0.2.11/24")],
        routes: vec![route("0.0.0.0/0", Some("192.0.2.1"), 2, 3), route("192.0.2.0/24", None, 2, 2)],
        ..Node::default()
    }
}

/// `vxlan.calico` (index 5) with the node 192.0.2.12 and its block 10.244.7.0/26.
fn with_vxlan(mut node: Node, vni: Option<u32>) -> Node {
    node.devices.push(vxlan(5, "vxlan.calico", vni));
    node.routes.push(Route { onlink: true, ..route("10.244.7.0/26", Some("10.244.7.0"), 5, 3) });
    node.neighbours.push(Neighbour { ifindex: 5, address: ip("10.244.7.0"), mac: [6; 6] });
    node.fdb.push(FdbEntry { ifindex: 5, mac: [6; 6], remote: ip("192.0.2.12"), vni: None });
    node
}

#[test]
fn without_calico_the_device_of_the_default_route_is_the_underlay() {
    let mut node = plain();
    node.devices.push(device(3, "eth1", DeviceKind::Hardware));
    node.addresses.push(address(3, "198.51.100.4/24"));
    let topology = derive(&node);
    assert_eq!(roles(&topology), [("eth0", Role::Underlay)]);
    assert!(topology.blocks.is_empty() && topology.peers.is_empty());

    node.routes.clear();
    let topology = derive(&node);
    assert_eq!(roles(&topology), [("eth0", Role::Underlay), ("eth1", Role::Underlay)]);
    assert!(topology.notes[0].contains("no default route"), "{:?}", topology.notes);

    let topology = derive(&Node::default());
    assert!(topology.watched.is_empty() && topology.notes[0].contains("nothing to watch"));
}

#[test]
fn tunnels_that_are_down_are_not_watched() {
    // Every network namespace has these if the modules are loaded.
    let mut node = plain();
    for (ifindex, name, kind) in [
        (10, "tunl0", DeviceKind::Ipip),
        (11, "sit0", DeviceKind::OtherIpTunnel("sit".to_owned())),
        (12, "gre0", DeviceKind::Gre("gre".to_owned())),
        (13, "ip6tnl0", DeviceKind::OtherIpTunnel("ip6tnl".to_owned())),
    ] {
        node.devices.push(Device { up: false, link: LinkLayer::Ip, ..device(ifindex, name, kind) });
    }
    assert_eq!(roles(&derive(&node)), [("eth0", Role::Underlay)]);
}

#[test]
fn tunl0_is_ipip_in_the_kernel_and_in_user_space() {
    let user_space = lab("ipip-always");
    let mut kernel = user_space.clone();
    for device in &mut kernel.devices {
        if device.name == "tunl0" {
            assert_eq!((&device.kind, device.link), (&DeviceKind::Tun, LinkLayer::Ip));
            device.kind = DeviceKind::Ipip;
        }
    }
    let (a, b) = (derive(&user_space), derive(&kernel));
    assert_eq!((a.blocks, a.peers), (b.blocks, b.peers));
    assert_eq!((a.watched[1].class, a.watched[1].overhead), (b.watched[1].class, b.watched[1].overhead));
}

#[test]
fn tunnel_devices_have_the_overhead_of_their_headers() {
    let v6 = |mut device: Device| {
        device.local = Some(ip("2001:db8::1"));
        device.vxlan = device.vxlan.map(|vxlan| Vxlan { over_ipv6: true, ..vxlan });
        device
    };
    let gre = |kind: &str| DeviceKind::Gre(kind.to_owned());
    // device, class, bytes
    for (device, class, overhead) in [
        (device(5, "tunl1", DeviceKind::Ipip), Class::Ipip, 20),
        (vxlan(5, "flannel.1", Some(1)), Class::Vxlan, 50),
        (v6(vxlan(5, "vx6", Some(1))), Class::Vxlan, 70),
        (device(5, "genev_sys", DeviceKind::Geneve), Class::Geneve, 50),
        (v6(device(5, "genev6", DeviceKind::Geneve)), Class::Geneve, 70),
        (device(5, "wireguard.cali", DeviceKind::Wireguard), Class::Wireguard, 60),
        (device(5, "wg-v6.cali", DeviceKind::Wireguard), Class::Wireguard, 80),
        (device(5, "wireguard.cali", DeviceKind::Tun), Class::Wireguard, 60),
        (device(5, "gre1", gre("gre")), Class::Gre, 24),
        (device(5, "tap1", gre("gretap")), Class::Gre, 38),
        (device(5, "gre6", gre("ip6gre")), Class::Gre, 52),
        (device(5, "ip6t", DeviceKind::OtherIpTunnel("ip6tnl".to_owned())), Class::Ip6In6, 48),
        (device(5, "sit1", DeviceKind::OtherIpTunnel("sit".to_owned())), Class::Ip6In4, 20),
    ] {
        let mut node = plain();
        let name = device.name.clone();
        node.devices.push(device);
        let topology = derive(&node);
        let tunnel = topology.watched.iter().find(|w| w.role == Role::Tunnel).expect(&name);
        assert_eq!((tunnel.class, tunnel.overhead), (class, overhead), "{name}");
        assert_eq!((tunnel.underlay, tunnel.underlay_mtu), (Some(2), Some(1500)), "{name}");
    }
}

#[test]
fn a_bond_is_watched_and_its_members_are_not() {
    let mut node = plain();
    node.devices[1] = Device { controller: Some(4), ..device(2, "eth0", DeviceKind::Hardware) };
    node.devices.push(Device { controller: Some(4), ..device(3, "eth1", DeviceKind::Hardware) });
    node.devices.push(device(4, "bond0", DeviceKind::Bond));
    node.addresses[1].ifindex = 4;
    for route in &mut node.routes {
        route.ifindex = Some(4);
    }
    let topology = derive(&with_vxlan(node.clone(), Some(4096)));
    assert_eq!(roles(&topology), [("bond0", Role::Underlay), ("vxlan.calico", Role::Tunnel)]);
    assert_eq!(topology.scope(4, ip("192.0.2.12")), Scope::SameSubnet);

    // Nor does the fallback without routes watch the members.
    node.routes.clear();
    assert_eq!(roles(&derive(&node)), [("bond0", Role::Underlay)]);

    let both = Choice { devices: vec!["bond0".into(), "eth0".into()], ..Choice::default() };
    let topology = Topology::derive(&node, &both).expect("both exist");
    assert_eq!(roles(&topology), [("bond0", Role::Underlay), ("eth0", Role::Underlay)]);
    assert!(topology.notes.iter().any(|note| note.contains("counted on each")), "{:?}", topology.notes);
}

#[test]
fn a_vlan_with_the_nodes_address_is_the_underlay() {
    let mut node = plain();
    node.devices.push(Device { lower: Some(2), mtu: 1496, ..device(6, "eth0.100", DeviceKind::Vlan) });
    node.addresses[1].ifindex = 6;
    for route in &mut node.routes {
        route.ifindex = Some(6);
    }
    let mut node = with_vxlan(node, Some(4096));
    let topology = derive(&node);
    assert_eq!(roles(&topology), [("eth0.100", Role::Underlay), ("vxlan.calico", Role::Tunnel)]);
    assert_eq!((topology.watched[1].underlay, topology.watched[1].underlay_mtu), (Some(6), Some(1496)));

    // Without a known remote endpoint, it is the device with the tunnel's local address.
    node.fdb.clear();
    node.devices.last_mut().expect("vxlan").local = Some(ip("192.0.2.11"));
    let topology = derive(&node);
    assert_eq!(topology.watched[1].underlay, Some(6));
    assert!(topology.blocks.is_empty());
    assert!(topology.notes[0].contains("10.244.7.0/26"), "{:?}", topology.notes);
}

#[test]
fn the_scope_follows_from_the_nodes_prefixes() {
    // own addresses on eth0, peer, scope
    for (own, peer, expected) in [
        (&["192.0.2.11/24"][..], "192.0.2.12", Scope::SameSubnet),
        (&["192.0.2.11/24"], "198.51.100.1", Scope::CrossSubnet),
        (&["192.0.2.11/32"], "192.0.2.12", Scope::CrossSubnet),
        (&["192.0.2.11/32", "10.0.0.1/8"], "10.9.9.9", Scope::SameSubnet),
        (&["192.0.2.11/24"], "192.0.2.1", Scope::CrossSubnet), // the default gateway
        (&["192.0.2.11/24"], "2001:db8::2", Scope::Unknown),
        (&["192.0.2.11/24", "fe80::1/64"], "2001:db8::2", Scope::Unknown),
        (&["fe80::1/64"], "fe80::2", Scope::SameSubnet),
        (&["2001:db8::1/64", "fe80::1/64"], "2001:db8::2", Scope::SameSubnet),
        (&[], "192.0.2.12", Scope::Unknown),
    ] {
        let mut node = plain();
        node.addresses = own.iter().map(|own| address(2, own)).collect();
        assert_eq!(derive(&node).scope(2, ip(peer)), expected, "{own:?} {peer}");
    }
}

#[test]
fn a_node_that_is_also_a_gateway_is_not_a_router_for_its_tunnel() {
    let mut node = with_vxlan(plain(), Some(4096));
    node.routes.push(route("203.0.113.0/24", Some("192.0.2.12"), 2, 4));
    assert_eq!(derive(&node).scope(2, ip("192.0.2.12")), Scope::SameSubnet);
}

#[test]
fn flow_based_vxlan_has_no_vni_and_reaches_any_given_peer() {
    let mut node = with_vxlan(plain(), None);
    node.fdb.clear();
    node.neighbours.clear();
    let choice = Choice { extra_peers: vec![ip("192.0.2.13"), ip("192.0.2.11")], ..Choice::default() };
    let topology = Topology::derive(&node, &choice).expect("automatic");
    assert_eq!(topology.watched[1].vni, None);
    assert_eq!(topology.watched[1].underlay, Some(2));
    assert_eq!(topology.vnis, [4096, 0x00ca_11c0]);
    // The node's own address is not a peer.
    assert_eq!(topology.peers, [Peer { address: ip("192.0.2.13"), udp_class: Class::Vxlan, vni: 0 }]);
}

#[test]
fn a_peer_of_two_tunnels_has_the_udp_tunnel() {
    let mut node = with_vxlan(plain(), Some(4096));
    node.devices.push(Device { link: LinkLayer::Ip, mtu: 1480, ..device(7, "tunl0", DeviceKind::Ipip) });
    node.devices.push(Device {
        vxlan: Some(Vxlan { vni: Some(1), port: 8472, over_ipv6: false }),
        ..vxlan(8, "flannel.1", Some(1))
    });
    node.routes.push(route("10.244.8.0/26", Some("192.0.2.12"), 7, 12));
    node.routes.push(route("10.244.9.0/26", Some("198.51.100.9"), 7, 12));
    let topology = derive(&node);
    let names: Vec<&str> = topology.watched.iter().map(|w| w.device.name.as_str()).collect();
    assert_eq!(names, ["eth0", "flannel.1", "tunl0", "vxlan.calico"]);
    assert_eq!(
        topology.peers,
        [
            Peer { address: ip("192.0.2.12"), udp_class: Class::Vxlan, vni: 4096 },
            Peer { address: ip("198.51.100.9"), udp_class: Class::None, vni: 0 },
        ]
    );
    assert_eq!(topology.scope(2, ip("198.51.100.9")), Scope::CrossSubnet);
    assert_eq!(topology.vxlan_ports, [4789, 8472]);
    assert_eq!(topology.vnis, [4096, 1, 0x00ca_11c0]);
    assert_eq!(topology.config().vxlan_ports, [4789_u16.to_be(), 8472_u16.to_be(), 0, 0]);
}

#[test]
fn only_routes_of_bird_felix_or_given_prefixes_are_pod_blocks() {
    let mut node = plain();
    node.routes.extend([
        route("10.244.1.0/26", Some("192.0.2.12"), 2, 12),
        route("10.244.2.0/26", Some("192.0.2.13"), 2, 80),
        route("10.244.3.0/26", Some("192.0.2.14"), 2, 4),
        route("198.51.100.0/24", Some("192.0.2.15"), 2, 4),
        route("0.0.0.0/0", Some("192.0.2.16"), 2, 12),
        Route { table: 99, ..route("10.244.4.0/26", Some("192.0.2.17"), 2, 80) },
        Route { kind: RouteKind::Blackhole, gateway: None, ..route("10.244.5.0/26", None, 2, 80) },
    ]);
    let found = |topology: &Topology| -> Vec<String> {
        topology.blocks.iter().map(|b| format!("{}/{} {}", b.address, b.prefix_len, b.peer)).collect()
    };
    assert_eq!(found(&derive(&node)), ["10.244.1.0/26 192.0.2.12", "10.244.2.0/26 192.0.2.13"]);
    let choice = Choice { pod_cidrs: vec![(ip("10.244.0.0"), 16)], ..Choice::default() };
    let topology = Topology::derive(&node, &choice).expect("automatic");
    assert_eq!(found(&topology)[2], "10.244.3.0/26 192.0.2.14");
    assert_eq!(topology.blocks.len(), 3);
    assert_eq!(topology.scope(2, ip("192.0.2.12")), Scope::SameSubnet);
    assert_eq!(topology.scope(2, ip("192.0.2.15")), Scope::CrossSubnet);
}

#[test]
fn blocks_in_wireguards_table_are_encrypted() {
    let mut node = with_vxlan(plain(), Some(4096));
    node.devices.push(Device { link: LinkLayer::Ip, ..device(9, "wireguard.cali", DeviceKind::Wireguard) });
    node.routes.push(Route { table: 1, ..route("10.244.7.0/26", None, 9, 80) });
    let topology = derive(&node);
    let peer = ip("192.0.2.12");
    assert_eq!(
        topology.blocks,
        [Block { address: ip("10.244.7.0"), prefix_len: 26, peer, class: Class::Wireguard, vni: 0 }]
    );
    assert_eq!(topology.peers, [Peer { address: peer, udp_class: Class::Wireguard, vni: 0 }]);
    assert!(topology.notes.iter().any(|note| note.contains("UDP port of `wireguard.cali`")));
}

#[test]
fn several_next_hops_are_noted() {
    let mut node = plain();
    node.routes.push(route("10.244.1.0/26", Some("192.0.2.2"), 2, 12));
    node.routes.push(route("10.244.1.0/26", Some("192.0.2.3"), 2, 12));
    let topology = derive(&node);
    assert_eq!(topology.blocks.len(), 1);
    assert_eq!(topology.peers.len(), 2);
    assert!(topology.notes[0].contains("several next hops"), "{:?}", topology.notes);
}

#[test]
fn chosen_devices_are_watched_and_unknown_ones_are_errors() {
    let node = lab("vxlan-always");
    let pod = node.devices.iter().find(|d| d.name.starts_with("cali")).expect("a pod").name.clone();
    let names = |devices: &[&str]| Choice {
        devices: devices.iter().map(|&name| name.to_owned()).collect(),
        ..Choice::default()
    };
    let topology =
        Topology::derive(&node, &names(&[&pod, "vxlan.calico", "lo", "eth0", "eth0"])).expect("exist");
    assert_eq!(
        roles(&topology),
        [
            ("eth0", Role::Underlay),
            ("vxlan.calico", Role::Tunnel),
            (pod.as_str(), Role::Workload),
            ("lo", Role::Other)
        ]
    );
    assert_eq!(topology.blocks.len(), 4);

    let TopologyError::UnknownDevice { name, existing } =
        Topology::derive(&node, &names(&["eth0", "vxlan.calica"])).expect_err("no such device");
    assert_eq!((name.as_str(), existing[0].as_str()), ("vxlan.calica", "vxlan.calico"));
    let topology = Topology::derive_present(&node, &names(&["eth0", "vxlan.calica"]));
    assert_eq!(roles(&topology), [("eth0", Role::Underlay)]);
    assert!(topology.notes[0].contains("`vxlan.calica` does not exist"), "{:?}", topology.notes);

    let all = Topology::derive(&node, &Choice { workloads: true, ..Choice::default() }).expect("automatic");
    assert_eq!(all.watched.iter().filter(|w| w.role == Role::Workload).count(), 2);
}

#[test]
fn filters_cover_many_blocks_in_few_prefixes() {
    let mut node = plain();
    for i in 0..200_u8 {
        node.routes.push(route(&format!("10.{}.{i}.64/26", 240 + i % 7), Some("192.0.2.12"), 2, 80));
        node.routes.push(route(&format!("172.30.{i}.0/24"), Some("192.0.2.13"), 2, 80));
        node.routes.push(route(&format!("fd00:{i:x}::/122"), Some("fd01::2"), 2, 80));
    }
    let topology = derive(&node);
    assert_eq!(topology.blocks.len(), 600);
    let config = topology.config();
    for block in &topology.blocks {
        assert!(passes(&config, block.address), "{}", block.address);
        let (key, _) = block.entry();
        assert_eq!(key, block_key(block));
        assert!(
            config.lengths.iter().any(|l| l.bits == key.bits && key.address.masked(&l.mask) == key.address)
        );
    }
    for outside in ["8.8.8.8", "192.0.2.12", "172.31.0.1", "10.10.1.1", "2001:db8::1"] {
        assert!(!passes(&config, ip(outside)), "{outside}");
    }
    assert_eq!(config.lengths.map(|l| l.bits), [122, 120, 0, 0]);
}

#[test]
fn what_does_not_fit_is_noted() {
    let mut node = plain();
    for len in 24..=30 {
        for i in 0..len {
            node.routes.push(route(&format!("10.{len}.{i}.0/{len}"), Some("192.0.2.12"), 2, 80));
        }
    }
    for i in 0..10 {
        node.devices.push(vxlan(20 + i, &format!("vx{i}"), Some(100 + i)));
    }
    let topology = derive(&node);
    assert_eq!(topology.config().lengths.map(|l| l.bits), [126, 125, 124, 123]);
    assert_eq!(topology.config().vnis, [100, 101, 102, 103, 104, 105, 106, 107]);
    let notes = topology.notes.join("\n");
    // 24 + 25 + 26 blocks.
    assert!(notes.contains("external: 75;"), "{notes}");
    assert!(notes.contains("the node's 12 VNIs"), "{notes}");
}

#[test]
fn a_node_without_calico_has_the_default_configuration() {
    assert_eq!(derive(&plain()).config(), Config::DEFAULT);
}

#[test]
fn size_classes_include_the_mtus() {
    let mut node = with_vxlan(plain(), Some(4096));
    node.devices[1].mtu = 1472;
    let bounds = derive(&node).size_bounds();
    assert!(bounds.contains(&1472) && bounds.contains(&1450));
    assert!(bounds.is_sorted_by(|a, b| a < b));
    for i in 0..40 {
        node.devices.push(Device { mtu: 1000 + i, ..vxlan(20 + i, &format!("vx{i}"), Some(i)) });
    }
    assert_eq!(derive(&node).size_bounds().len(), 31);
}

#[test]
fn devices_are_identified_by_name() {
    let old = derive(&with_vxlan(plain(), Some(4096)));
    assert!(Changes::between(&old, &old).is_empty());

    // Felix recreated vxlan.calico, and the MTU of the underlay changed.
    let mut node = plain();
    node.devices[1].mtu = 1390;
    let mut moved = with_vxlan(node.clone(), Some(4096));
    moved.devices[2].ifindex = 9;
    moved.routes[2].ifindex = Some(9);
    moved.neighbours[0].ifindex = 9;
    moved.fdb[0].ifindex = 9;
    let new = derive(&moved);
    let changes = Changes::between(&old, &new);
    assert_eq!(changes.recreated.len(), 1);
    assert_eq!((changes.recreated[0].old_ifindex, changes.recreated[0].watched.device.ifindex), (5, 9));
    assert_eq!(changes.recreated[0].watched.underlay_mtu, Some(1390));
    assert_eq!(changes.update.len(), 1);
    assert!(changes.attach.is_empty() && changes.detach.is_empty() && changes.size_bounds);
    assert!(changes.peers.is_empty() && changes.blocks.is_empty());

    // The tunnel is removed.
    let changes = Changes::between(&new, &derive(&node));
    assert_eq!(changes.detach.len(), 1);
    assert_eq!(changes.peers_gone, [ip("192.0.2.12")]);
    assert_eq!(changes.blocks_gone.len(), 1);
    assert!(changes.config);
}

#[test]
fn a_switch_of_modes_changes_blocks_and_tunnels() {
    let changes = Changes::between(&derive(&lab("ipip-always")), &derive(&lab("vxlan-crosssubnet")));
    let names = |list: &[observer::topology::Watched]| -> Vec<String> {
        list.iter().map(|w| w.device.name.clone()).collect()
    };
    assert_eq!(names(&changes.attach), ["vxlan-v6.calico", "vxlan.calico"]);
    assert_eq!(names(&changes.detach), ["tunl0"]);
    assert_eq!(changes.blocks.len(), 3, "all but the native one of node-b, which stays for IPv6");
    assert!(changes.blocks_gone.is_empty());
    // The tunnel of later fragments has changed.
    assert!(changes.config);
}
