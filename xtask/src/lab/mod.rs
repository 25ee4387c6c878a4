//! `cargo xtask lab`: a small Calico-like cluster of network namespaces on this machine (docs/lab.md).

mod bird;
mod breaks;
mod damage;
mod devices;
mod incident;
mod ipip;
mod lifecycle;
mod netlink;
pub mod netns;
mod resources;
mod routes;
mod state;
mod status;
mod topology;
mod traffic;
mod walkthrough;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;

pub use lifecycle::{Lab, Options, down};
pub use topology::{Mode, Topology};

/// Options of `cargo xtask lab`.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the lab: its namespaces begin with it, so that several labs can be up at once
    #[arg(long, global = true, default_value = "observer", env = "OBSERVER_LAB_NAME")]
    name: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make the lab and return when every pod can be reached
    Up {
        /// How pod traffic crosses from node to node
        #[arg(long)]
        mode: Mode,
        #[command(flatten)]
        options: Options,
    },
    /// Take the lab down, whole or half
    Down,
    /// Change the mode under the traffic that flows; pods keep their MTU
    Switch {
        /// The new mode
        #[arg(long)]
        to: Mode,
        /// Seconds to wait until every pod can be reached
        #[arg(long, default_value_t = 30, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Say what is up; exit code 1 if nothing is
    Status {
        /// How to say it
        #[arg(long, value_enum, default_value_t = status::Format::Text)]
        format: status::Format,
    },
    /// Run a command in a node, a pod or the router, and end with its exit code
    Exec {
        /// `node-a`, `pod-a1` (or `a`, `a1`) or `router`
        place: String,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Make a lab, run a command in it, take the lab down; end with the command's exit code
    Run {
        /// How pod traffic crosses from node to node
        #[arg(long)]
        mode: Mode,
        /// Where the command runs
        #[arg(long, default_value = "node-a")]
        place: String,
        #[command(flatten)]
        options: Options,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Traffic between pods
    Traffic(traffic::Args),
    /// Make the lab wrong in a way that `observer doctor` has to find; without a name, list the ways
    Break {
        /// Which way
        what: Option<String>,
    },
    /// Bring the lab into an incident, to be found with `observer top` and `observer trace`; without a
    /// name, list them
    Incident(incident::Args),
    /// Undo `break` or `incident`
    Mend,
    /// Print IP pools, nodes, Felix's configuration and blocks as `calicoctl get … -o yaml` would
    Resources {
        /// The mode that the pools ask for [default: the lab's own]
        #[arg(long)]
        mode: Option<Mode>,
    },
    /// Let BIRD write the IPv4 routes of a lab in mode bgp
    Bird {
        /// Seconds to wait for its routes
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        timeout: u64,
    },
    #[command(hide = true)]
    BirdDaemon {
        #[arg(long)]
        node: String,
    },
    /// A switch from beginning to end: traffic, doctor, plan, record, switch, doctor, record, compare
    Walkthrough(walkthrough::Args),
    #[command(hide = true)]
    IpipEndpoint {
        #[arg(long)]
        node: String,
    },
    #[command(hide = true)]
    TrafficWorker(traffic::worker::Args),
}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    let name = args.name.as_str();
    match &args.action {
        Action::Up { mode, options } => {
            up(name, *mode, options)?;
            eprintln!("The lab {name} is up, mode {mode}. `cargo xtask lab status` shows it.");
            Ok(())
        }
        Action::Down => down(name),
        Action::Switch { to, timeout } => lifecycle::switch(name, *to, *timeout),
        Action::Status { format } => status::run(name, *format),
        Action::Exec { place, command } => exec(name, place, command),
        Action::Run { mode, place, options, command } => {
            let lab = Lab::up(name, *mode, options)?;
            let status = lab.exec(place, command);
            drop(lab);
            std::process::exit(status?.code().unwrap_or(2))
        }
        Action::Traffic(args) => traffic::run(name, args),
        Action::Break { what } => breaks::run(name, what.as_deref()),
        Action::Incident(args) => incident::run(name, args),
        Action::Mend => damage::mend(name),
        Action::Resources { mode } => resources::run(name, *mode),
        Action::Bird { timeout } => bird::run(name, *timeout),
        Action::BirdDaemon { node } => bird::daemon(name, node),
        Action::Walkthrough(args) => walkthrough::run(name, args),
        Action::IpipEndpoint { node } => ipip::run(&Topology::new(name), node),
        Action::TrafficWorker(args) => traffic::worker::run(name, args),
    }
}

/// Brings a lab up and leaves it up.
///
/// # Errors
/// The step that failed; what was made is taken down again.
pub fn up(name: &str, mode: Mode, options: &Options) -> Result<()> {
    Lab::up(name, mode, options).map(Lab::keep)
}

/// Becomes a command in a node, a pod or the router of a lab.
///
/// # Errors
/// There is no such place, or the command cannot be started.
pub fn exec(name: &str, place: &str, command: &[String]) -> Result<()> {
    let topology = Topology::new(name);
    let Some(netns) = topology.netns(place) else {
        bail!("no {place} in the lab: `lab status` lists nodes and pods");
    };
    let Some((program, arguments)) = command.split_first() else { bail!("no command") };
    if !netns::path(netns).exists() {
        bail!("the lab {name} is not up: `cargo xtask lab up --mode MODE`");
    }
    netns::enter_with_sys(netns, &state::folder(name).join("sys"))?;
    Err(Command::new(program).args(arguments).exec()).with_context(|| format!("cannot start {program}"))
}
