//! `observer trace`: what it tells of, what it keeps back, and that nothing is left.

use std::process::Command;

use serde_json::Value;

use crate::lab::{Lab, output, snmp, within};

/// Runs `observer trace` for a transfer, and returns its lines and what it said on standard error.
fn trace(lab: &Lab, node: &str, arguments: &[&str], traffic: &[&str]) -> (Vec<Value>, String) {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;
    let mut command = vec![env!("CARGO_BIN_EXE_observer"), "trace", "--format", "json"];
    command.extend(arguments);
    let mut child = lab
        .command(node, &command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("observer trace starts");
    let mut said = BufReader::new(child.stderr.take().expect("standard error"));
    let mut stdout = child.stdout.take().expect("standard output");
    let lines = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("lines are text");
        text
    });
    let mut first = String::new();
    said.read_line(&mut first).expect("a line");
    assert!(first.starts_with("Watching "), "{first}");
    lab.traffic(traffic);
    // A line of the next tick, or the end: the packets have been sent when the transfer is over, and
    // what was sent is read before a signal is answered.
    // SAFETY: the child lives.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("text");
    assert!(child.wait().expect("it ends").success(), "{rest}");
    let lines = lines.join().expect("the lines");
    let lines = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (lines, rest)
}

fn with(lines: &[Value], reason: &str, direction: &str, device: &str) -> usize {
    let has = |line: &&Value| {
        line["direction"] == direction
            && line["device"] == device
            && line["reasons"].as_array().is_some_and(|reasons| reasons.iter().any(|r| r == reason))
    };
    lines.iter().filter(has).count()
}

#[test]
fn fragments_equal_snmp_and_the_tunnel_is_named() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    let a = lab.netns("node-a");
    let created = |netns: &str| within(netns, || snmp("Ip", "FragCreates"));
    let before = created(&a);
    let udp = ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "50", "--size", "1400"];
    let (lines, said) = trace(&lab, "node-a", &["--rate", "0"], &udp);
    let fragments = with(&lines, "fragment", "egress", "eth0");
    assert_eq!(fragments as u64, created(&a) - before, "fragments, and FragCreates: {said}");
    assert_eq!(with(&lines, "would-fragment", "egress", "vxlan.calico"), 50);
    let line = lines.iter().find(|line| line["device"] == "vxlan.calico").expect("a line");
    assert_eq!(line["mtu"], 1410);
    assert_eq!(line["size"], 1428);
    assert_eq!(line["peer"], lab.node("node-c")["address"]);
    assert!(said.contains(" 0 suppressed by the rate limit, 0 lost."), "{said}");
    // The same with a filter that lets nothing through, and one that lets one side through.
    let (lines, _) = trace(&lab, "node-a", &["--rate", "0", "--filter", "host 192.0.2.1"], &udp);
    assert!(lines.is_empty(), "{lines:?}");
    let filter = ["--rate", "0", "--filter", "dev vxlan.calico and inner host 192.0.2.1 or dst port 4789"];
    let (lines, _) = trace(&lab, "node-a", &filter, &udp);
    assert_eq!(lines.len(), 50, "first fragments have the port, later ones do not");
    // What the limit keeps back is counted.
    let (lines, said) = trace(&lab, "node-a", &["--rate", "1", "--why", "fragment"], &udp);
    assert!(lines.len() < 50, "{}", lines.len());
    assert!(!said.contains(" 0 suppressed by the rate limit, "), "{said}");
    let attached = output(
        Command::new("ip").args(["netns", "exec", &a, "tc", "filter", "show", "dev", "eth0", "egress"]),
    );
    assert!(!attached.contains("trace_"), "{attached}");
}

#[test]
fn what_must_not_be_fragmented_and_its_signal_are_told() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    let udp =
        ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "5", "--size", "1400", "--dont-fragment"];
    let (lines, said) = trace(&lab, "node-a", &["--rate", "0", "--why", "would-drop"], &udp);
    assert!(with(&lines, "would-drop", "egress", "vxlan.calico") > 0, "{said}");
    assert!(lines.iter().all(|line| line["outer"]["dont_fragment"] == true));
}
