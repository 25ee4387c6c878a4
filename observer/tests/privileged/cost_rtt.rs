//! Round-trip times and retransmissions by path, compared with `ping`, `ss` and the kernel's counters, on paths with
//! added delay and loss.

use std::process::Command;

use observer::kernel::{Measure, Options};
use observer::model::{CostReport, TcpRow};
use observer_common::kind::Class;

use crate::lab::{Lab, snmp, wait_for, within};
use crate::watch::Watch;

/// Milliseconds of delay added to the native and the encapsulated path: large compared with what an emulated machine
/// adds.
pub const DELAYS: [(&str, &str, Class, u32); 2] =
    [("node-b", "b1", Class::None, 50), ("node-c", "c1", Class::Vxlan, 150)];
/// Number of requests: enough for the smoothed time to converge.
const REQUESTS: &str = "40";

/// Adds delay or loss to a node's underlay; false if the kernel does not support it.
pub fn netem(lab: &Lab, node: &str, how: &[&str]) -> bool {
    let netns = lab.netns(node);
    let mut tc = Command::new("ip");
    tc.args(["netns", "exec", &netns, "tc", "qdisc", "replace", "dev", "eth0", "root", "netem"]).args(how);
    let done = tc.output().expect("ip starts");
    if done.status.success() {
        return true;
    }
    let text = String::from_utf8_lossy(&done.stderr);
    observer_testing::skip(observer_testing::Need::Netem, &text);
    false
}

/// The IPv4 row with this class.
fn row(report: &CostReport, class: Class) -> Option<&TcpRow> {
    report.tcp.iter().find(|row| row.class == class && row.peer.is_ipv4())
}

/// The shortest of several pings between pods, in ms, so that load on the machine matters less.
pub fn ping(lab: &Lab, to: &str) -> f64 {
    let text = lab.exec("pod-a1", &["ping", "-c", "4", to]);
    // "rtt min/avg/max/mdev = 10.1/10.2/10.4/0.1 ms"; busybox omits mdev.
    let shortest = text.rsplit("= ").next().and_then(|values| values.split('/').next());
    shortest.and_then(|time| time.trim().parse().ok()).unwrap_or_else(|| panic!("ping printed {text}"))
}

/// The smoothed round-trip time of the pod's connection from `ss`, in ms; `None` if there is no `ss`.
fn ss(netns: &str) -> Option<f64> {
    let ss =
        Command::new("ip").args(["netns", "exec", netns, "ss", "-tinH", "state", "established"]).output();
    let text = ss.expect("ip starts");
    if !text.status.success() {
        println!("no `ss` on this machine: {}", String::from_utf8_lossy(&text.stderr).trim());
        return None;
    }
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let times = text.split_whitespace().filter_map(|word| word.strip_prefix("rtt:")?.split('/').next());
    Some(times.filter_map(|time| time.parse::<f64>().ok()).fold(0.0, f64::max))
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn round_trips_match_ping_and_ss() {
    let lab = Lab::up("vxlan-crosssubnet", &["--no-offloads", "--fresh-pods"]);
    for (node, _, _, delay) in DELAYS {
        if !netem(&lab, node, &["delay", &format!("{delay}ms")]) {
            return;
        }
    }
    let pod = lab.node("node-a")["pods"][0]["netns"].as_str().expect("netns").to_owned();
    let options = Options { cost: Some(Measure { sample: 1, hooks: false }), ..Options::default() };
    let watch = Watch::start(&lab.netns("node-a"), options).expect("attach");
    for (node, to, class, delay) in DELAYS {
        let mut transfer = lab.program();
        transfer.args(["traffic", "once", "--kind", "rr", "--from", "a1", "--to", to, "--count", REQUESTS]);
        let mut transfer = transfer.stdout(std::process::Stdio::null()).spawn().expect("a transfer");
        let by_ss = wait_for("the smoothed time to reach the path's delay", || match ss(&pod) {
            None => Some(None),
            Some(time) if time >= f64::from(delay) => Some(Some(time)),
            Some(_) => transfer.try_wait().expect("its state").map(|_| None),
        });
        assert!(transfer.wait().expect("the transfer ends").success());
        let address = lab.node(node)["pods"][0]["address"].as_str().expect("an address").to_owned();
        let by_ping = ping(&lab, &address);
        let report = watch.cost();
        let row = row(&report, class).unwrap_or_else(|| panic!("no row for {}: {report:?}", class.label()));
        let mean = row.mean.expect("a mean");
        println!("{}: {mean:.2} ms; ping {by_ping:.2} ms, ss {by_ss:?} ms", class.label());
        assert!(mean >= f64::from(delay), "{mean} ms on a path with {delay} ms of delay");
        // Emulated machines sometimes add a few ms.
        for other in [Some(by_ping), by_ss].into_iter().flatten() {
            assert!((mean - other).abs() <= 0.2 * other + 3.0, "{mean} ms, but {other} ms by ping or ss");
        }
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn retransmissions_match_the_kernel_counter() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--fresh-pods"]);
    if !netem(&lab, "node-a", &["loss", "5%"]) {
        return;
    }
    let pod = lab.node("node-a")["pods"][0]["netns"].as_str().expect("netns").to_owned();
    let counted = || within(&pod, || snmp("Tcp", "RetransSegs"));
    let options = Options { cost: Some(Measure { sample: 1, hooks: false }), ..Options::default() };
    let watch = Watch::start(&lab.netns("node-a"), options).expect("attach");
    let before = counted();
    lab.traffic(&["--kind", "tcp", "--from", "a1", "--to", "c1", "--bytes", "1000000"]);
    let expected = counted() - before;
    assert!(expected > 0, "no retransmissions of 1 MB at 5 % loss");
    let report = watch.cost();
    let row = row(&report, Class::Vxlan).expect("a row for node-c");
    println!("{} retransmitted segments, {expected} by RetransSegs", row.retransmits);
    assert_eq!(row.retransmits, expected);
}
