//! `observer trace --why drop`: packets dropped by the kernel, with the reason.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use serde_json::Value;

use super::{packets, started};
use crate::lab::{Lab, snmp, within};

/// The first kernel with drop reasons, and the first with one for fragments.
const REASONS: (u32, u32) = (5, 17);
const FRAGMENT_REASONS: (u32, u32) = (6, 2);
/// The IP id of the first incomplete packet.
const FIRST_ID: u16 = 4_711;
/// Seconds to wait for a drop; the commands end at the first one.
const TIMEOUT: &str = "30";

/// Runs `observer trace --why drop`, which ends at the first drop, while `act` runs repeatedly. Returns its lines and
/// standard error.
fn drops(lab: &Lab, node: &str, arguments: &[&str], act: impl Fn() + Sync) -> (Vec<Value>, String) {
    let mut command = vec!["--why", "drop", "--count", "1", "--duration", TIMEOUT];
    command.extend(arguments);
    let (mut child, mut text, mut stderr) = started(lab, node, &command);
    let over = AtomicBool::new(false);
    let mut lines = String::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                act();
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        });
        child.stdout.take().expect("standard output").read_to_string(&mut lines).expect("text");
        over.store(true, Ordering::Relaxed);
    });
    stderr.read_to_string(&mut text).expect("text");
    assert!(child.wait().expect("observer trace ends").success(), "{text}");
    (packets(&lines), text)
}

fn kernel() -> (u32, u32) {
    observer::kernel::sys::version().expect("a version")
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn reports_oversized_packets_with_the_kernel_drop_reason() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    let udp =
        ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "5", "--size", "1440", "--dont-fragment"];
    let before = icmp(&lab);
    let (lines, stderr) = drops(&lab, "node-a", &["--filter", "udp and greater 1467"], || {
        lab.traffic(&udp);
    });
    let line = lines.first().unwrap_or_else(|| panic!("no drop: {stderr}"));
    assert_eq!(line["device"], "vxlan.calico", "the device it was routed to: {line}");
    assert_eq!(line["direction"], Value::Null);
    assert_eq!(line["reasons"], serde_json::json!(["drop", "would-drop", "oversized"]));
    assert_eq!((&line["size"], &line["mtu"]), (&Value::from(1_468), &Value::from(1_450)));
    assert_eq!(line["outer"]["dont_fragment"], true);
    assert_eq!(line["peer"], lab.node("node-c")["address"]);
    if kernel() >= REASONS {
        assert_eq!(line["drop"]["reason"], "PKT_TOO_BIG", "{line}");
    } else {
        assert_eq!(line["drop"]["reason"], Value::Null, "{line}");
        assert!(stderr.contains("has no drop reasons"), "{stderr}");
    }
    assert_eq!(line["drop"]["function"], "ip_forward", "{line}");
    assert!(icmp(&lab) > before, "the kernel sent a PTB message");
}

fn icmp(lab: &Lab) -> u64 {
    within(&lab.netns("node-a"), || snmp("Icmp", "OutDestUnreachs"))
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn reports_packets_that_a_tunnel_drops_without_reason() {
    let lab = Lab::up("ipip-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    if lab.user_space_ipip() {
        // A process encapsulates, so the kernel drops nothing.
        observer_testing::skip(observer_testing::Need::Ipip, "the lab uses user-space tunnels");
        return;
    }
    let udp =
        ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "5", "--size", "1420", "--dont-fragment"];
    let (lines, stderr) = drops(&lab, "node-a", &["--filter", "udp and greater 1447"], || {
        lab.traffic(&udp);
    });
    let line = lines.first().unwrap_or_else(|| panic!("no drop: {stderr}"));
    assert_eq!(line["device"], "tunl0", "{line}");
    assert_eq!((&line["size"], &line["mtu"]), (&Value::from(1_448), &Value::from(1_440)));
}

/// Sends the first fragment of an IPv4 packet, and no others, from `netns`.
fn first_fragment(netns: &str, from: Ipv4Addr, to: Ipv4Addr, id: u16) {
    within(netns, move || {
        let [high, low] = id.to_be_bytes();
        let mut packet = vec![0x45, 0, 0, 0, high, low, 0x20, 0, 64, 17, 0, 0];
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend([0x12, 0x34, 0x12, 0x35, 0, 200, 0, 0]);
        packet.extend([0; 56]);
        // SAFETY: the address and the packet are valid for the duration of the calls. The kernel fills in
        // length and checksum.
        unsafe {
            let socket = libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_RAW);
            assert!(socket >= 0, "{}", std::io::Error::last_os_error());
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.octets()) },
                sin_zero: [0; 8],
            };
            let sent = libc::sendto(
                socket,
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const address).cast(),
                size_of_val(&address) as u32,
            );
            libc::close(socket);
            assert_eq!(sent, packet.len() as isize, "{}", std::io::Error::last_os_error());
        }
    });
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn reports_incomplete_packets_when_reassembly_times_out() {
    let lab = Lab::up("vxlan-always", &[]);
    let (a, c) = (lab.netns("node-a"), lab.netns("node-c"));
    let address = |node: &str| -> Ipv4Addr {
        lab.node(node)["address"].as_str().and_then(|text| text.parse().ok()).expect("an address")
    };
    let (from, to) = (address("node-c"), address("node-a"));
    within(&a, || std::fs::write("/proc/sys/net/ipv4/ipfrag_time", "1").expect("the time"));
    // Each with a new id, because a repeated fragment would be a duplicate.
    let next = AtomicU16::new(FIRST_ID);
    let (lines, stderr) = drops(&lab, "node-a", &["--filter", "dst port 4661"], || {
        first_fragment(&c, from, to, next.fetch_add(1, Ordering::Relaxed));
    });
    let line = lines.first().unwrap_or_else(|| panic!("no drop: {stderr}"));
    assert_eq!(line["device"], "eth0");
    assert_eq!(line["outer"]["fragment"], "first");
    let id = line["outer"]["id"].as_u64().expect("an id");
    assert!((u64::from(FIRST_ID)..u64::from(next.into_inner())).contains(&id), "{id}");
    assert_eq!(line["reasons"], serde_json::json!(["drop", "fragment"]));
    if kernel() >= FRAGMENT_REASONS {
        assert_eq!(line["drop"]["reason"], "FRAG_REASM_TIMEOUT");
    } else if kernel() < REASONS {
        assert_eq!(line["drop"]["reason"], Value::Null);
        assert!(stderr.contains("has no drop reasons"), "{stderr}");
    }
}

/// Runs `observer trace` in a new mount namespace in which a kernel file is hidden, and `act` once it is attached.
/// Returns its exit code, standard output and standard error.
fn hidden(lab: &Lab, hide: &str, arguments: &[&str], act: impl FnOnce()) -> (Option<i32>, String, String) {
    let script = format!("{hide} && exec \"$@\"");
    let observer = env!("CARGO_BIN_EXE_observer");
    let mut command =
        vec!["unshare", "--mount", "sh", "-c", &script, "sh", observer, "trace", "--format", "json"];
    command.extend(arguments);
    let mut command = lab.command("node-a", &command);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("observer trace starts");
    let mut reader = BufReader::new(child.stderr.take().expect("standard error"));
    let (mut stdout, mut stderr) = (String::new(), String::new());
    while !stderr.contains("Tracing ") && reader.read_line(&mut stderr).expect("a line") != 0 {}
    act();
    child.stdout.take().expect("standard output").read_to_string(&mut stdout).expect("text");
    reader.read_to_string(&mut stderr).expect("text");
    (child.wait().expect("observer trace ends").code(), stdout, stderr)
}

/// Hides the kernel's BTF.
const NO_BTF: &str = "mount -t tmpfs none /sys/kernel/btf";

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn without_btf_reports_an_error_and_leaves_no_programs() {
    let lab = Lab::up("vxlan-always", &[]);
    assert_eq!(lab.hooks("node-a"), 0, "the new lab has programs already");
    let (code, stdout, stderr) = hidden(&lab, NO_BTF, &["--why", "drop", "--duration", TIMEOUT], || ());
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for words in ["cannot trace drops", "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    assert_eq!(lab.hooks("node-a"), 0, "programs are left behind");
    // The other reasons do not need BTF.
    let (code, _, stderr) = hidden(&lab, NO_BTF, &["--why", "drop,fragment", "--duration", "1"], || ());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("drops are not reported: ") && stderr.contains("Tracing eth0"), "{stderr}");
    assert_eq!(lab.hooks("node-a"), 0, "programs are left behind");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn without_kernel_addresses_reports_reasons_without_functions() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    // Like `kernel.kptr_restrict` = 2, which would affect the whole machine.
    let symbols = std::env::temp_dir().join(format!("observer-kallsyms-{}", std::process::id()));
    std::fs::write(&symbols, "0000000000000000 T ip_forward\n").expect("a file");
    let hide = format!("mount --bind {} /proc/kallsyms", symbols.display());
    let udp =
        ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "5", "--size", "1440", "--dont-fragment"];
    let arguments = ["--why", "drop", "--filter", "udp", "--count", "1", "--duration", TIMEOUT];
    let (code, stdout, stderr) = hidden(&lab, &hide, &arguments, || {
        lab.traffic(&udp);
    });
    std::fs::remove_file(&symbols).expect("remove the file");
    assert!(stderr.contains("kernel.kptr_restrict"), "the remedy is named: {stderr}");
    assert_eq!(lab.hooks("node-a"), 0, "programs are left behind");
    if kernel() < REASONS {
        // Neither reasons nor functions: nothing can be reported.
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        return;
    }
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("drops are reported without the function: "), "{stderr}");
    let lines = packets(&stdout);
    let line = lines.first().unwrap_or_else(|| panic!("no drop: {stderr}"));
    assert_eq!(line["drop"]["reason"], "PKT_TOO_BIG", "{line}");
    assert_eq!(line["drop"]["function"], Value::Null, "the function is unknown: {line}");
}
