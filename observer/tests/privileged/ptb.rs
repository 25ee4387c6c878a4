//! Real PTB messages: a router or a node answers a packet that does not fit. Observer counts as many messages as the
//! kernel sent, on the path of the packet.

use std::net::IpAddr;
use std::process::Command;

use observer::kernel::Options;
use observer::snapshot::{Snapshot, Vni};
use observer_common::counters::{Event, PathCounter};
use observer_common::kind::{Class, Direction};

use crate::lab::{Lab, output, snmp, wait_for, within};
use crate::watch::Watch;

const NAME: &str = "observer-ptb";
const MTU: &str = "1300";

/// An ICMPv6 counter in the namespace `netns`.
fn snmp6(netns: &str, counter: &'static str) -> u64 {
    within(netns, move || {
        let text = std::fs::read_to_string("/proc/thread-self/net/snmp6").expect("snmp6");
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(counter));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|value| value.parse().ok()).expect("a number")
    })
}

fn icmp(netns: &str, counter: &'static str) -> u64 {
    within(netns, move || snmp("Icmp", counter))
}

/// An address family: its number and the event for its PTB messages.
#[derive(Clone, Copy)]
struct Family {
    number: &'static str,
    event: Event,
}

const V4: Family = Family { number: "4", event: Event::PtbV4 };
const V6: Family = Family { number: "6", event: Event::PtbV6 };

impl Family {
    fn sent(self, netns: &str) -> u64 {
        match self.event {
            Event::PtbV4 => icmp(netns, "OutDestUnreachs"),
            _ => snmp6(netns, "Icmp6OutPktTooBigs"),
        }
    }

    fn received(self, netns: &str) -> u64 {
        match self.event {
            Event::PtbV4 => icmp(netns, "InDestUnreachs"),
            _ => snmp6(netns, "Icmp6InPktTooBigs"),
        }
    }

    fn address(self, node: &serde_json::Value, field: &str) -> IpAddr {
        let field = if self.number == "4" { field.to_owned() } else { format!("{field}6") };
        node[&field].as_str().and_then(|address| address.parse().ok()).expect("an address")
    }
}

fn seen(snapshot: &Snapshot, device: &str, direction: Direction, family: Family) -> u64 {
    let device = snapshot.devices.iter().find(|d| d.name == device).expect("the device");
    device.events[direction as usize][family.event as usize]
}

/// PTB messages by path.
fn by_path(snapshot: &Snapshot) -> Vec<(Direction, Class, Vni, IpAddr, u64, u64)> {
    let paths = snapshot.paths.iter().filter(|p| p.counters[PathCounter::Ptb as usize] != 0);
    paths
        .map(|p| {
            let get = |counter: PathCounter| p.counters[counter as usize];
            let id = &p.id;
            (id.direction, id.class, id.vni, id.peer, get(PathCounter::Ptb), get(PathCounter::PtbMtu))
        })
        .collect()
}

/// Paths with messages of a family.
fn paths_of(snapshot: &Snapshot, family: Family) -> Vec<(Direction, Class, Vni, IpAddr, u64, u64)> {
    by_path(snapshot).into_iter().filter(|path| path.3.is_ipv4() == (family.number == "4")).collect()
}

/// A lab in which the router's link to node-c has a smaller MTU: packets with DF from a1 to c1 cause PTB messages,
/// which are received on node-a's eth0.
struct Narrow {
    lab: Lab,
    mode: &'static str,
    /// Namespaces of the router, node-a and pod a1.
    namespaces: [String; 3],
    watch: Watch,
}

impl Narrow {
    fn new(mode: &'static str) -> Self {
        let lab = Lab::up_named(NAME, mode, &[]);
        let text = |value: &serde_json::Value| value.as_str().expect("a name").to_owned();
        let namespaces = [
            text(&lab.status["router"]["netns"]),
            lab.netns("node-a"),
            text(&lab.node("node-a")["pods"][0]["netns"]),
        ];
        if mode.starts_with("vxlan") {
            // Calico's device does not set DF, so the router would fragment.
            let df = ["link", "set", "vxlan.calico", "type", "vxlan", "id", "4096", "df", "set"];
            output(Command::new("ip").args(["-n", &namespaces[1]]).args(df));
        }
        lab.exec("router", &["ip", "link", "set", "dev", "c", "mtu", MTU]);
        let watch = Watch::start(&namespaces[1], Options::default()).expect("attach");
        assert_eq!(by_path(&watch.snapshot()), []);
        Self { lab, mode, namespaces, watch }
    }

    fn counters(&self, counter: impl Fn(&str) -> u64) -> [u64; 3] {
        self.namespaces.each_ref().map(|netns| counter(netns))
    }

    /// Sends packets that do not fit, in three rounds. The learned path MTU is flushed after each
    /// round.
    fn send_too_big(&self, family: Family, tcp: bool) {
        for _ in 0..3 {
            let udp = ["--kind", "udp", "--from", "a1", "--to", "c1", "--count", "20", "--dont-fragment"];
            // Too big for the router with and without any tunnel's headers.
            self.lab.traffic(&[&udp[..], &["--family", family.number, "--size", "1350"]].concat());
            if tcp {
                // Path MTU discovery works, so the transfer ends.
                let tcp = ["--kind", "tcp", "--from", "a1", "--to", "c1", "--bytes", "200000"];
                self.lab.traffic(&[&tcp[..], &["--family", family.number]].concat());
            }
            let family = format!("-{}", family.number);
            for netns in &self.namespaces[1..] {
                output(Command::new("ip").args(["-n", netns, &family, "route", "flush", "cache"]));
            }
        }
    }

    /// Checks that all messages are counted at eth0, on the path of this class and peer.
    fn check(&self, family: Family, class: Class, vni: Vni, peer: IpAddr) {
        let mode = self.mode;
        let minus = |after: [u64; 3], before: [u64; 3]| [0, 1, 2].map(|i| after[i] - before[i]);
        let sent = || self.counters(|netns| family.sent(netns));
        let received = || self.counters(|netns| family.received(netns));
        let (sent_before, received_before) = (sent(), received());
        self.send_too_big(family, class == Class::None);
        let after = wait_for("all sent messages to be counted", || {
            let after = self.watch.snapshot();
            let count = seen(&after, "eth0", Direction::Ingress, family);
            (count == sent()[0] - sent_before[0]).then_some(after)
        });
        let (sent, received) = (minus(sent(), sent_before), minus(received(), received_before));
        let count = seen(&after, "eth0", Direction::Ingress, family);
        println!(
            "PTB {mode} IPv{}: {count} counted; sent {sent:?}, received {received:?} (router, node-a, pod); {:?}",
            family.number,
            paths_of(&after, family)
        );
        assert!(count >= 3, "{mode}: a message in each round");
        assert_eq!(count, sent[0], "{mode}: counted, and sent by the router");
        // Messages from node-a to its pod and to itself do not cross a watched device. Only the lab's user-space
        // IPIP writes its messages into tunl0.
        let own = after.devices.iter().find(|d| d.name == "tunl0");
        let own = own.map_or(0, |d| d.events[Direction::Ingress as usize][family.event as usize]);
        let all = |of: [u64; 3]| of.iter().sum::<u64>();
        assert_eq!(all(sent) + own, all(received), "{mode}: sent and received");
        let expected = [(Direction::Egress, class, vni, peer, count, MTU.parse().expect("a number"))];
        assert_eq!(paths_of(&after, family), expected, "{mode}: all messages belong to the path");
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn router_messages_about_native_packets_are_counted() {
    let narrow = Narrow::new("bgp");
    for family in [V4, V6] {
        let peer = family.address(narrow.lab.node("node-a"), "gateway");
        narrow.check(family, Class::None, Vni::None, peer);
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn router_messages_about_ipip_are_counted() {
    let narrow = Narrow::new("ipip-always");
    narrow.check(V4, Class::Ipip, Vni::None, V4.address(narrow.lab.node("node-c"), "address"));
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn router_messages_about_vxlan_are_counted() {
    let narrow = Narrow::new("vxlan-always");
    for family in [V4, V6] {
        let peer = family.address(narrow.lab.node("node-c"), "address");
        narrow.check(family, Class::Vxlan, Vni::Own(4096), peer);
    }
}

/// A pod on node-c has a smaller MTU than the path: node-c sends PTB messages to node-a. In VXLAN mode they cross
/// the tunnel devices as well, but count once on the path.
fn node_answers(mode: &str, class: Class, vni: Vni) {
    let lab = Lab::up_named(NAME, mode, &[]);
    let (a, c) = (lab.netns("node-a"), lab.netns("node-c"));
    let device = lab.node("node-c")["pods"][0]["device"].as_str().expect("device").to_owned();
    lab.exec("node-c", &["ip", "link", "set", "dev", &device, "mtu", MTU]);
    let at_a = Watch::start(&a, Options::default()).expect("attach in node-a");
    let at_c = Watch::start(&c, Options::default()).expect("attach in node-c");
    let mtu: u64 = MTU.parse().expect("a number");
    for family in [V4, V6] {
        let before = family.sent(&c);
        let udp = ["--kind", "udp", "--from", "a1", "--to", "c1", "--count", "20", "--dont-fragment"];
        lab.traffic(&[&udp[..], &["--family", family.number, "--size", "1350"]].concat());
        let (in_a, in_c, sent) = wait_for("all sent messages to be counted", || {
            let (in_a, in_c) = (at_a.snapshot(), at_c.snapshot());
            let sent = family.sent(&c) - before;
            let received = seen(&in_a, "eth0", Direction::Ingress, family);
            let sent_at_c = seen(&in_c, "eth0", Direction::Egress, family);
            (sent != 0 && (received, sent_at_c) == (sent, sent)).then_some((in_a, in_c, sent))
        });
        // The peer of a native packet is its next hop.
        let peer = |node: &str, own: &str| match class {
            Class::None => family.address(lab.node(own), "gateway"),
            _ => family.address(lab.node(node), "address"),
        };
        let (to_c, from_a) = (peer("node-c", "node-a"), peer("node-a", "node-c"));
        let (paths_a, paths_c) = (paths_of(&in_a, family), paths_of(&in_c, family));
        println!("PTB {mode} IPv{} from node-c: {sent}; {paths_a:?}, {paths_c:?}", family.number);
        assert_eq!(paths_c, [(Direction::Ingress, class, vni, from_a, sent, mtu)], "{mode} at node-c");
        assert_eq!(paths_a, [(Direction::Egress, class, vni, to_c, sent, mtu)], "{mode} at node-a");
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn node_messages_about_native_packets_are_counted_at_both_ends() {
    node_answers("bgp", Class::None, Vni::None);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn node_messages_through_vxlan_count_once_on_the_path() {
    node_answers("vxlan-always", Class::Vxlan, Vni::Own(4096));
}
