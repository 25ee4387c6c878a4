//! Changes to a lab that `lab break` and `lab incident` make, and how they are undone.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::routes::{Route, routes};
use super::state::{self, State};
use super::topology::{Family, Mode, Node, Topology, UNDERLAY, VXLAN};
use super::{lifecycle, netns, traffic};

/// The file in the lab's folder with the commands that undo the changes.
const UNDO: &str = "broken.json";

/// Changes and the commands that undo them.
#[derive(Default)]
pub struct Broken {
    /// Commands of `ip` by namespace.
    pub commands: Vec<(String, Vec<String>)>,
    /// Commands of `ip` that undo them.
    pub undo: Vec<(String, Vec<String>)>,
    /// Other commands by namespace, run after those of `ip`.
    pub programs: Vec<(String, Vec<String>)>,
    /// Other commands that undo them, run before those of `ip`.
    pub undo_programs: Vec<(String, Vec<String>)>,
    /// Whether only a new lab undoes the changes.
    pub recreate: bool,
    /// MTU in Felix's file.
    pub mtu_file: Option<u32>,
    /// Mode that the IP pools declare.
    pub declares: Option<Mode>,
    /// Arguments of `lab` for traffic that reveals the misconfiguration.
    pub traffic: Vec<Vec<String>>,
}

impl Broken {
    pub fn by(netns: &str, commands: Vec<String>, undo: Vec<String>) -> Self {
        Self {
            commands: vec![(netns.to_owned(), commands)],
            undo: vec![(netns.to_owned(), undo)],
            ..Self::default()
        }
    }

    /// Adds other changes.
    pub fn and(mut self, other: Self) -> Self {
        self.commands.extend(other.commands);
        self.undo.extend(other.undo);
        self.programs.extend(other.programs);
        self.undo_programs.extend(other.undo_programs);
        self.traffic.extend(other.traffic);
        self.recreate |= other.recreate;
        self.mtu_file = other.mtu_file.or(self.mtu_file);
        self.declares = other.declares.or(self.declares);
        self
    }

    pub fn with(mut self, traffic: &[&str]) -> Self {
        self.traffic.push(traffic.iter().map(|word| (*word).to_owned()).collect());
        self
    }
}

/// The lab to change.
pub struct Lab<'a> {
    /// Its nodes and pods.
    pub topology: &'a Topology,
    /// Its mode and options.
    pub state: &'a State,
}

impl Lab<'_> {
    pub fn node(&self, name: &str) -> &Node {
        self.topology.nodes.iter().find(|node| node.name == name).unwrap_or(&self.topology.nodes[0])
    }

    pub fn a(&self) -> &Node {
        self.node("node-a")
    }

    /// The IPv4 route of a node to the block of another.
    pub fn route(&self, from: &str, to: &str) -> Route {
        let (from, prefix) = (&self.node(from).netns, self.node(to).block);
        let all = routes(self.topology, self.state.mode);
        let found = all.iter().find(|route| route.netns == *from && route.prefix == prefix);
        found.unwrap_or(&all[0]).clone()
    }

    /// The tunnel device of IPv4.
    pub fn tunnel(&self) -> &'static str {
        self.state.mode.tunnel_device(Family::V4).unwrap_or(VXLAN)
    }

    pub fn tunnel_mtu(&self, mtu: u32) -> Broken {
        let device = self.tunnel();
        let right = self.state.tunnel_mtu.unwrap_or(if self.state.mode.is_ipip() { 1480 } else { 1450 });
        // The kernel limits the MTU of a VXLAN device to what its underlay device carries at that moment.
        let set = |mtu: u32| {
            vec![
                format!("link set {UNDERLAY} mtu {}", self.state.underlay_mtu + 100),
                format!("link set {device} mtu {mtu}"),
                format!("link set {UNDERLAY} mtu {}", self.state.underlay_mtu),
            ]
        };
        Broken::by(&self.a().netns, set(mtu), set(right))
    }

    pub fn pod_mtu(&self, mtu: u32) -> Broken {
        let device = self.a().pods.first().map_or("", |pod| pod.device.as_str());
        let set = |mtu| vec![format!("link set {device} mtu {mtu}")];
        Broken::by(&self.a().netns, set(mtu), set(self.state.pod_mtu))
    }

    pub fn extra_route(&self, route: String) -> Broken {
        let prefix = route.split(' ').next().unwrap_or_default().to_owned();
        Broken::by(
            &self.a().netns,
            vec![format!("route replace {route}")],
            vec![format!("route delete {prefix}")],
        )
    }
}

/// The contents of the file.
#[derive(Serialize, Deserialize)]
struct Undo {
    programs: Vec<(String, Vec<String>)>,
    commands: Vec<(String, Vec<String>)>,
    recreate: bool,
    traffic: bool,
}

/// Fails if the lab is broken already.
///
/// # Errors
/// It is.
pub fn refuse_broken(name: &str) -> Result<()> {
    if state::folder(name).join(UNDO).exists() {
        bail!("the lab {name} is broken already; run `lab mend` first");
    }
    Ok(())
}

/// Makes the changes. With `traffic`, undoing them also stops background traffic.
///
/// # Errors
/// The step that failed; `mend` undoes what was done.
pub fn apply(name: &str, broken: &Broken, traffic: bool) -> Result<()> {
    // Written first, so that an interrupted run can be undone.
    let undo = Undo {
        programs: broken.undo_programs.clone(),
        commands: broken.undo.clone(),
        recreate: broken.recreate,
        traffic,
    };
    fs::write(state::folder(name).join(UNDO), serde_json::to_vec(&undo).context("cannot encode")?)
        .context("cannot write the undo file")?;
    for (netns, commands) in &broken.commands {
        netns::ip(Some(netns), commands)?;
    }
    broken.programs.iter().try_for_each(|(netns, command)| run(netns, command))
}

/// Undoes what [`apply`] did.
///
/// # Errors
/// Nothing is broken, or the step that failed.
pub fn mend(name: &str) -> Result<()> {
    let file = state::folder(name).join(UNDO);
    let bytes = fs::read(&file).with_context(|| format!("the lab {name} is not broken"))?;
    let undo: Undo =
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", file.display()))?;
    if undo.traffic {
        traffic::stop(name)?;
    }
    if undo.recreate {
        return lifecycle::again(name);
    }
    undo.programs.iter().try_for_each(|(netns, command)| run(netns, command))?;
    for (netns, commands) in &undo.commands {
        netns::ip(Some(netns), commands)?;
    }
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

fn run(netns: &str, command: &[String]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else { bail!("no command") };
    // A child starts in the namespace of the thread that spawns it.
    let output = netns::within(netns, || {
        Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed in {netns}: {}", command.join(" "), said.trim());
    }
    Ok(())
}
