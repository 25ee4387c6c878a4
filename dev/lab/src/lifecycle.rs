//! Creates a lab, switches its mode, and removes it.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::background;
use super::devices;
use super::netns;
use super::state::{self, Ipip, State};
use super::topology::{Family, Mode, Topology};
use super::traffic;

/// Options of a new lab.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Remove an existing lab first
    #[arg(long)]
    pub force: bool,
    /// Turn off segmentation and checksum offloads on every device, so that packets look as on the wire
    #[arg(long = "no-offloads", action = clap::ArgAction::SetFalse)]
    pub offloads: bool,
    /// MTU of the underlay; with a value below 1500 and unchanged tunnels, tunnel packets are fragmented
    #[arg(long, default_value_t = 1500, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1280..=9000))]
    pub underlay_mtu: u32,
    /// MTU of the tunnel devices [default: 1480 for IPIP, 1450 and 1430 for VXLAN over IPv4 and IPv6]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1280..=9000))]
    pub tunnel_mtu: Option<u32>,
    /// MTU of the pods [default: what Felix chooses for the mode]; pod-a2 keeps at least 1500
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1280..=9000))]
    pub pod_mtu: Option<u32>,
    /// Give pod-a2 the MTU of the other pods, so that the lab has no fault
    #[arg(long)]
    pub fresh_pods: bool,
    /// Seconds to wait until all pods are reachable
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub timeout: u64,
}

impl Options {
    /// The defaults, replacing a lab that an interrupted test may have left.
    pub fn quick() -> Self {
        Self {
            force: true,
            offloads: true,
            underlay_mtu: 1500,
            tunnel_mtu: None,
            pod_mtu: None,
            fresh_pods: false,
            timeout: 30,
        }
    }
}

/// A lab that is removed when this is dropped.
#[derive(Debug)]
pub struct Lab {
    name: String,
    keep: bool,
}

impl Lab {
    /// Creates a lab.
    ///
    /// # Errors
    /// The step that failed; the incomplete lab is removed.
    pub fn up(name: &str, mode: Mode, options: &Options) -> Result<Self> {
        require_root()?;
        check_name(name)?;
        // Declared before the lock, because removing the lab takes the lock again.
        let mut lab = Self { name: name.to_owned(), keep: true };
        let lock = state::lock()?;
        if !netns::of_lab(name).is_empty() || state::read(name).is_ok_and(|found| found.is_some()) {
            if !options.force {
                bail!(
                    "the lab {name} is up already; run `lab down` first, or use `lab switch` or `lab up --force`"
                );
            }
            tear_down(name)?;
        }
        lab.keep = false;
        let made = build(name, mode, options);
        drop(lock);
        made?;
        Ok(lab)
    }

    /// Takes over a lab that is up, to remove it on drop.
    ///
    /// # Errors
    /// There is none, or its state cannot be read.
    pub fn adopt(name: &str) -> Result<Self> {
        if state::read(name)?.is_none() {
            bail!("no lab {name}; run `cargo xtask lab up --mode MODE`");
        }
        Ok(Self { name: name.to_owned(), keep: false })
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Leaves the lab up.
    pub fn keep(mut self) {
        self.keep = true;
    }

    /// A command that runs `program` in a node, a pod or the router of the lab.
    ///
    /// # Errors
    /// The lab's program cannot be found.
    pub fn command(&self, place: &str, program: &[String]) -> Result<Command> {
        let mut command = background::program(&self.name)?;
        command.args(["exec", place, "--"]).args(program);
        Ok(command)
    }

    /// Runs `program` in a node, a pod or the router of the lab, and returns how it ended.
    ///
    /// # Errors
    /// It could not be started.
    pub fn exec(&self, place: &str, program: &[String]) -> Result<ExitStatus> {
        self.command(place, program)?.status().with_context(|| format!("cannot run a command in {place}"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = down(&self.name)
        {
            eprintln!("warning: the lab {} is not completely removed: {error:#}", self.name);
        }
    }
}

fn build(name: &str, mode: Mode, options: &Options) -> Result<()> {
    let topology = Topology::new(name);
    let mut state = State {
        ready: false,
        mode,
        ipip: None,
        offloads: options.offloads,
        underlay_mtu: options.underlay_mtu,
        tunnel_mtu: options.tunnel_mtu,
        pod_mtu: options.pod_mtu.unwrap_or(mode.pod_mtu()),
        fresh_pods: options.fresh_pods,
    };
    state::write(name, &state)?;
    devices::make(&topology, &state)?;
    if mode.is_ipip() {
        state.ipip = Some(devices::find_ipip(&topology)?);
    }
    state::write(name, &state)?;
    devices::make_tunnels(&topology, &state)?;
    start_endpoints(name, &topology, &state)?;
    devices::write_routes(&topology, None, mode)?;
    if !state.offloads {
        devices::switch_offloads_off(&topology)?;
    }
    wait_ready(&topology, Duration::from_secs(options.timeout)).with_context(|| endpoint_words(name))?;
    state.ready = true;
    state::write(name, &state)
}

/// Switches the mode without stopping traffic: creates new tunnels, changes routes, removes old tunnels. Pods keep
/// their MTU, as in Calico.
///
/// # Errors
/// The lab is not up, or the step that failed.
pub fn switch(name: &str, to: Mode, timeout: u64) -> Result<()> {
    require_root()?;
    let _lock = state::lock()?;
    let Some(mut state) = state::read(name)? else { bail!("no lab {name}; create it with `lab up`") };
    if !state.ready {
        bail!("the lab {name} is incomplete, so its routes are unknown; run `lab up --force`");
    }
    let topology = Topology::new(name);
    let before = state.mode;
    state.mode = to;
    state.ready = false;
    if to.is_ipip() && state.ipip.is_none() {
        state.ipip = Some(devices::find_ipip(&topology)?);
    }
    state::write(name, &state)?;
    devices::make_tunnels(&topology, &state)?;
    start_endpoints(name, &topology, &state)?;
    devices::write_routes(&topology, Some(before), to)?;
    devices::remove_tunnels(&topology, &state)?;
    if !to.is_ipip() {
        state.ipip = None;
    }
    if !state.offloads {
        devices::switch_offloads_off(&topology)?;
    }
    wait_ready(&topology, Duration::from_secs(timeout)).with_context(|| endpoint_words(name))?;
    state.ready = true;
    state::write(name, &state)
}

/// Recreates a lab with the same options.
///
/// # Errors
/// There is none, or the step that failed.
pub fn again(name: &str) -> Result<()> {
    let Some(state) = state::read(name)? else { bail!("no lab {name}; create it with `lab up`") };
    let options = Options {
        force: true,
        offloads: state.offloads,
        underlay_mtu: state.underlay_mtu,
        tunnel_mtu: state.tunnel_mtu,
        pod_mtu: Some(state.pod_mtu),
        fresh_pods: state.fresh_pods,
        timeout: 30,
    };
    Lab::up(name, state.mode, &options).map(Lab::keep)
}

/// Removes a lab, complete or not. A lab that does not exist is not an error.
///
/// # Errors
/// What could not be removed.
pub fn down(name: &str) -> Result<()> {
    require_root()?;
    check_name(name)?;
    let _lock = state::lock()?;
    tear_down(name)
}

fn tear_down(name: &str) -> Result<()> {
    // Repeated, because a process that was just killed may have created another namespace.
    for _ in 0..5 {
        let namespaces = netns::of_lab(name);
        let mut pids = netns::processes(&namespaces);
        pids.extend(background::running(name).into_iter().map(|(pid, _)| pid));
        if namespaces.is_empty() && pids.is_empty() {
            break;
        }
        netns::end(&pids)?;
        let removals: Vec<String> = namespaces.iter().map(|netns| format!("netns delete {netns}")).collect();
        netns::ip(None, &removals)?;
    }
    state::remove(name)
}

/// Restarts the user-space IPIP tunnels, if the lab needs them.
fn start_endpoints(name: &str, topology: &Topology, state: &State) -> Result<()> {
    if !state.mode.is_ipip() || state.ipip != Some(Ipip::UserSpace) {
        return Ok(());
    }
    background::stop(name, background::IPIP)?;
    for node in &topology.nodes {
        let log = format!("endpoint-{}.log", node.name);
        background::spawn(name, &log, &[background::IPIP.to_owned(), format!("--node={}", node.name)])?;
    }
    Ok(())
}

/// Waits until pods on every pair of nodes reach each other over IPv4 and IPv6.
fn wait_ready(topology: &Topology, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    for (from, to) in [("a1", "a2"), ("a1", "b1"), ("a1", "c1"), ("b1", "c1")] {
        let (Some(from), Some(to)) = (topology.pod(from), topology.pod(to)) else { continue };
        for family in Family::ALL {
            traffic::probe::wait(from, to, family, deadline)?;
        }
    }
    Ok(())
}

/// The errors of the user-space tunnels.
fn endpoint_words(name: &str) -> String {
    let said: Vec<String> = std::fs::read_dir(state::folder(name))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("endpoint-"))
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .filter(|text| !text.is_empty())
        .collect();
    if said.is_empty() { "the lab is not ready".to_owned() } else { said.join("; ").replace('\n', " ") }
}

/// Fails without root.
fn require_root() -> Result<()> {
    // SAFETY: geteuid takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        bail!("a lab needs root to create network namespaces; use sudo");
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(fits) || name.starts_with('-') {
        bail!("invalid lab name {name:?}; use up to 32 of a-z, 0-9 and -");
    }
    Ok(())
}
