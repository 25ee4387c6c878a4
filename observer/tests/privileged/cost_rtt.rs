//! Round-trip times and retransmissions by path against `ping`, `ss` and the kernel's own counters, on paths
//! that are made slow and lossy.

use std::process::Command;

use observer::kernel::{Measure, Options};
use observer::model::{CostReport, TcpRow};
use observer_common::kind::Class;

use crate::lab::{Lab, snmp, wait_for, within};
use crate::watch::Watch;

/// Milliseconds that each answer of the native and of the encapsulated path takes longer: long beside what an
/// emulated machine adds.
pub const DELAYS: [(&str, &str, Class, u32); 2] =
    [("node-b", "b1", Class::None, 50), ("node-c", "c1", Class::Vxlan, 150)];
/// Requests: enough for the smoothed time to forget where it began.
const REQUESTS: &str = "40";

/// Makes a node's underlay bad; false where this kernel cannot.
pub fn netem(lab: &Lab, node: &str, how: &[&str]) -> bool {
    let netns = lab.netns(node);
    let mut tc = Command::new("ip");
    tc.args(["netns", "exec", &netns, "tc", "qdisc", "replace", "dev", "eth0", "root", "netem"]).args(how);
    let done = tc.output().expect("ip starts");
    if done.status.success() {
        return true;
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let release = observer::kernel::sys::release();
    assert!(!release.contains("-cloud-"), "kernel {release} has netem: {said}");
    println!("SKIPPED: no netem on this kernel; `cargo xtask vm` runs it on kernels that have it");
    false
}

/// The row of the pods of `node`, over IPv4.
fn row(report: &CostReport, class: Class) -> Option<&TcpRow> {
    report.tcp.iter().find(|row| row.class == class && row.peer.is_ipv4())
}

/// The shortest of some pings between pods, in ms: the path's own time, whatever else the machine does.
pub fn ping(lab: &Lab, to: &str) -> f64 {
    let said = lab.exec("pod-a1", &["ping", "-c", "4", to]);
    // "rtt min/avg/max/mdev = 10.1/10.2/10.4/0.1 ms", and busybox's without the last.
    let shortest = said.rsplit("= ").next().and_then(|values| values.split('/').next());
    shortest.and_then(|time| time.trim().parse().ok()).unwrap_or_else(|| panic!("ping says {said}"))
}

/// The smoothed round-trip time of the pod's connection, by `ss`, in ms; `None` where there is no `ss`.
fn ss(netns: &str) -> Option<f64> {
    let ss =
        Command::new("ip").args(["netns", "exec", netns, "ss", "-tinH", "state", "established"]).output();
    let said = ss.expect("ip starts");
    if !said.status.success() {
        println!("no `ss` here: {}", String::from_utf8_lossy(&said.stderr).trim());
        return None;
    }
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let times = said.split_whitespace().filter_map(|word| word.strip_prefix("rtt:")?.split('/').next());
    Some(times.filter_map(|time| time.parse::<f64>().ok()).fold(0.0, f64::max))
}

#[test]
fn round_trips_of_slow_paths_are_those_of_ping_and_ss() {
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
        let mut transfer = lab.xtask();
        transfer.args(["traffic", "once", "--kind", "rr", "--from", "a1", "--to", to, "--count", REQUESTS]);
        let mut transfer = transfer.stdout(std::process::Stdio::null()).spawn().expect("xtask starts");
        let by_ss = wait_for("a connection that is as slow as its path", || match ss(&pod) {
            None => Some(None),
            Some(time) if time >= f64::from(delay) => Some(Some(time)),
            Some(_) => transfer.try_wait().expect("its state").map(|_| None),
        });
        assert!(transfer.wait().expect("it ends").success());
        let address = lab.node(node)["pods"][0]["address"].as_str().expect("an address").to_owned();
        let by_ping = ping(&lab, &address);
        let report = watch.cost();
        let row = row(&report, class).unwrap_or_else(|| panic!("no row of {}: {report:?}", class.label()));
        let mean = row.mean.expect("a mean");
        println!("{}: {mean:.2} ms; ping {by_ping:.2} ms, ss {by_ss:?} ms", class.label());
        assert!(mean >= f64::from(delay), "{mean} ms on a path that is {delay} ms slower");
        // Emulated machines take a few ms more now and then.
        for other in [Some(by_ping), by_ss].into_iter().flatten() {
            assert!((mean - other).abs() <= 0.2 * other + 3.0, "{mean} ms, and {other} ms by another");
        }
    }
}

#[test]
fn retransmissions_are_those_that_the_kernel_counts() {
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
    let should = counted() - before;
    assert!(should > 0, "1 MB with a loss of 5 %");
    let report = watch.cost();
    let row = row(&report, Class::Vxlan).expect("a row of node-c's pods");
    println!("{} segments sent again, {should} by RetransSegs", row.retransmits);
    assert_eq!(row.retransmits, should);
}
