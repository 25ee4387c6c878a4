//! A lab of network namespaces, and what is needed to look into it.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;

/// How long a condition may take to come true.
pub const BOUND: Duration = Duration::from_secs(60);

/// A lab that is up; dropped, it is taken down.
pub struct Lab {
    name: String,
    /// What `lab status --format json` says.
    pub status: Value,
}

/// The program that makes labs: `cargo xtask test` says where it is.
fn xtask() -> Command {
    let path = std::env::var_os("OBSERVER_XTASK").expect("OBSERVER_XTASK is set by `cargo xtask test`");
    Command::new(PathBuf::from(path))
}

/// Runs a command and returns what it wrote.
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

/// Waits until `condition` gives something.
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

/// Runs `work` in a thread of its own in the network namespace `netns`.
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
    /// Makes a lab of that mode.
    pub fn up(mode: &str, options: &[&str]) -> Self {
        Self::up_named("observer-test", mode, options)
    }

    /// The same of another name, so that both can be up.
    pub fn up_named(name: &str, mode: &str, options: &[&str]) -> Self {
        // Several checkouts may test on one machine at the same time.
        let name =
            std::env::var("OBSERVER_TEST_LABS").map_or(name.to_owned(), |mark| format!("{name}-{mark}"));
        output(xtask().args(["lab", "--name", &name, "up", "--force", "--mode", mode]).args(options));
        let status = output(xtask().args(["lab", "--name", &name, "status", "--format", "json"]));
        Self { name, status: serde_json::from_str(&status).expect("the lab's status is JSON") }
    }

    /// A lab in an incident, and what `lab incident` says of it.
    pub fn incident(name: &str) -> (Self, Value) {
        let lab = std::env::var("OBSERVER_TEST_LABS")
            .map_or("observer-test".to_owned(), |mark| format!("observer-test-{mark}"));
        // What an interrupted test has left.
        output(xtask().args(["lab", "--name", &lab, "down"]));
        let said = output(xtask().args(["lab", "--name", &lab, "incident", "--format", "json", name]));
        let status = output(xtask().args(["lab", "--name", &lab, "status", "--format", "json"]));
        let parse = |text: &str| serde_json::from_str(text).expect("JSON");
        (Self { name: lab, status: parse(&status) }, parse(&said))
    }

    /// What the status says of a node.
    pub fn node(&self, name: &str) -> &Value {
        let nodes = self.status["nodes"].as_array().expect("nodes");
        nodes.iter().find(|node| node["name"] == name).expect("the node")
    }

    /// Whether a process stands in for the kernel's IPIP, which this one does not have.
    pub fn user_space_ipip(&self) -> bool {
        self.status["ipip"] == "user-space"
    }

    /// A node's network namespace.
    pub fn netns(&self, node: &str) -> String {
        self.node(node)["netns"].as_str().expect("netns").to_owned()
    }

    /// A finite transfer; returns what the generator says of it.
    pub fn traffic(&self, arguments: &[&str]) -> Value {
        let said = output(xtask().args(["lab", "--name", &self.name, "traffic", "once"]).args(arguments));
        serde_json::from_str(&said).expect("the generator's report is JSON")
    }

    /// `xtask lab` for this lab, to which arguments are to be added.
    pub fn xtask(&self) -> Command {
        let mut xtask = xtask();
        xtask.args(["lab", "--name", &self.name]);
        xtask
    }

    /// A command in a node, a pod or the router.
    pub fn exec(&self, place: &str, command: &[&str]) -> String {
        output(xtask().args(["lab", "--name", &self.name, "exec", place, "--"]).args(command))
    }

    /// Programs on both directions of a node's `eth0`, TCX and clsact.
    pub fn hooks(&self, node: &str) -> usize {
        let filters = |side| self.exec(node, &["tc", "filter", "show", "dev", "eth0", side]);
        let clsact = ["ingress", "egress"].into_iter().filter(|side| filters(side).contains("bpf")).count();
        // Kernels before 6.6 have no TCX to ask for.
        let tcx = within(&self.netns(node), || {
            let of =
                |side| SchedClassifier::query_tcx("eth0", side).map_or(0, |(_, programs)| programs.len());
            of(TcAttachType::Ingress) + of(TcAttachType::Egress)
        });
        clsact + tcx
    }

    /// The same, not yet started.
    pub fn command(&self, place: &str, command: &[&str]) -> Command {
        let mut xtask = xtask();
        xtask.args(["lab", "--name", &self.name, "exec", place, "--"]).args(command);
        xtask
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = xtask().args(["lab", "--name", &self.name, "down"]).output();
        if !std::thread::panicking() {
            assert!(down.is_ok_and(|output| output.status.success()), "the lab does not go down");
        }
    }
}

/// Packets and bytes of a device by direction: ingress, egress.
pub type Traffic = [(u64, u64); 2];

/// What the kernel counted for a device of a node.
pub fn kernel_counters(netns: &str, device: &str) -> Traffic {
    let stats = statistics(netns, device);
    let of = |side: &str| (number(&stats, side, "packets"), number(&stats, side, "bytes"));
    [of("rx"), of("tx")]
}

/// Packets that a device of a node was given to send, as a hook sees them: also those that it did not
/// send, as VXLAN the multicast (MLD reports) that its forwarding table has no entry for.
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
