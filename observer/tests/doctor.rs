//! The doctor on nodes of published clusters, from the output of `ip route` and `ip address` (or `route -n`).
//! Each file in `data/doctor` has its source.

use std::net::IpAddr;

use observer::advice::{Facts, diagnose};
use observer::calico;
use observer::model::Mode;
use observer::topology::{
    Address, Choice, Device, DeviceKind, FdbEntry, LinkLayer, Neighbour, Node, Route, RouteKind, Vxlan,
};

/// Reads a file: lines of `ip -d link`, `ip address`, `ip route` and `route -n`, and `vtep ADDRESS NODE` for
/// VXLAN neighbours. Lines that begin with `#` are comments.
fn node(file: &str) -> Node {
    let path = format!("{}/tests/data/doctor/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let mut node = Node::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [index, name, flags, ..] if index.ends_with(':') => link(&mut node, name, flags, &words),
            ["inet", address, ..] => {
                let (address, prefix_len) = prefix(address);
                let ifindex = node.devices.last().expect("an address after its link").ifindex;
                node.addresses.push(Address { ifindex, address, prefix_len });
            }
            ["vtep", address, remote] => vtep(&mut node, address, remote),
            [destination, gateway, mask, _, "0" | "1003" | "1004", _, _, device] => {
                legacy(&mut node, destination, gateway, mask, device);
            }
            _ => route(&mut node, &words),
        }
    }
    node
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is not an address"))
}

fn prefix(text: &str) -> (IpAddr, u8) {
    match text.split_once('/') {
        Some((address, len)) => (ip(address), len.parse().expect(text)),
        None => (ip(text), 32),
    }
}

/// A device by name, created with defaults for its name if there is no line of `ip link` for it.
fn device(node: &mut Node, name: &str) -> u32 {
    if let Some(device) = node.devices.iter().find(|device| device.name == name) {
        return device.ifindex;
    }
    let ifindex = u32::try_from(node.devices.len()).expect("few devices") + 1;
    let (kind, link, mtu) = match name {
        "tunl0" => (DeviceKind::Ipip, LinkLayer::Ip, 1480),
        "vxlan.calico" => (DeviceKind::Vxlan, LinkLayer::Ethernet, 1450),
        name if name.starts_with("cali") => (DeviceKind::Veth, LinkLayer::Ethernet, 0),
        "docker0" => (DeviceKind::Bridge, LinkLayer::Ethernet, 1500),
        _ => (DeviceKind::Hardware, LinkLayer::Ethernet, 1500),
    };
    let vxlan =
        (kind == DeviceKind::Vxlan).then_some(Vxlan { vni: Some(4096), port: 4789, over_ipv6: false });
    node.devices.push(Device {
        ifindex,
        name: name.to_owned(),
        kind,
        link,
        mtu,
        up: true,
        lower: None,
        controller: None,
        vxlan,
        local: None,
        remote: None,
        port: None,
    });
    ifindex
}

fn link(node: &mut Node, name: &str, flags: &str, words: &[&str]) {
    let name = name.trim_end_matches(':').split('@').next().expect("a name");
    let ifindex = device(node, name);
    let device = node.devices.iter_mut().find(|device| device.ifindex == ifindex).expect("just created");
    device.up = flags.trim_matches(['<', '>']).split(',').any(|flag| flag == "UP");
    let mtu = words.iter().position(|word| *word == "mtu").and_then(|place| words.get(place + 1));
    device.mtu = mtu.expect("an MTU").parse().expect("a number");
}

fn vtep(node: &mut Node, address: &str, remote: &str) {
    let ifindex = device(node, "vxlan.calico");
    let last = u8::try_from(node.fdb.len()).expect("few nodes");
    let mac = [0x66, 0, 0, 0, 0, last];
    node.neighbours.push(Neighbour { ifindex, address: ip(address), mac });
    node.fdb.push(FdbEntry { ifindex, mac, remote: ip(remote), vni: None });
}

/// A line of `ip route`.
fn route(node: &mut Node, words: &[&str]) {
    let (kind, words) = match words {
        ["blackhole", rest @ ..] => (RouteKind::Blackhole, rest),
        words => (RouteKind::Unicast, words),
    };
    let after =
        |word: &str| words.iter().position(|w| *w == word).and_then(|place| words.get(place + 1)).copied();
    let (destination, prefix_len) = match words[0] {
        "default" => (ip("0.0.0.0"), 0),
        text => prefix(text),
    };
    let protocol = match after("proto") {
        Some("bird") => 12,
        Some("kernel") => 2,
        Some("static") => 4,
        Some(number) => number.parse().unwrap_or(3),
        None => 3,
    };
    let ifindex = after("dev").map(|name| device(node, name));
    // The kernel's own route has the address and its prefix length.
    if let (Some(source), Some("kernel"), Some(ifindex)) = (after("src"), after("proto"), ifindex) {
        node.addresses.push(Address { ifindex, address: ip(source), prefix_len });
    }
    node.routes.push(Route {
        destination,
        prefix_len,
        gateway: after("via").map(ip),
        ifindex,
        kind,
        protocol,
        table: 254,
        onlink: words.contains(&"onlink"),
        mtu: None,
    });
}

/// A line of `route -n`, which does not show protocols.
fn legacy(node: &mut Node, destination: &str, gateway: &str, mask: &str, name: &str) {
    let IpAddr::V4(mask) = ip(mask) else { panic!("{mask} is not a mask") };
    let ifindex = (name != "*").then(|| device(node, name));
    node.routes.push(Route {
        destination: ip(destination),
        prefix_len: u8::try_from(mask.to_bits().leading_ones()).expect("32 bits"),
        gateway: Some(ip(gateway)).filter(|gateway| !gateway.is_unspecified()),
        ifindex,
        kind: if ifindex.is_some() { RouteKind::Unicast } else { RouteKind::Blackhole },
        protocol: 12,
        table: 254,
        onlink: false,
        mtu: None,
    });
}

/// Pod interfaces without an MTU in the source are left out.
fn facts(file: &str) -> Facts {
    let mut node = node(file);
    node.devices.retain(|device| device.mtu != 0 || !device.name.starts_with("cali"));
    Facts::of_node(node, &Choice::default())
}

#[test]
fn published_clusters_have_their_mode_and_no_findings() {
    // file, the mode by routes, findings
    type Case = (&'static str, &'static str, &'static [&'static str]);
    let cases: [Case; 5] = [
        ("kops-2640.txt", "native", &[]),
        ("calico-1387.txt", "ipip-crosssubnet", &[]),
        ("sopnode-w2.txt", "vxlan-always", &[]),
        ("node-563.txt", "ipip", &[]),
        ("bird-6.txt", "ipip", &[]),
    ];
    for (file, mode, expected) in cases {
        let facts = facts(file);
        let diagnosis = diagnose(&facts);
        let found = diagnosis.view.modes.first().and_then(|mode| mode.routes).map(Mode::label);
        assert_eq!(found.as_deref(), Some(mode), "{file}: {:?}", facts.topology.blocks);
        let ids: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.id).collect();
        assert_eq!(ids, expected, "{file}: {:#?}", diagnosis.findings);
    }
}

/// The reporter's question: the pool is CrossSubnet, all nodes are in one subnet, and they are tunnelled.
#[test]
fn nodes_with_32_in_a_crosssubnet_pool_are_explained() {
    let mut facts = facts("node-563.txt");
    let pool = "kind: IPPool\nmetadata: {name: p}\nspec: {cidr: 172.22.0.0/16, ipipMode: CrossSubnet}";
    facts.calico = Some(calico::parse(pool).expect("yaml"));
    let diagnosis = diagnose(&facts);
    let ids: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids, ["same-subnet-tunnelled"]);
    assert!(diagnosis.findings[0].explanation.contains("/32"));
}

#[test]
fn a_tunnel_mtu_that_is_too_low_is_found() {
    let facts = facts("calicoctl-1866.txt");
    let diagnosis = diagnose(&facts);
    let ids: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids, ["tunnel-mtu-low"], "{:#?}", diagnosis.findings);
    assert!(diagnosis.findings[0].title.contains("tunl0 has 1440, 1480 fits"));
}
