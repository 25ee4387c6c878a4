//! `observer trace --why drop`: what the kernel drops, and why.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use serde_json::Value;

use super::{packets, started};
use crate::lab::{Lab, snmp, within};

/// The first kernel that gives reasons for drops, and the first that gives one for fragments.
const REASONS: (u32, u32) = (5, 17);
const FRAGMENT_REASONS: (u32, u32) = (6, 2);
/// The id of the first packet that is sent in part.
const FIRST_ID: u16 = 4_711;
/// How long a drop is waited for, in seconds: the commands end at the first.
const LONGEST: &str = "30";

/// The lines of `observer trace --why drop`, which ends at the first, while `act` is done again and again,
/// and what it said.
fn drops(lab: &Lab, node: &str, arguments: &[&str], act: impl Fn() + Sync) -> (Vec<Value>, String) {
    let mut command = vec!["--why", "drop", "--count", "1", "--duration", LONGEST];
    command.extend(arguments);
    let (mut child, mut text, mut said) = started(lab, node, &command);
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
    said.read_to_string(&mut text).expect("text");
    assert!(child.wait().expect("it ends").success(), "{text}");
    (packets(&lines), text)
}

fn kernel() -> (u32, u32) {
    observer::kernel::sys::version().expect("a version")
}

#[test]
fn a_packet_too_big_for_the_way_on_is_told_of_with_the_kernels_reason() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    let udp =
        ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "5", "--size", "1440", "--dont-fragment"];
    let before = icmp(&lab);
    let (lines, said) = drops(&lab, "node-a", &["--filter", "udp and greater 1467"], || {
        lab.traffic(&udp);
    });
    let line = lines.first().unwrap_or_else(|| panic!("no drop: {said}"));
    assert_eq!(line["device"], "vxlan.calico", "where it was on its way to: {line}");
    assert_eq!(line["direction"], Value::Null);
    assert_eq!(line["reasons"], serde_json::json!(["drop", "would-drop", "oversized"]));
    assert_eq!((&line["size"], &line["mtu"]), (&Value::from(1_468), &Value::from(1_450)));
    assert_eq!(line["outer"]["dont_fragment"], true);
    assert_eq!(line["peer"], lab.node("node-c")["address"]);
    if kernel() >= REASONS {
        assert_eq!(line["drop"]["reason"], "PKT_TOO_BIG", "{line}");
    } else {
        assert_eq!(line["drop"]["reason"], Value::Null, "{line}");
        assert!(said.contains("gives no reasons for drops"), "{said}");
    }
    assert_eq!(line["drop"]["function"], "ip_forward", "{line}");
    assert!(icmp(&lab) > before, "the kernel says that it sent a PTB message");
}

fn icmp(lab: &Lab) -> u64 {
    within(&lab.netns("node-a"), || snmp("Icmp", "OutDestUnreachs"))
}

#[test]
fn what_a_tunnel_drops_without_a_reason_is_told_of_by_the_function() {
    let lab = Lab::up("ipip-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    if lab.user_space_ipip() {
        let release = observer::kernel::sys::release();
        assert!(!release.contains("-cloud-"), "kernel {release} has ipip, but the lab did not use it");
        // A process encapsulates, and the kernel drops nothing there.
        println!("SKIPPED: this kernel has no ipip; `cargo xtask vm` runs it on kernels that do");
        return;
    }
    let udp =
        ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "5", "--size", "1420", "--dont-fragment"];
    let (lines, said) = drops(&lab, "node-a", &["--filter", "udp and greater 1447"], || {
        lab.traffic(&udp);
    });
    let line = lines.first().unwrap_or_else(|| panic!("no drop: {said}"));
    assert_eq!(line["device"], "tunl0", "{line}");
    assert_eq!((&line["size"], &line["mtu"]), (&Value::from(1_448), &Value::from(1_440)));
}

/// Sends the first fragment of an IPv4 packet of which nothing follows, from `netns`.
fn first_fragment(netns: &str, from: Ipv4Addr, to: Ipv4Addr, id: u16) {
    within(netns, move || {
        let [high, low] = id.to_be_bytes();
        let mut packet = vec![0x45, 0, 0, 0, high, low, 0x20, 0, 64, 17, 0, 0];
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend([0x12, 0x34, 0x12, 0x35, 0, 200, 0, 0]);
        packet.extend([0; 56]);
        // SAFETY: a socket, an address on the stack, and bytes that live until the call is over. The kernel
        // fills in length and checksum.
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
fn fragments_that_nothing_follows_are_told_of_when_their_time_is_over() {
    let lab = Lab::up("vxlan-always", &[]);
    let (a, c) = (lab.netns("node-a"), lab.netns("node-c"));
    let address = |node: &str| -> Ipv4Addr {
        lab.node(node)["address"].as_str().and_then(|text| text.parse().ok()).expect("an address")
    };
    let (from, to) = (address("node-c"), address("node-a"));
    within(&a, || std::fs::write("/proc/sys/net/ipv4/ipfrag_time", "1").expect("the time"));
    // Each another packet's: a second one of the same would be a duplicate.
    let next = AtomicU16::new(FIRST_ID);
    let (lines, said) = drops(&lab, "node-a", &["--filter", "dst port 4661"], || {
        first_fragment(&c, from, to, next.fetch_add(1, Ordering::Relaxed));
    });
    let line = lines.first().unwrap_or_else(|| panic!("no drop: {said}"));
    assert_eq!(line["device"], "eth0");
    assert_eq!(line["outer"]["fragment"], "first");
    let id = line["outer"]["id"].as_u64().expect("an id");
    assert!((u64::from(FIRST_ID)..u64::from(next.into_inner())).contains(&id), "{id}");
    assert_eq!(line["reasons"], serde_json::json!(["drop", "fragment"]));
    if kernel() >= FRAGMENT_REASONS {
        assert_eq!(line["drop"]["reason"], "FRAG_REASM_TIMEOUT");
    } else if kernel() < REASONS {
        assert_eq!(line["drop"]["reason"], Value::Null);
        assert!(said.contains("gives no reasons for drops"), "{said}");
    }
}

/// `observer trace` from which something of the kernel's is hidden, in a mount namespace of its own, and what
/// is done once it watches: its exit code, and what it printed and said.
fn hidden(lab: &Lab, hide: &str, arguments: &[&str], act: impl FnOnce()) -> (Option<i32>, String, String) {
    let script = format!("{hide} && exec \"$@\"");
    let observer = env!("CARGO_BIN_EXE_observer");
    let mut command =
        vec!["unshare", "--mount", "sh", "-c", &script, "sh", observer, "trace", "--format", "json"];
    command.extend(arguments);
    let mut command = lab.command("node-a", &command);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("observer trace starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("standard error"));
    let (mut printed, mut said) = (String::new(), String::new());
    while !said.contains("Watching ") && stderr.read_line(&mut said).expect("a line") != 0 {}
    act();
    child.stdout.take().expect("standard output").read_to_string(&mut printed).expect("text");
    stderr.read_to_string(&mut said).expect("text");
    (child.wait().expect("it ends").code(), printed, said)
}

/// Hides the kernel's type information.
const NO_BTF: &str = "mount -t tmpfs none /sys/kernel/btf";

#[test]
fn without_type_information_it_says_so_and_leaves_nothing() {
    let lab = Lab::up("vxlan-always", &[]);
    assert_eq!(lab.hooks("node-a"), 0, "the lab begins without programs");
    let (code, printed, said) = hidden(&lab, NO_BTF, &["--why", "drop", "--duration", LONGEST], || ());
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for words in ["cannot trace drops", "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(lab.hooks("node-a"), 0, "programs stay behind");
    // The other reasons need none of it.
    let (code, _, said) = hidden(&lab, NO_BTF, &["--why", "drop,fragment", "--duration", "1"], || ());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("drops are not told of: ") && said.contains("Tracing eth0"), "{said}");
    assert_eq!(lab.hooks("node-a"), 0, "programs stay behind");
}

#[test]
fn where_addresses_are_hidden_reasons_are_told_without_functions() {
    let lab = Lab::up("vxlan-always", &["--no-offloads", "--underlay-mtu", "1460"]);
    // As `kernel.kptr_restrict` 2 has it, which is one for the whole machine.
    let symbols = std::env::temp_dir().join(format!("observer-kallsyms-{}", std::process::id()));
    std::fs::write(&symbols, "0000000000000000 T ip_forward\n").expect("a file");
    let hide = format!("mount --bind {} /proc/kallsyms", symbols.display());
    let udp =
        ["--kind", "udp", "--from", "a2", "--to", "c1", "--count", "5", "--size", "1440", "--dont-fragment"];
    let arguments = ["--why", "drop", "--filter", "udp", "--count", "1", "--duration", LONGEST];
    let (code, printed, said) = hidden(&lab, &hide, &arguments, || {
        lab.traffic(&udp);
    });
    std::fs::remove_file(&symbols).expect("the file goes");
    assert!(said.contains("kernel.kptr_restrict"), "what to do about it: {said}");
    assert_eq!(lab.hooks("node-a"), 0, "programs stay behind");
    if kernel() < REASONS {
        // Neither reasons nor functions: nothing could be told.
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{said}");
        return;
    }
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("functions that drop are not named: "), "{said}");
    let lines = packets(&printed);
    let line = lines.first().unwrap_or_else(|| panic!("no drop: {said}"));
    assert_eq!(line["drop"]["reason"], "PKT_TOO_BIG", "{line}");
    assert_eq!(line["drop"]["function"], Value::Null, "unknown: {line}");
}
