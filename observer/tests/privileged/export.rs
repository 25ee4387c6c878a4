//! The exporter: kills at any moment, restarts, a second exporter, readers of its maps, and only three
//! capabilities.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use caps::{CapSet, Capability, CapsHashSet};
use observer::kernel::sys;
use observer_testing::Need;

use crate::lab::{BOUND, Lab, given_to_send, output, wait_for, within};

const OBSERVER: &str = env!("CARGO_BIN_EXE_observer");
/// `nobody`.
const NOBODY: u32 = 65_534;
/// CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF.
const THREE: &str = "000000c000001000";
/// Time limit for the kills: loading programs takes seconds on a slow machine.
const KILLING: Duration = Duration::from_secs(90);

/// A BPF file system for one test.
struct BpfFs(tempfile::TempDir);

impl BpfFs {
    fn mount() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        output(Command::new("mount").args(["-t", "bpf", "-o", "mode=0755", "bpf"]).arg(directory.path()));
        Self(directory)
    }

    fn pins(&self) -> PathBuf {
        self.0.path().join("observer")
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(self.0.path()).status();
        if !std::thread::panicking() {
            assert!(done.is_ok_and(|status| status.success()), "cannot unmount the BPF file system");
        }
    }
}

/// An exporter, killed on drop.
struct Exporter {
    child: Child,
    netns: String,
    port: u16,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that starts an exporter in a namespace.
fn exporter(netns: &str, pins: &Path, port: u16, more: &[&str]) -> Command {
    let mut command = Command::new(OBSERVER);
    command.args(["export", "--listen", &format!("127.0.0.1:{port}"), "--pin-path"]).arg(pins).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let file = File::open(format!("/run/netns/{netns}")).expect("the namespace's file");
    // SAFETY: one system call on a descriptor that the closure owns.
    unsafe {
        command.pre_exec(move || match libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    };
    command
}

impl Exporter {
    fn start(netns: &str, pins: &Path, port: u16) -> Self {
        Self::of(exporter(netns, pins, port, &[]), netns, port)
    }

    fn of(mut command: Command, netns: &str, port: u16) -> Self {
        Self { child: command.spawn().expect("observer"), netns: netns.to_owned(), port }
    }

    /// Status and body of a response; `None` if nothing is listening.
    fn get(&self, path: &str, header: &str) -> Option<(u16, String)> {
        let port = self.port;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n");
        let text = within(&self.netns, move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.set_read_timeout(Some(BOUND)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            Some(text)
        })?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// Waits longer than usual, because loading programs takes many seconds under emulation.
    fn wait_ready(&mut self) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                let mut text = String::new();
                let _ = self.child.stderr.take().expect("standard error").read_to_string(&mut text);
                panic!("the exporter ended: {status}: {text}");
            }
            let answer = self.get("/readyz", "");
            if matches!(answer, Some((200, _))) {
                return;
            }
            assert!(began.elapsed() < BOUND, "the exporter is not ready; it answers {answer:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The sum of all samples with this name that contain all of `labels`.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let (status, text) = self.get("/metrics", "").expect("an answer");
        assert_eq!(status, 200, "{text}");
        text.lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .map(|line| line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number"))
            .sum()
    }

    /// Packets sent into the tunnel.
    fn sent(&self) -> u64 {
        let labels = ["device=\"vxlan.calico\"", "direction=\"egress\""];
        self.sum("observer_packets_total", &labels) as u64
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child is ours and not yet waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("wait");
    }
}

/// Random numbers. The seed is printed, so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Sends a multicast packet that the VXLAN device drops, because it has no forwarding entry for it.
fn send_multicast(netns: &str, device: &'static str) {
    within(netns, move || {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a socket");
        socket.send_to(b"?", (format!("ff02::1%{device}"), 9)).expect("sent");
    });
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn totals_survive_kills_at_any_moment() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let (netns, bpf) = (lab.netns("node-a"), BpfFs::mount());
    let pins = bpf.pins();
    let most = std::env::var("OBSERVER_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(100);
    let mut random = Random(u64::from(std::process::id()) | 1);
    println!("kills: seed {}", random.0);
    let before = given_to_send(&netns, "vxlan.calico");
    let began = Instant::now();
    // Kills are spread over twice the time that a start takes.
    let mut first = Exporter::start(&netns, &pins, 9_475);
    first.wait_ready();
    let span = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(50) * 2;
    first.kill();
    let (mut kills, mut watched, mut seen) = (0, 0, 0);
    while kills < most && (began.elapsed() < KILLING || kills < 5) {
        let mut next = Exporter::start(&netns, &pins, 9_475);
        if kills % 5 == 0 {
            next.wait_ready();
            let now = next.sent();
            assert!(
                now >= seen && now >= watched,
                "{now} after {seen}, {watched} of them sent while the exporter was ready"
            );
            lab.traffic(&["--kind", "udp", "--from", "a1", "--to", "c1", "--count", "20", "--size", "200"]);
            send_multicast(&netns, "vxlan.calico");
            watched += 21;
            seen =
                wait_for("the packets to be counted", || Some(next.sent()).filter(|sent| *sent >= now + 21));
        }
        std::thread::sleep(Duration::from_millis(random.below(span)));
        next.kill();
        kills += 1;
    }
    println!("kills: {kills} in {:?}, a start takes {} ms", began.elapsed(), span / 2);
    let mut last = Exporter::start(&netns, &pins, 9_475);
    last.wait_ready();
    let (counted, kernel) = (last.sent(), given_to_send(&netns, "vxlan.calico") - before);
    assert!(
        counted >= seen && counted >= watched && counted <= kernel,
        "{watched} ≤ {seen} ≤ {counted} ≤ {kernel}"
    );
    assert!(last.sum("observer_unwatched_seconds_total", &[]) > 0.0 || sys::version() < Some((6, 6)));
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn second_exporter_is_refused_and_readers_attach_nothing() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let (netns, bpf) = (lab.netns("node-a"), BpfFs::mount());
    let pins = bpf.pins();
    let mut first = Exporter::start(&netns, &pins, 9_475);
    first.wait_ready();
    lab.traffic(&["--kind", "udp", "--from", "a1", "--to", "c1", "--count", "50", "--size", "200"]);
    let sent = wait_for("the packets to be counted", || Some(first.sent()).filter(|sent| *sent >= 50));

    let second = exporter(&netns, &pins, 9_476, &[]).output().expect("observer");
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{text}");
    let process = format!("process {}", first.child.id());
    assert!(text.contains("another exporter is using it") && text.contains(&process), "{text}");

    let stat = ["stat", "--total", "--format", "json", "--interval", "0.1", "--count", "1", "--pin-path"];
    let command = [&[OBSERVER], stat.as_slice(), &[pins.to_str().expect("a path")]].concat();
    let report: serde_json::Value = serde_json::from_str(&lab.exec("node-a", &command)).expect("JSON");
    let origin = report["origin"].as_str().expect("origin");
    assert!(origin.contains("read from the exporter's maps") && origin.contains(&process), "{origin}");
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["device"] == "vxlan.calico" && row["direction"] == "egress");
    let packets = row.and_then(|row| row["counters"]["packets"].as_u64());
    assert!(packets.is_some_and(|packets| packets >= sent), "{packets:?} of {sent}");

    // record and doctor use the maps too and attach nothing.
    let record = ["record", "--for", "0.3", "--interval", "0.1", "--output", "-"];
    let doctor = ["doctor", "--for", "0.2", "--format", "json"];
    for arguments in [record.as_slice(), doctor.as_slice()] {
        let options = ["--log", "info", "--pin-path", pins.to_str().expect("a path")];
        let command = [&[OBSERVER], arguments, options.as_slice()].concat();
        let text = lab.command("node-a", &command).output().expect("observer");
        let (code, text) = (text.status.code(), String::from_utf8_lossy(&text.stderr).into_owned());
        assert!(matches!(code, Some(0 | 1)), "{arguments:?} {code:?}: {text}");
        assert!(
            text.contains("read from the exporter's maps") && text.contains(&process),
            "{arguments:?}: {text}"
        );
    }

    // Other capacities are refused, and the totals are kept.
    first.kill();
    let other = exporter(&netns, &pins, 9_475, &["--max-paths", "64"]).output().expect("observer");
    let text = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && text.contains("--max-paths 16384, not 64"), "{text}");

    // A removed device keeps its totals across a restart, and is watched again when it comes back.
    output(Command::new("ip").args(["-n", &netns, "link", "delete", "vxlan.calico"]));
    let mut third = Exporter::start(&netns, &pins, 9_475);
    wait_for("an answer", || third.get("/healthz", "").filter(|(status, _)| *status == 200));
    assert!(third.sent() >= sent, "totals of a removed device");
    // A removed device does not make the exporter unready.
    third.wait_ready();
    assert_eq!(third.sum("observer_hook_attached", &GONE), 0.0);
    create_vxlan(&lab, &netns);
    wait_for("the hooks on the new device", || hooked(&third, 2.0));
    assert!(third.sent() >= sent, "totals of a recreated device");
}

/// The label of the device that these tests remove.
const GONE: [&str; 1] = ["device=\"vxlan.calico\""];

/// Whether this number of its directions is watched.
fn hooked(exporter: &Exporter, hooks: f64) -> Option<()> {
    (exporter.sum("observer_hook_attached", &GONE) == hooks).then_some(())
}

/// Recreates node-a's VXLAN device.
fn create_vxlan(lab: &Lab, netns: &str) {
    let address = lab.node("node-a")["address"].as_str().expect("address").to_owned();
    let add = "link add vxlan.calico type vxlan id 4096 dstport 4789 dev eth0 nolearning local";
    output(Command::new("ip").args(["-n", netns]).args(add.split(' ')).arg(&address));
    output(Command::new("ip").args(["-n", netns, "link", "set", "vxlan.calico", "up"]));
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn exporter_runs_as_nobody_with_three_capabilities() {
    // Before 5.11 maps count against RLIMIT_MEMLOCK, and raising it needs CAP_SYS_RESOURCE.
    if sys::version() < Some((5, 11)) {
        observer_testing::skip(Need::UnprivilegedMaps, "this kernel is older than 5.11");
        return;
    }
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let (netns, bpf) = (lab.netns("node-a"), BpfFs::mount());
    let pins = bpf.pins();
    fs::create_dir(&pins).expect("a directory of pins");
    std::os::unix::fs::chown(&pins, Some(NOBODY), Some(NOBODY)).expect("chown");
    let web = tempfile::NamedTempFile::new().expect("a file");
    std::os::unix::fs::chown(web.path(), Some(NOBODY), None).expect("chown");
    let more = ["--web-config", web.path().to_str().expect("a path")];
    let mut command = exporter(&netns, &pins, 9_475, &more);
    // SAFETY: system calls only, between fork and exec.
    unsafe { command.pre_exec(become_nobody) };
    let mut exporter = Exporter::of(command, &netns, 9_475);
    exporter.wait_ready();
    let status = fs::read_to_string(format!("/proc/{}/status", exporter.child.id())).expect("its status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {name} in {status}")).to_owned()
    };
    assert_eq!(field("Uid").split('\t').next(), Some("65534"));
    assert_eq!((field("CapEff").as_str(), field("CapPrm").as_str()), (THREE, THREE));
    assert_eq!(
        (field("CapInh").as_str(), field("CapAmb").as_str()),
        ("0000000000000000", "0000000000000000")
    );
    assert_eq!((field("NoNewPrivs").as_str(), field("Seccomp").as_str()), ("1", "2"));

    // It counts, follows devices and reloads its configuration.
    lab.traffic(&["--kind", "udp", "--from", "a1", "--to", "c1", "--count", "50", "--size", "200"]);
    wait_for("the packets to be counted", || Some(exporter.sent()).filter(|sent| *sent >= 50));
    output(Command::new("ip").args(["-n", &netns, "link", "delete", "vxlan.calico"]));
    wait_for("the device to be removed", || hooked(&exporter, 0.0));
    create_vxlan(&lab, &netns);
    wait_for("the hooks on the new device", || hooked(&exporter, 2.0));
    let hash = bcrypt::hash("pw", 4).expect("a hash");
    fs::write(web.path(), format!("basic_auth_users:\n  u: {hash}\n")).expect("write");
    exporter.signal(libc::SIGHUP);
    wait_for("the password to be required", || {
        exporter.get("/metrics", "").filter(|(status, _)| *status == 401)
    });
    let right = exporter.get("/metrics", "Authorization: Basic dTpwdw==\r\n").expect("an answer");
    assert_eq!(right.0, 200);
    let wrong = exporter.get("/metrics", "Authorization: Basic dTpwdg==\r\n").expect("an answer");
    assert_eq!(wrong.0, 401);
    exporter.signal(libc::SIGTERM);
    assert!(exporter.child.wait().expect("wait").success());
}

/// Hides the kernel's BTF in a new mount namespace.
fn hide_btf() -> std::io::Result<()> {
    // SAFETY: system calls only, with constant strings.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let mount = |source: &std::ffi::CStr, target: &std::ffi::CStr, kind: *const libc::c_char, flags| {
            match libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, std::ptr::null()) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // Otherwise the mount would be visible on the whole machine.
        mount(c"none", c"/", std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE)?;
        mount(c"none", c"/sys/kernel/btf", c"tmpfs".as_ptr(), 0)
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn without_btf_everything_but_the_cost_is_exported() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let (netns, bpf) = (lab.netns("node-a"), BpfFs::mount());
    let mut command = exporter(&netns, &bpf.pins(), 9_476, &["--cost"]);
    // SAFETY: system calls only, between fork and exec.
    unsafe { command.pre_exec(hide_btf) };
    let mut exporter = Exporter::of(command, &netns, 9_476);
    exporter.wait_ready();
    let before = exporter.sent();
    lab.traffic(&["--kind", "udp", "--from", "a1", "--to", "c1", "--count", "50", "--size", "200"]);
    wait_for("the packets to be counted", || (exporter.sent() >= before + 50).then_some(()));
    let (_, text) = exporter.get("/metrics", "").expect("an answer");
    assert!(
        !text.lines().any(|line| line.starts_with("observer_encap_cost_")),
        "no figures if nothing is measured"
    );
    assert!(Path::new("/sys/kernel/btf/vmlinux").exists(), "BTF is hidden on the whole machine");
    exporter.signal(libc::SIGTERM);
    let mut text = String::new();
    exporter.child.stderr.take().expect("standard error").read_to_string(&mut text).expect("standard error");
    assert!(text.contains("cannot measure the cost of encapsulation: ") && text.contains("BTF"), "{text}");
}

/// Switches to another user with the three capabilities in every set, including the ambient one.
fn become_nobody() -> std::io::Result<()> {
    let failed = |_| std::io::Error::last_os_error();
    let three: CapsHashSet =
        [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON].into_iter().collect();
    // SAFETY: only changes this process.
    let done = unsafe {
        libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
            && libc::setgroups(0, std::ptr::null()) == 0
            && libc::setgid(NOBODY) == 0
            && libc::setuid(NOBODY) == 0
    };
    if !done {
        return Err(std::io::Error::last_os_error());
    }
    caps::set(None, CapSet::Permitted, &three).map_err(failed)?;
    caps::set(None, CapSet::Effective, &three).map_err(failed)?;
    caps::set(None, CapSet::Inheritable, &three).map_err(failed)?;
    caps::set(None, CapSet::Ambient, &three).map_err(failed)
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn cost_is_exported_with_three_capabilities_and_starts_from_zero() {
    const DATAGRAMS: f64 = 100.0;
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let (netns, bpf) = (lab.netns("node-a"), BpfFs::mount());
    let pins = bpf.pins();
    fs::create_dir(&pins).expect("a directory of pins");
    let start = |more: &[&str]| {
        let mut command = exporter(&netns, &pins, 9_475, more);
        // Before 5.11 an unprivileged user cannot create maps of this size.
        if sys::version() >= Some((5, 11)) {
            std::os::unix::fs::chown(&pins, Some(NOBODY), Some(NOBODY)).expect("chown");
            // SAFETY: system calls only, between fork and exec.
            unsafe { command.pre_exec(become_nobody) };
        }
        let mut exporter = Exporter::of(command, &netns, 9_475);
        exporter.wait_ready();
        exporter
    };
    let send = || {
        let count = DATAGRAMS.to_string();
        lab.traffic(&["--kind", "udp", "--from", "a1", "--to", "c1", "--count", &count, "--size", "200"]);
    };
    let egress = ["device=\"vxlan.calico\"", "direction=\"egress\""];
    let with = ["--cost", "--cost-rtt-at-hooks", "--cost-sample", "1"];
    let measured = |exporter: &Exporter| {
        let lost = exporter.sum("observer_encap_cost_unmeasured_total", &[]);
        exporter.sum("observer_encap_cost_measured_packets_total", &egress) + lost
    };
    let first = start(&with);
    assert_eq!(first.sum("observer_encap_cost_sample_ratio", &[]), 1.0);
    if first.sum("observer_encap_cost_missing", &[]) != 0.0 {
        let snapshot = first.get("/api/v1/snapshot", "").map(|(_, text)| text);
        observer_testing::skip(Need::CostPrograms, &format!("{snapshot:?}"));
        return;
    }
    // The node itself sends packets now and then.
    let before = measured(&first);
    send();
    wait_for("all packets to be measured", || (measured(&first) >= before + DATAGRAMS).then_some(()));
    let seconds = first.sum("observer_encap_cost_seconds_sum", &egress);
    let buffers = first.sum("observer_encap_cost_seconds_count", &egress);
    assert!(seconds > 0.0 && seconds / buffers < 0.001, "{seconds} s for {buffers} buffers");
    assert!(first.sum("observer_softirq_seconds_total", &["net_rx"]) > 0.0);
    let began = first.sum("observer_encap_cost_start_time_seconds", &[]);
    let sent = first.sent();
    first.kill();
    // The totals continue, and the cost starts from zero.
    let second = start(&with);
    assert!(second.sent() >= sent);
    assert!(second.sum("observer_encap_cost_measured_packets_total", &egress) < DATAGRAMS);
    assert!(second.sum("observer_encap_cost_start_time_seconds", &[]) > began);
    second.kill();
    // Without --cost there are no samples, rather than zeros.
    let third = start(&[]);
    let (_, text) = third.get("/metrics", "").expect("an answer");
    assert!(
        !text
            .lines()
            .any(|line| line.starts_with("observer_encap_cost_") || line.starts_with("observer_softirq_"))
    );
}
