//! A lab of network namespaces and helpers to inspect it.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::time::{Duration, Instant};

use aya::programs::{SchedClassifier, TcAttachType};
use clap::{Parser as _, ValueEnum as _};
use observer_lab::{Mode, Options, Topology, traffic};
use serde_json::Value;

/// Time limit for a condition. Only a test that fails takes so long, but on an emulated kernel whose host has other
/// work, loading the programs took more than a minute of the guest's time.
pub const BOUND: Duration = Duration::from_secs(240);

/// A lab that is removed when this is dropped.
pub struct Lab {
    lab: observer_lab::Lab,
    /// What `lab status --format json` prints.
    pub status: Value,
}

/// Options as on the command line of `lab`.
#[derive(clap::Parser)]
#[command(no_binary_name = true)]
struct Parsed<T: clap::Args> {
    #[command(flatten)]
    args: T,
}

fn parsed<T: clap::Args>(arguments: &[&str]) -> T {
    Parsed::<T>::try_parse_from(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}")).args
}

/// The name of a lab of this checkout: several checkouts may run tests on one machine.
fn marked(name: &str) -> String {
    std::env::var("OBSERVER_TEST_LABS").map_or(name.to_owned(), |mark| format!("{name}-{mark}"))
}

/// Runs a command that has to succeed, and returns its output.
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until `condition` returns a value.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < BOUND, "{what} did not happen within {BOUND:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `work` in a new thread in the network namespace `netns`.
pub fn within<T: Send + 'static>(netns: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let netns = netns.to_owned();
    let thread = std::thread::spawn(move || {
        enter(&netns);
        work()
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Moves this thread into a network namespace.
pub fn enter(netns: &str) {
    let file = File::open(format!("/run/netns/{netns}")).expect("the namespace's file");
    // SAFETY: the descriptor is open; only this thread moves.
    let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "setns {netns}: {}", std::io::Error::last_os_error());
}

impl Lab {
    /// Creates a lab.
    pub fn up(mode: &str, options: &[&str]) -> Self {
        Self::up_named("observer-test", mode, options)
    }

    /// Creates a lab with another name, so that both can be up.
    pub fn up_named(name: &str, mode: &str, options: &[&str]) -> Self {
        let mode = Mode::from_str(mode, false).expect("a mode");
        let options = Options { force: true, ..parsed(options) };
        let lab = observer_lab::Lab::up(&marked(name), mode, &options).expect("create a lab");
        let status = observer_lab::status::json(lab.name()).expect("the lab's status");
        Self { lab, status }
    }

    /// Creates a lab with an incident, and returns what `lab incident` prints.
    pub fn incident(name: &str) -> (Self, Value) {
        let lab = marked("observer-test");
        // An interrupted test may have left one.
        observer_lab::down(&lab).expect("remove the lab");
        let report = observer_lab::incident::begin(&lab, name, 900).expect("an incident");
        let status = observer_lab::status::json(&lab).expect("the lab's status");
        let lab = observer_lab::Lab::adopt(&lab).expect("the lab is up");
        (Self { lab, status }, report)
    }

    /// The name that the lab's commands need.
    pub fn name(&self) -> &str {
        self.lab.name()
    }

    /// A node's part of the status.
    pub fn node(&self, name: &str) -> &Value {
        let nodes = self.status["nodes"].as_array().expect("nodes");
        nodes.iter().find(|node| node["name"] == name).expect("the node")
    }

    /// Whether the lab's tunnels are in user space because the kernel has no ipip.
    pub fn user_space_ipip(&self) -> bool {
        self.status["ipip"] == "user-space"
    }

    /// A node's network namespace.
    pub fn netns(&self, node: &str) -> String {
        self.node(node)["netns"].as_str().expect("netns").to_owned()
    }

    /// Runs a finite transfer and returns its report.
    pub fn traffic(&self, arguments: &[&str]) -> Value {
        let topology = Topology::new(self.name());
        traffic::once::run(&topology, &parsed(arguments)).expect("a transfer")
    }

    /// Undoes a misconfiguration or an incident.
    pub fn mend(&self) {
        observer_lab::mend(self.name()).expect("mend the lab");
    }

    /// The lab's command line, to which a subcommand is added: for what runs beside the test.
    pub fn program(&self) -> Command {
        observer_lab::background::program(self.name()).expect("the lab's program")
    }

    /// Runs a command in a node, a pod or the router, and returns its output.
    pub fn exec(&self, place: &str, command: &[&str]) -> String {
        output(&mut self.command(place, command))
    }

    /// Number of programs on both directions of a node's `eth0`, TCX and clsact.
    pub fn hooks(&self, node: &str) -> usize {
        let filters = |side| self.exec(node, &["tc", "filter", "show", "dev", "eth0", side]);
        let clsact = ["ingress", "egress"].into_iter().filter(|side| filters(side).contains("bpf")).count();
        // Kernels before 6.6 have no TCX.
        let tcx = within(&self.netns(node), || {
            let of =
                |side| SchedClassifier::query_tcx("eth0", side).map_or(0, |(_, programs)| programs.len());
            of(TcAttachType::Ingress) + of(TcAttachType::Egress)
        });
        clsact + tcx
    }

    /// A command for a node, a pod or the router that has not been started.
    pub fn command(&self, place: &str, command: &[&str]) -> Command {
        let mut program = self.program();
        program.args(["exec", place, "--"]).args(command);
        program
    }
}

/// Packets and bytes of a device by direction: ingress, egress.
pub type Traffic = [(u64, u64); 2];

/// The kernel's counters of a node's device.
pub fn kernel_counters(netns: &str, device: &str) -> Traffic {
    let stats = statistics(netns, device);
    let of = |side: &str| (number(&stats, side, "packets"), number(&stats, side, "bytes"));
    [of("rx"), of("tx")]
}

/// Packets that a hook sees leave through a node's device. Includes those that the device then drops, such as
/// multicast (MLD reports) without an entry in the FDB of a VXLAN device.
pub fn given_to_send(netns: &str, device: &str) -> u64 {
    let stats = statistics(netns, device);
    ["packets", "dropped", "errors"].iter().map(|field| number(&stats, "tx", field)).sum()
}

fn number(stats: &Value, side: &str, field: &str) -> u64 {
    stats[side][field].as_u64().expect("a counter")
}

fn statistics(netns: &str, device: &str) -> Value {
    let said = output(Command::new("ip").args(["-n", netns, "-s", "-j", "link", "show", "dev", device]));
    let links: Value = serde_json::from_str(&said).expect("ip writes JSON");
    let of_device = |link: &&Value| link["ifname"].as_str() == Some(device);
    links.as_array().and_then(|links| links.iter().find(of_device)).expect("the device")["stats64"].clone()
}

/// A counter of `/proc/net/snmp` or `/proc/net/snmp6` in the namespace of this thread.
pub fn snmp(protocol: &str, counter: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("snmp");
    let mut lines = text.lines().filter(|line| line.starts_with(&format!("{protocol}:")));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let column = names.split_whitespace().position(|name| name == counter).expect("the counter");
    values.split_whitespace().nth(column).and_then(|value| value.parse().ok()).expect("a number")
}
