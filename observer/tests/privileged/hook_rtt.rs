//! Round-trip times at the hooks: for every path, for forwarded traffic, compared with `ping`; and no programs left
//! behind.

mod program;
mod segment;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use aya::programs::{SchedClassifier, TcAttachType};
use observer::kernel::{Measure, Options, sys};
use observer::model::{CostReport, HookRttRow};
use observer_common::kind::Class;

use self::segment::{Segment, send};
use crate::cost_rtt::{DELAYS, netem, ping};
use crate::lab::{Lab, output, wait_for, within};
use crate::watch::Watch;

/// Measures everything all the time.
const EVERY: Measure = Measure { sample: 1, hooks: true };

fn options() -> Options {
    Options { cost: Some(EVERY), ..Options::default() }
}

/// The IPv4 row with this class.
fn row(report: &CostReport, class: Class) -> Option<&HookRttRow> {
    report.hook_rtt.iter().find(|row| row.class == class && row.peer.is_ipv4())
}

/// Requests and responses, one at a time.
fn requests(lab: &Lab, to: &str, count: u32) {
    lab.traffic(&["--kind", "rr", "--from", "a1", "--to", to, "--count", &count.to_string()]);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_is_measured_native_and_in_vxlan() {
    let lab = Lab::up("vxlan-crosssubnet", &["--fresh-pods"]);
    paths_are_timed(&lab, &[("node-b", "b1", Class::None), ("node-c", "c1", Class::Vxlan)]);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_is_measured_in_ipip() {
    let lab = Lab::up("ipip-always", &["--fresh-pods"]);
    if lab.user_space_ipip() {
        observer_testing::skip(observer_testing::Need::Ipip, "the lab uses user-space tunnels");
        return;
    }
    paths_are_timed(&lab, &[("node-c", "c1", Class::Ipip)]);
}

fn paths_are_timed(lab: &Lab, paths: &[(&str, &str, Class)]) {
    let watch = Watch::start(&lab.netns("node-a"), options()).expect("attach");
    for (node, to, class) in paths {
        let begun = std::time::Instant::now();
        let report = wait_for("round trips on the path", || {
            requests(lab, to, 500);
            let report = watch.cost();
            row(&report, *class).is_some_and(|row| row.samples >= 5).then_some(report)
        });
        let took = begun.elapsed().as_secs_f64() * 1e3;
        let row = row(&report, *class).expect("a row");
        assert_eq!(row.peer.to_string(), lab.node(node)["address"].as_str().expect("its address"));
        let ([p50, _, p99], mean) = (row.percentiles.expect("measured"), row.mean.expect("measured"));
        println!("{}: {} round trips, mean {mean:.3} ms, median {p50:.3} ms", class.label(), row.samples);
        assert!(0.0 < p50 && p50 <= p99 && mean < took, "{row:?}, in {took} ms");
    }
    // One row per path.
    let v4 = watch.cost().hook_rtt.into_iter().filter(|row| row.peer.is_ipv4());
    assert_eq!(v4.count(), paths.len());
}

/// Segments that do not belong to any socket on this machine, counted exactly.
#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_needs_no_socket() {
    const PORTS: (u16, u16) = (40_000, 50_000);
    let lab = Lab::up("vxlan-crosssubnet", &["--fresh-pods"]);
    let watch = Watch::start(&lab.netns("node-a"), options()).expect("attach");
    let pod = |node: &str| {
        let pod = &lab.node(node)["pods"][0];
        let address: Ipv4Addr = pod["address"].as_str().expect("one").parse().expect("IPv4");
        (pod["netns"].as_str().expect("one").to_owned(), address.octets())
    };
    let ((local, from), (remote, to)) = (pod("node-a"), pod("node-c"));
    for stamp in (10..30).step_by(2) {
        let segments = [stamp, stamp + 1].map(|stamp| Segment::data(PORTS, stamp).v4(from, to));
        within(&local, move || send(&segments)).expect("send");
        let answer = [Segment::answer(PORTS, stamp + 1).v4(to, from)];
        let before = row(&watch.cost(), Class::Vxlan).map_or(0, |row| row.samples);
        wait_for("the round trip", || {
            // Repeated if necessary: only one answer per timestamp is timed.
            let answer = answer.clone();
            within(&remote, move || send(&answer)).expect("send");
            let now = row(&watch.cost(), Class::Vxlan).map_or(0, |row| row.samples);
            (now > before).then_some(())
        });
    }
    let report = watch.cost();
    assert_eq!(row(&report, Class::Vxlan).map(|row| row.samples), Some(10), "{:?}", report.hook_rtt);
    assert!(report.tcp.iter().all(|row| row.samples == 0), "no socket was involved: {:?}", report.tcp);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_matches_ping() {
    let lab = Lab::up("vxlan-crosssubnet", &["--no-offloads", "--fresh-pods"]);
    for (node, _, _, delay) in DELAYS {
        if !netem(&lab, node, &["delay", &format!("{delay}ms")]) {
            return;
        }
    }
    let watch = Watch::start(&lab.netns("node-a"), options()).expect("attach");
    for (node, to, class, delay) in DELAYS {
        requests(&lab, to, 20);
        let address = lab.node(node)["pods"][0]["address"].as_str().expect("an address").to_owned();
        let by_ping = ping(&lab, &address);
        let report = watch.cost();
        let row = row(&report, class).unwrap_or_else(|| panic!("no row for {}: {report:?}", class.label()));
        let mean = row.mean.expect("a mean");
        println!("{}: {mean:.2} ms, {} samples; ping {by_ping:.2} ms", class.label(), row.samples);
        assert!(mean >= f64::from(delay), "{mean} ms on a path with {delay} ms of delay");
        // Emulated machines sometimes add a few ms.
        assert!((mean - by_ping).abs() <= 0.2 * by_ping + 3.0, "{mean} ms, but {by_ping} ms by ping");
    }
}

fn has_tcx() -> bool {
    sys::version().is_some_and(|version| version >= (6, 6))
}

/// Ids of the programs on a device's hooks.
fn hooks(netns: &str, device: &'static str) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    for side in ["ingress", "egress"] {
        let text = Command::new("tc").args(["-n", netns, "filter", "show", "dev", device, side]).output();
        let text = String::from_utf8_lossy(&text.expect("tc").stdout).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        ids.extend(words.windows(2).filter(|pair| pair[0] == "id").filter_map(|p| p[1].parse::<u32>().ok()));
    }
    if has_tcx() {
        ids.extend(within(netns, move || {
            let of = |side| SchedClassifier::query_tcx(device, side).expect("query the hook").1;
            let programs = of(TcAttachType::Ingress).into_iter().chain(of(TcAttachType::Egress));
            programs.map(|program| program.id()).collect::<Vec<_>>()
        }));
    }
    ids
}

const DEVICES: [&str; 2] = ["eth0", "vxlan.calico"];

/// The programs on both devices, if they are the same.
fn each(netns: &str) -> Option<BTreeSet<u32>> {
    let [first, second] = DEVICES.map(|device| hooks(netns, device));
    (first == second).then_some(first)
}

/// Whether both devices have this number of programs.
fn have(netns: &str, count: usize) -> bool {
    each(netns).is_some_and(|ids| ids.len() == count)
}

fn clsact(netns: &str) -> bool {
    DEVICES.into_iter().any(|device| {
        output(Command::new("tc").args(["-n", netns, "qdisc", "show", "dev", device])).contains("clsact")
    })
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_starts_and_stops_without_affecting_counting() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--fresh-pods"]);
    let netns = lab.netns("node-a");
    let watch = Watch::start(&netns, Options::default()).expect("attach");
    assert!(have(&netns, 2), "only the counting programs");
    for _ in 0..2 {
        watch.measure_cost(Some(EVERY));
        assert!(have(&netns, 4), "two more programs");
        requests(&lab, "c1", 500);
        wait_for("a round trip", || {
            requests(&lab, "c1", 100);
            row(&watch.cost(), Class::Vxlan).map(|_| ())
        });
        watch.measure_cost(None);
        assert!(have(&netns, 2), "the counting programs remain");
    }
    watch.measure_cost(Some(EVERY));
    // Hooks are attached again to a device that was down, and to one that lost them.
    output(Command::new("ip").args(["-n", &netns, "link", "set", "vxlan.calico", "down"]));
    wait_for("the hooks to be detached", || hooks(&netns, "vxlan.calico").is_empty().then_some(()));
    output(Command::new("ip").args(["-n", &netns, "link", "set", "vxlan.calico", "up"]));
    wait_for("the hooks to be attached again", || have(&netns, 4).then_some(()));
    if !has_tcx() {
        output(Command::new("tc").args(["-n", &netns, "qdisc", "del", "dev", "eth0", "clsact"]));
        wait_for("the lost hooks to be attached again", || have(&netns, 4).then_some(()));
    }
    drop(watch);
    assert!(have(&netns, 0), "a hook is left after the end");
    assert!(!clsact(&netns), "a clsact is left after the end");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_programs_of_a_killed_process_are_removed() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let netns = lab.netns("node-a");
    let start = |arguments: &[&str]| {
        let command = [&[env!("CARGO_BIN_EXE_observer"), "stat", "--interval", "60"], arguments].concat();
        let mut command = lab.command("node-a", &command);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("observer")
    };
    // The next process removes them, with --cost or without.
    for (next, expected) in [(&["--cost", "--cost-rtt-at-hooks"][..], 4), (&[][..], 2)] {
        let mut killed = start(&["--cost", "--cost-rtt-at-hooks"]);
        wait_for("the hooks", || have(&netns, 4).then_some(()));
        let old = each(&netns).expect("the hooks");
        killed.kill().expect("SIGKILL");
        killed.wait().expect("wait");
        if has_tcx() {
            wait_for("the kernel to remove the links", || have(&netns, 0).then_some(()));
        }
        let mut next = start(next);
        // Without TCX the killed process's filters remain, with the same number.
        wait_for("the hooks of the next process, and no others", || {
            each(&netns).filter(|ids| ids.len() == expected && ids.is_disjoint(&old))
        });
        // SAFETY: the child is ours and not yet waited for.
        unsafe { libc::kill(next.id().cast_signed(), libc::SIGTERM) };
        assert!(next.wait().expect("wait").success());
        assert!(have(&netns, 0), "a hook is left after the next process");
        assert!(!clsact(&netns), "a clsact is left after the next process");
    }
}
