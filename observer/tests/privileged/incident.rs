//! The incidents of `cargo xtask lab incident`: `top` and `trace` show the device, the peer and the wrong value
//! (docs/incidents.md).

use std::process::Command;

use serde_json::Value;

use crate::lab::{Lab, output, snmp, wait_for, within};

const OBSERVER: &str = env!("CARGO_BIN_EXE_observer");
/// Seconds to wait for a packet; `trace` ends at the first match.
const TIMEOUT: &str = "30";

/// The first `count` lines of `observer trace`.
fn trace(lab: &Lab, place: &str, why: &str, filter: &str, count: &str) -> Vec<Value> {
    let mut command = vec![OBSERVER, "trace", "--format", "json", "--why", why, "--rate", "0"];
    command.extend(["--count", count, "--duration", TIMEOUT, "--filter", filter]);
    let lines = lab.exec(place, &command);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len().to_string(), count, "{why} in {place} with {filter}: {lines:?}");
    lines
}

/// The first row of `observer top` that contains all of `words`, once there is one.
fn row(lab: &Lab, place: &str, words: &[&str]) -> String {
    wait_for(&format!("a row with {words:?} in top"), || {
        let screen = lab.exec(place, &[OBSERVER, "top", "--once"]);
        let found = screen.lines().find(|line| {
            let has = |word: &&str| line.split_whitespace().any(|found| found == *word);
            words.iter().all(has)
        });
        found.map(str::to_owned)
    })
}

/// The MTU of a device, from `ip`.
fn mtu(netns: &str, device: &str) -> u64 {
    let json = output(Command::new("ip").args(["-n", netns, "-j", "link", "show", "dev", device]));
    let links: Value = serde_json::from_str(&json).expect("ip prints JSON");
    links[0]["mtu"].as_u64().expect("an MTU")
}

fn counter(netns: &str, protocol: &'static str, name: &'static str) -> u64 {
    within(netns, move || snmp(protocol, name))
}

/// The answer that `lab incident` expects from the reader: device, peer address, MTU.
fn answer(incident: &Value) -> (String, String, u64) {
    let answer = &incident["answer"];
    let text = |field: &str| answer[field].as_str().expect("text").to_owned();
    (text("device"), text("peer_address"), answer["mtu"].as_u64().expect("an MTU"))
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn top_and_trace_show_a_tunnel_mtu_that_is_too_high() {
    let (lab, incident) = Lab::incident("mtu");
    let (device, peer, wrong) = answer(&incident);
    let a = lab.netns("node-a");
    assert_eq!(mtu(&a, &device), wrong);
    row(&lab, "node-a", &[&device, "tunnel", &wrong.to_string()]);
    let created = counter(&a, "Ip", "FragCreates");
    let line = &trace(&lab, "node-a", "would-fragment", &format!("peer {peer}"), "1")[0];
    assert_eq!((line["device"].as_str(), line["direction"].as_str()), (Some(&*device), Some("egress")));
    assert_eq!(line["peer"], *peer);
    let (right, size) = (line["mtu"].as_u64().expect("MTU"), line["size"].as_u64().expect("size"));
    assert_eq!(right, mtu(&a, "eth0") - 50, "the MTU through the tunnel");
    assert!(right < size && size <= wrong, "{right} < {size} <= {wrong}");
    let fragments = trace(&lab, "node-a", "fragment", &format!("peer {peer}"), "2");
    assert!(fragments.iter().all(|line| line["device"] == "eth0" && line["encapsulation"] == "vxlan"));
    wait_for("the kernel to count fragments", || (counter(&a, "Ip", "FragCreates") > created).then_some(()));
    // It can be undone.
    lab.mend();
    assert_eq!(mtu(&a, &device), right);
    assert!(observer_lab::mend(lab.name()).is_err(), "nothing is left to mend");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn top_and_trace_show_discarded_ptb_messages() {
    let (lab, incident) = Lab::incident("blackhole");
    let (device, _, narrow) = answer(&incident);
    let pod = &lab.node("node-a")["pods"][0];
    let pod_netns = pod["netns"].as_str().expect("netns").to_owned();
    let line = &trace(&lab, "node-a", "ptb", "ingress", "1")[0];
    assert_eq!(line["device"], *device);
    let message = &line["ptb"];
    assert_eq!(message["mtu"], narrow);
    assert_eq!(message["quoted_source"], pod["address"]);
    assert_eq!(message["quoted_destination"], lab.node("node-c")["pods"][0]["address"]);
    // The message repeats, because the pod does not receive it and keeps sending too much.
    trace(&lab, "node-a", "ptb", &format!("host {}", pod["address"].as_str().expect("address")), "2");
    let screen = lab.exec("node-a", &[OBSERVER, "top", "--once"]);
    wait_for("the MTU of the PTB messages in top", || {
        let screen = lab.exec("node-a", &[OBSERVER, "top", "--once"]);
        screen.contains(&format!("({narrow})")).then_some(())
    });
    assert!(screen.contains(&device));
    assert_eq!(counter(&pod_netns, "Icmp", "InDestUnreachs"), 0, "the pod has received a PTB message");
    // Without the rule the pod receives the messages, and transfers work.
    lab.mend();
    let done = lab.traffic(&["--kind", "tcp", "--from", "a1", "--to", "c1", "--bytes", "100000"]);
    assert_eq!(done["received_bytes"], 100_000);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn trace_shows_lost_fragments() {
    let (lab, incident) = Lab::incident("reassembly");
    let (device, peer, wrong) = answer(&incident);
    let c = lab.netns("node-c");
    let fails = counter(&c, "Ip", "ReasmFails");
    let line = &trace(&lab, "node-c", "drop", &format!("peer {peer}"), "1")[0];
    assert_eq!((&line["device"], &line["peer"]), (&Value::from(device), &Value::from(&*peer)));
    assert_eq!(line["outer"]["fragment"], "first");
    assert_eq!(line["drop"]["function"], "ip_expire", "{line}");
    wait_for("the kernel to count the failures", || (counter(&c, "Ip", "ReasmFails") > fails).then_some(()));
    // Some last fragments are missing.
    let fragments = trace(&lab, "node-c", "fragment", &format!("ingress and peer {peer}"), "60");
    let of = |position: &str| fragments.iter().filter(|f| f["outer"]["fragment"] == position).count();
    let (first, last) = (of("first"), of("last"));
    assert_eq!(first + last, 60);
    assert!(last > 0 && last + 10 < first, "{first} first fragments, {last} last ones");
    // The reason for the fragments: inner packets are larger than the correct MTU of node-c's tunnel.
    let line = &trace(&lab, "node-c", "oversized", "dev vxlan.calico", "1")[0];
    let (size, right) = (line["size"].as_u64().expect("size"), line["mtu"].as_u64().expect("MTU"));
    assert_eq!(right, mtu(&c, "vxlan.calico"));
    assert!(right < size && size <= wrong, "{right} < {size} <= {wrong}");
    assert_eq!(mtu(&lab.netns("node-a"), "vxlan.calico"), wrong);
    lab.mend();
    let done =
        lab.traffic(&["--kind", "udp", "--from", "c1", "--to", "a1", "--count", "40", "--size", "1600"]);
    assert_eq!(done["received"], 40, "datagrams are still lost");
}
