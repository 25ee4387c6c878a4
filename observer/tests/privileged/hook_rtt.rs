//! Round-trip times at the hooks: of every path, of what is only forwarded, and beside what `ping` says; and
//! nothing left behind.

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

/// All of it, all the time.
const EVERY: Measure = Measure { sample: 1, hooks: true };

fn options() -> Options {
    Options { cost: Some(EVERY), ..Options::default() }
}

/// The row of the pods behind a kind of path, over IPv4.
fn row(report: &CostReport, class: Class) -> Option<&HookRttRow> {
    report.hook_rtt.iter().find(|row| row.class == class && row.peer.is_ipv4())
}

/// Requests and their answers, one by one.
fn requests(lab: &Lab, to: &str, count: u32) {
    lab.traffic(&["--kind", "rr", "--from", "a1", "--to", to, "--count", &count.to_string()]);
}

#[test]
fn hook_rtt_is_told_natively_and_encapsulated() {
    let lab = Lab::up("vxlan-crosssubnet", &["--fresh-pods"]);
    paths_are_timed(&lab, &[("node-b", "b1", Class::None), ("node-c", "c1", Class::Vxlan)]);
}

#[test]
fn hook_rtt_is_told_through_ipip() {
    let lab = Lab::up("ipip-always", &["--fresh-pods"]);
    if lab.user_space_ipip() {
        println!("SKIPPED: this kernel has no ipip; `cargo xtask vm` runs it on kernels that have it");
        return;
    }
    paths_are_timed(&lab, &[("node-c", "c1", Class::Ipip)]);
}

fn paths_are_timed(lab: &Lab, paths: &[(&str, &str, Class)]) {
    let watch = Watch::start(&lab.netns("node-a"), options()).expect("attach");
    for (node, to, class) in paths {
        let begun = std::time::Instant::now();
        let report = wait_for("round trips of the path", || {
            requests(lab, to, 500);
            let report = watch.cost();
            row(&report, *class).is_some_and(|row| row.samples >= 5).then_some(report)
        });
        let took = begun.elapsed().as_secs_f64() * 1e3;
        let row = row(&report, *class).expect("found");
        assert_eq!(row.peer.to_string(), lab.node(node)["address"].as_str().expect("its address"));
        let ([p50, _, p99], mean) = (row.percentiles.expect("measured"), row.mean.expect("measured"));
        println!("{}: {} round trips, mean {mean:.3} ms, median {p50:.3} ms", class.label(), row.samples);
        assert!(0.0 < p50 && p50 <= p99 && mean < took, "{row:?}, in {took} ms");
    }
    // Each path is one row, and no traffic has two.
    let v4 = watch.cost().hook_rtt.into_iter().filter(|row| row.peer.is_ipv4());
    assert_eq!(v4.count(), paths.len());
}

/// Segments that no socket of this machine has sent or waits for, exactly counted.
#[test]
fn hook_rtt_needs_no_socket() {
    const PORTS: (u16, u16) = (40_000, 50_000);
    let lab = Lab::up("vxlan-crosssubnet", &["--fresh-pods"]);
    let watch = Watch::start(&lab.netns("node-a"), options()).expect("attach");
    let pod = |node: &str| {
        let pod = &lab.node(node)["pods"][0];
        let address: Ipv4Addr = pod["address"].as_str().expect("one").parse().expect("IPv4");
        (pod["netns"].as_str().expect("one").to_owned(), address.octets())
    };
    let ((near, from), (far, to)) = (pod("node-a"), pod("node-c"));
    for stamp in (10..30).step_by(2) {
        let leave = [stamp, stamp + 1].map(|stamp| Segment::data(PORTS, stamp).v4(from, to));
        within(&near, move || send(&leave)).expect("send");
        let answer = [Segment::answer(PORTS, stamp + 1).v4(to, from)];
        let before = row(&watch.cost(), Class::Vxlan).map_or(0, |row| row.samples);
        wait_for("the round trip", || {
            // As often as it takes: of one timestamp only one answer is timed.
            let answer = answer.clone();
            within(&far, move || send(&answer)).expect("send");
            let now = row(&watch.cost(), Class::Vxlan).map_or(0, |row| row.samples);
            (now > before).then_some(())
        });
    }
    let report = watch.cost();
    assert_eq!(row(&report, Class::Vxlan).map(|row| row.samples), Some(10), "{:?}", report.hook_rtt);
    assert!(report.tcp.iter().all(|row| row.samples == 0), "no socket had a part in it: {:?}", report.tcp);
}

#[test]
fn hook_rtt_of_slow_paths_is_that_of_ping() {
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
        let row = row(&report, class).unwrap_or_else(|| panic!("no row of {}: {report:?}", class.label()));
        let mean = row.mean.expect("a mean");
        println!("{}: {mean:.2} ms of {}; ping {by_ping:.2} ms", class.label(), row.samples);
        assert!(mean >= f64::from(delay), "{mean} ms on a path that is {delay} ms slower");
        // Emulated machines take a few ms more now and then.
        assert!((mean - by_ping).abs() <= 0.2 * by_ping + 3.0, "{mean} ms, and {by_ping} ms by ping");
    }
}

fn has_tcx() -> bool {
    sys::version().is_some_and(|version| version >= (6, 6))
}

/// Ids of the programs at the hooks of a device of a node.
fn hooks(netns: &str, device: &'static str) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    for side in ["ingress", "egress"] {
        let said = Command::new("tc").args(["-n", netns, "filter", "show", "dev", device, side]).output();
        let said = String::from_utf8_lossy(&said.expect("tc").stdout).into_owned();
        let words: Vec<&str> = said.split_whitespace().collect();
        ids.extend(words.windows(2).filter(|pair| pair[0] == "id").filter_map(|p| p[1].parse::<u32>().ok()));
    }
    if has_tcx() {
        ids.extend(within(netns, move || {
            let of = |side| SchedClassifier::query_tcx(device, side).expect("ask").1;
            let programs = of(TcAttachType::Ingress).into_iter().chain(of(TcAttachType::Egress));
            programs.map(|program| program.id()).collect::<Vec<_>>()
        }));
    }
    ids
}

const DEVICES: [&str; 2] = ["eth0", "vxlan.calico"];

/// The programs that both devices have, where both have the same ones.
fn each(netns: &str) -> Option<BTreeSet<u32>> {
    let [first, second] = DEVICES.map(|device| hooks(netns, device));
    (first == second).then_some(first)
}

/// Whether both devices have so many.
fn have(netns: &str, count: usize) -> bool {
    each(netns).is_some_and(|ids| ids.len() == count)
}

fn clsact(netns: &str) -> bool {
    DEVICES.into_iter().any(|device| {
        output(Command::new("tc").args(["-n", netns, "qdisc", "show", "dev", device])).contains("clsact")
    })
}

#[test]
fn hook_rtt_begins_and_ends_while_counting_goes_on() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--fresh-pods"]);
    let netns = lab.netns("node-a");
    let watch = Watch::start(&netns, Options::default()).expect("attach");
    assert!(have(&netns, 2), "counting alone");
    for _ in 0..2 {
        watch.measure_cost(Some(EVERY));
        assert!(have(&netns, 4), "and two more");
        requests(&lab, "c1", 500);
        wait_for("a round trip", || {
            requests(&lab, "c1", 100);
            row(&watch.cost(), Class::Vxlan).map(|_| ())
        });
        watch.measure_cost(None);
        assert!(have(&netns, 2), "counting goes on");
    }
    watch.measure_cost(Some(EVERY));
    // A tunnel device that is made again gets its hooks back, and so does one that loses them.
    output(Command::new("ip").args(["-n", &netns, "link", "set", "vxlan.calico", "down"]));
    wait_for("the hooks to be let go", || hooks(&netns, "vxlan.calico").is_empty().then_some(()));
    output(Command::new("ip").args(["-n", &netns, "link", "set", "vxlan.calico", "up"]));
    wait_for("the hooks to come back", || have(&netns, 4).then_some(()));
    if !has_tcx() {
        output(Command::new("tc").args(["-n", &netns, "qdisc", "del", "dev", "eth0", "clsact"]));
        wait_for("lost hooks to come back", || have(&netns, 4).then_some(()));
    }
    drop(watch);
    assert!(have(&netns, 0), "the end leaves a hook");
    assert!(!clsact(&netns), "the end leaves a clsact");
}

#[test]
fn hook_rtt_of_a_killed_one_is_removed() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let netns = lab.netns("node-a");
    let start = |arguments: &[&str]| {
        let command = [&[env!("CARGO_BIN_EXE_observer"), "stat", "--interval", "60"], arguments].concat();
        let mut command = lab.command("node-a", &command);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("observer")
    };
    // Whoever comes next, with the cost or without.
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
        // Without TCX those of the killed one are as many.
        wait_for("the hooks of the next, and no others", || {
            each(&netns).filter(|ids| ids.len() == expected && ids.is_disjoint(&old))
        });
        // SAFETY: the child is ours and not yet waited for.
        unsafe { libc::kill(next.id().cast_signed(), libc::SIGTERM) };
        assert!(next.wait().expect("wait").success());
        assert!(have(&netns, 0), "the end of the next leaves a hook");
        assert!(!clsact(&netns), "the end of the next leaves a clsact");
    }
}
