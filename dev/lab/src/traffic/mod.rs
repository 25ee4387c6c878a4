//! `cargo xtask lab traffic`: traffic between pods, limited in rate and time.

pub mod once;
pub(crate) mod probe;
mod socket;
pub mod worker;

use anyhow::{Result, bail};
use clap::Subcommand;

use super::background;
use super::state;
use super::topology::Topology;

/// Options of `cargo xtask lab traffic`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start background traffic between pods of all nodes in both directions over IPv4 and IPv6
    Start(worker::Args),
    /// Stop background traffic
    Stop,
    /// Run one transfer of a known size and print a JSON report
    Once(once::Args),
}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(name: &str, args: &Args) -> Result<()> {
    match &args.action {
        Action::Start(options) => start(name, options),
        Action::Stop => stop(name),
        Action::Once(options) => {
            println!("{}", once::run(&Topology::new(name), options)?);
            Ok(())
        }
    }
}

/// Starts background traffic in place of what runs.
///
/// # Errors
/// The lab is not up, or the process cannot be started.
pub fn start(name: &str, options: &worker::Args) -> Result<()> {
    if !state::read(name)?.is_some_and(|state| state.ready) {
        bail!("the lab {name} is not up; run `cargo xtask lab up --mode MODE`");
    }
    stop(name)?;
    let pid = background::spawn(name, "traffic.log", &options.words())?;
    eprintln!("Traffic for {} seconds (process {pid}); `lab traffic stop` ends it.", options.seconds);
    Ok(())
}

/// Stops background traffic; none is not an error.
///
/// # Errors
/// A process that does not end.
pub fn stop(name: &str) -> Result<()> {
    background::stop(name, background::TRAFFIC)
}
