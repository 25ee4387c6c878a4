//! The lab's command line.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;

use crate::lifecycle::{self, Lab, Options, down};
use crate::topology::{Mode, Topology};
use crate::{bird, breaks, damage, incident, ipip, netns, resources, state, status, traffic, walkthrough};

/// Options of `cargo xtask lab`.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the lab and prefix of its namespaces; several labs can be up at once
    #[arg(long, global = true, default_value = "observer", env = "OBSERVER_LAB_NAME")]
    name: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create the lab and wait until all pods are reachable
    Up {
        /// Calico mode of the pod network
        #[arg(long)]
        mode: Mode,
        #[command(flatten)]
        options: Options,
    },
    /// Remove the lab, complete or not
    Down,
    /// Switch to another mode without stopping traffic; pods keep their MTU
    Switch {
        /// New mode
        #[arg(long)]
        to: Mode,
        /// Seconds to wait until all pods are reachable
        #[arg(long, default_value_t = 30, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Print the state of the lab; exit with 1 if it is not up
    Status {
        /// Output format
        #[arg(long, value_enum, default_value_t = status::Format::Text)]
        format: status::Format,
    },
    /// Run a command in a node, pod or router and exit with its exit code
    Exec {
        /// `node-a`, `pod-a1` (or `a`, `a1`) or `router`
        place: String,
        /// Command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Create a lab, run a command in it and remove the lab; exit with the command's exit code
    Run {
        /// Calico mode of the pod network
        #[arg(long)]
        mode: Mode,
        /// Node, pod or router that runs the command
        #[arg(long, default_value = "node-a")]
        place: String,
        #[command(flatten)]
        options: Options,
        /// Command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Generate traffic between pods
    Traffic(traffic::Args),
    /// Misconfigure the lab in a way that `observer doctor` detects; without a name, list the misconfigurations
    Break {
        /// Name of the misconfiguration
        what: Option<String>,
    },
    /// Start an incident to diagnose with `observer top` and `observer trace`; without a name, list the
    /// incidents
    Incident(incident::Args),
    /// Undo `break` or `incident`
    Mend,
    /// Print IP pools, nodes, Felix configuration and blocks in the format of `calicoctl get … -o yaml`
    Resources {
        /// Mode that the IP pools declare [default: the lab's mode]
        #[arg(long)]
        mode: Option<Mode>,
    },
    /// Replace the IPv4 routes of a lab in mode bgp with those of BIRD
    Bird {
        /// Seconds to wait for BIRD's routes
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Run a complete mode switch: traffic, doctor, plan, record, switch, doctor, record, compare
    Walkthrough(walkthrough::Args),
    #[command(hide = true)]
    IpipEndpoint {
        #[arg(long)]
        node: String,
    },
    #[command(hide = true)]
    TrafficWorker(traffic::worker::Args),
}

impl Args {
    /// Whether the command runs BIRD.
    pub fn needs_bird(&self) -> bool {
        matches!(self.action, Action::Bird { .. })
    }

    /// Where to put the path of `observer`, if the command needs it and no option names it.
    pub fn needs_observer(&mut self) -> Option<&mut Option<std::path::PathBuf>> {
        match &mut self.action {
            Action::Walkthrough(args) if args.observer.is_none() => Some(&mut args.observer),
            _ => None,
        }
    }
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
        Action::Status { format } => {
            if !status::print(name, *format)? {
                std::process::exit(1);
            }
            Ok(())
        }
        Action::Exec { place, command } => exec(name, place, command),
        Action::Run { mode, place, options, command } => {
            let lab = Lab::up(name, *mode, options)?;
            let status = lab.exec(place, command);
            drop(lab);
            std::process::exit(status?.code().unwrap_or(2))
        }
        Action::Traffic(args) => traffic::run(name, args),
        Action::Break { what: None } => {
            print!("{}", breaks::list());
            Ok(())
        }
        Action::Break { what: Some(what) } => {
            println!("{}", breaks::apply(name, what)?);
            Ok(())
        }
        Action::Incident(args) => incident::run(name, args),
        Action::Mend => damage::mend(name),
        Action::Resources { mode } => {
            print!("{}", resources::of_lab(name, *mode)?);
            Ok(())
        }
        Action::Bird { timeout } => bird::run(name, *timeout),
        Action::Walkthrough(args) => walkthrough::run(name, args),
        Action::IpipEndpoint { node } => ipip::run(&Topology::new(name), node),
        Action::TrafficWorker(args) => traffic::worker::run(name, args),
    }
}

/// Creates a lab that stays up.
///
/// # Errors
/// The step that failed; what was made is taken down again.
pub fn up(name: &str, mode: Mode, options: &Options) -> Result<()> {
    Lab::up(name, mode, options).map(Lab::keep)
}

/// Replaces this process by a command in a node, a pod or the router of a lab.
///
/// # Errors
/// The place is unknown, or the command cannot be started.
pub fn exec(name: &str, place: &str, command: &[String]) -> Result<()> {
    let topology = Topology::new(name);
    let Some(netns) = topology.netns(place) else {
        bail!("unknown node or pod {place}; `lab status` lists them");
    };
    let Some((program, arguments)) = command.split_first() else { bail!("no command") };
    if !netns::path(netns).exists() {
        bail!("the lab {name} is not up; run `cargo xtask lab up --mode MODE`");
    }
    netns::enter_with_sys(netns, &state::folder(name).join("sys"))?;
    Err(Command::new(program).args(arguments).exec()).with_context(|| format!("cannot start {program}"))
}
