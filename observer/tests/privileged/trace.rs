//! `observer trace`: what it reports, what the rate limit suppresses, and that nothing is left behind.

mod drops;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;

use crate::lab::{Lab, output, snmp, within};

/// Starts `observer trace --format json` and waits until it is attached. Returns its standard error up to then, and
/// the reader for the rest.
fn started(lab: &Lab, node: &str, arguments: &[&str]) -> (Child, String, BufReader<ChildStderr>) {
    let mut command = vec![env!("CARGO_BIN_EXE_observer"), "trace", "--format", "json"];
    command.extend(arguments);
    let mut child = lab
        .command(node, &command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("observer trace starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("standard error"));
    // Notes about what this kernel does not support come first.
    let mut text = String::new();
    while !text.contains("Tracing ") {
        assert_ne!(stderr.read_line(&mut text).expect("a line"), 0, "{text}");
    }
    (child, text, stderr)
}

/// The packets in these lines.
fn packets(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Runs `observer trace` during a transfer, and returns its lines and standard error.
fn trace(lab: &Lab, node: &str, arguments: &[&str], traffic: &[&str]) -> (Vec<Value>, String) {
    let ending = if arguments.contains(&"--pcapng") { libc::SIGTERM } else { libc::SIGINT };
    let (mut child, _, mut stderr) = started(lab, node, arguments);
    let mut stdout = child.stdout.take().expect("standard output");
    let lines = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("lines are text");
        text
    });
    lab.traffic(traffic);
    // All packets have been sent when the transfer is over, and pending events are read before a signal
    // is handled.
    // SAFETY: the child is ours and not yet waited for.
    unsafe { libc::kill(child.id().cast_signed(), ending) };
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("text");
    assert!(child.wait().expect("observer trace ends").success(), "{rest}");
    (packets(&lines.join().expect("the lines")), rest)
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
#[ignore = "needs root; cargo xtask test runs it"]
fn reports_fragments_and_packets_too_big_for_the_tunnel() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    let a = lab.netns("node-a");
    let created = |netns: &str| within(netns, || snmp("Ip", "FragCreates"));
    let before = created(&a);
    let udp = ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "50", "--size", "1400"];
    let (lines, stderr) = trace(&lab, "node-a", &["--rate", "0"], &udp);
    let fragments = with(&lines, "fragment", "egress", "eth0");
    assert_eq!(fragments as u64, created(&a) - before, "fragments, and FragCreates: {stderr}");
    assert_eq!(with(&lines, "would-fragment", "egress", "vxlan.calico"), 50);
    let line = lines.iter().find(|line| line["device"] == "vxlan.calico").expect("a line");
    assert_eq!(line["mtu"], 1410);
    assert_eq!(line["size"], 1428);
    assert_eq!(line["peer"], lab.node("node-c")["address"]);
    assert!(stderr.contains(" 0 suppressed by the rate limit, 0 lost."), "{stderr}");
    // The same with a filter that matches nothing, and one that matches some packets.
    let (lines, _) = trace(&lab, "node-a", &["--rate", "0", "--filter", "host 192.0.2.1"], &udp);
    assert!(lines.is_empty(), "{lines:?}");
    let filter = ["--rate", "0", "--filter", "dev vxlan.calico and inner host 192.0.2.1 or dst port 4789"];
    let (lines, _) = trace(&lab, "node-a", &filter, &udp);
    assert_eq!(lines.len(), 50, "first fragments have the port, later ones do not");
    // Suppressed events are counted.
    let (lines, stderr) = trace(&lab, "node-a", &["--rate", "1", "--why", "fragment"], &udp);
    assert!(lines.len() < 50, "{}", lines.len());
    assert!(!stderr.contains(" 0 suppressed by the rate limit, "), "{stderr}");
    let attached = output(
        Command::new("ip").args(["netns", "exec", &a, "tc", "filter", "show", "dev", "eth0", "egress"]),
    );
    assert!(!attached.contains("trace_"), "{attached}");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn reports_packets_with_df_that_do_not_fit() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    let udp =
        ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "5", "--size", "1400", "--dont-fragment"];
    let (lines, stderr) = trace(&lab, "node-a", &["--rate", "0", "--why", "would-drop"], &udp);
    assert!(with(&lines, "would-drop", "egress", "vxlan.calico") > 0, "{stderr}");
    assert!(lines.iter().all(|line| line["outer"]["dont_fragment"] == true));
}

/// The output of a Wireshark program; `None` on machines of `cargo xtask vm`, which do not have one.
fn wireshark(program: &'static str, arguments: &[&str]) -> Option<String> {
    let output = match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            observer_testing::skip(observer_testing::Need::Program(program), "it does not start");
            return None;
        }
        output => output.expect("the program starts"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {stderr}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn capture_file_matches_the_printed_lines() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("big.pcapng");
    let file = path.to_str().expect("text");
    let udp = ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "20", "--size", "1400"];
    for (snap, cut) in [(100, true), (2_000, false)] {
        let number = snap.to_string();
        let arguments = ["--rate", "0", "--pcapng", file, "--snap", &number, "--force"];
        let (lines, stderr) = trace(&lab, "node-a", &arguments, &udp);
        assert!(with(&lines, "would-fragment", "egress", "vxlan.calico") == 20, "{stderr}");
        let own =
            Command::new(env!("CARGO_BIN_EXE_observer")).args(["pcap", "--format", "json", file]).output();
        let own: Value = serde_json::from_slice(&own.expect("observer pcap").stdout).expect("JSON");
        assert_eq!(own["capture"]["files"][0]["frames"], lines.len(), "{own}");
        let Some(table) = wireshark("capinfos", &["-TcI", file]) else { return };
        assert!(table.contains(&lines.len().to_string()), "{table}");
        let fields = [
            "frame.interface_name",
            "frame.interface_description",
            "frame.len",
            "frame.cap_len",
            "frame.comment",
            "frame.packet_flags_direction",
            "frame.time_epoch",
            "ip.len",
            "frame.encap_type",
        ];
        let mut arguments =
            vec!["-n", "-r", file, "-T", "fields", "-o", "ip.defragment:FALSE", "-E", "occurrence=f"];
        arguments.extend(fields.iter().flat_map(|field| ["-e", *field]));
        let frames = wireshark("tshark", &arguments).expect("tshark comes with capinfos");
        assert_eq!(frames.lines().count(), lines.len(), "{frames}");
        for (frame, line) in frames.lines().zip(&lines) {
            let column: Vec<&str> = frame.split('\t').collect();
            assert_eq!(column[0], line["device"], "{frame}");
            let mtu = if line["device"] == "eth0" { "1460" } else { "1450" };
            assert!(line["device"] == "eth0" || line["device"] == "vxlan.calico", "{line}");
            assert_eq!(column[1], format!("MTU {mtu} B"), "{frame}");
            let (length, captured): (u64, u64) =
                (column[2].parse().expect(frame), column[3].parse().expect(frame));
            // Both devices have an Ethernet header.
            assert_eq!(length, line["size"].as_u64().expect("a size") + 14, "{frame}");
            assert_eq!(captured, if cut { length.min(snap) } else { length }, "{frame}");
            let reasons: Vec<&str> =
                line["reasons"].as_array().expect("reasons").iter().filter_map(Value::as_str).collect();
            let layer = line["layer"].as_str().expect("a layer");
            assert!(column[4].starts_with(&format!("{} {layer} ", reasons.join(","))), "{frame}");
            assert!(column[4].contains(&format!(" {} B, MTU {}", line["size"], line["mtu"])), "{frame}");
            let direction = if line["direction"] == "ingress" { "1" } else { "2" };
            assert_eq!(column[5].trim_start_matches("0x").trim_start_matches('0'), direction, "{frame}");
            let (seconds, rest) = column[6].split_once('.').expect(frame);
            assert_eq!(format!("{seconds}{rest:0<9}"), line["time_ns"].to_string(), "{frame}");
            assert_eq!(column[7], line["size"].to_string(), "{frame}");
        }
    }
}

/// Runs an `observer trace` that must fail, and returns its standard error.
fn refused(lab: &Lab, arguments: &[&str]) -> String {
    let mut command = vec![env!("CARGO_BIN_EXE_observer"), "trace"];
    command.extend(arguments);
    let output = lab.command("node-a", &command).output().expect("observer trace starts");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn unwritable_capture_file_is_refused_before_attaching() {
    let lab = Lab::up("vxlan-always", &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let there = folder.path().join("there.pcapng");
    std::fs::write(&there, "mine").expect("a file");
    let stderr = refused(&lab, &["--pcapng", there.to_str().expect("text")]);
    assert!(stderr.contains("it exists; use another file, or --force to overwrite it"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&there).expect("the file"), "mine");
    let stderr = refused(&lab, &["--pcapng", "/nowhere/at/all.pcapng"]);
    assert!(stderr.contains("cannot create /nowhere/at/all.pcapng"), "{stderr}");
    let stderr = refused(&lab, &["--pcapng", "/dev/full", "--force"]);
    assert!(stderr.contains("cannot write to /dev/full"), "{stderr}");
    assert!(!stderr.contains("Tracing"), "{stderr}");
    let new = folder.path().join("new.pcapng");
    let stderr = refused(&lab, &["nonexistent0", "--pcapng", new.to_str().expect("text")]);
    assert!(stderr.contains("nonexistent0") && !new.exists(), "{stderr}");
}
