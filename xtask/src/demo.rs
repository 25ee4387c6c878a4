//! `cargo xtask demo`: `observer top` on a node of a lab with traffic.

use std::path::Path;

use anyhow::{Result, bail};

use crate::shell;
use crate::{build, setup};
use observer_lab::{Lab, Mode, Options, traffic};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Calico mode of the lab
    #[arg(long, default_value = "vxlan-crosssubnet")]
    mode: Mode,
    /// Node to run on: node-a, node-b or node-c
    #[arg(long, default_value = "node-a")]
    node: String,
    /// Print one table of `observer stat` instead of starting `observer top`
    #[arg(long)]
    once: bool,
    /// Total bulk traffic in Mbit/s
    #[arg(long, default_value_t = 40, value_name = "MBIT")]
    rate: u64,
    #[command(flatten)]
    options: Options,
}

/// Not the default name, so that a running lab is left alone.
const NAME: &str = "observer-demo";

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    setup::toolchain()?;
    setup::ensure(&[setup::Group::Lab])?;
    let observer = build::demo()?;
    shell::step("demo", &format!("creating a lab of three nodes, mode {}", args.mode));
    // Ctrl-C ends the program in the foreground; the lab is removed after that.
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    let lab = Lab::up(NAME, args.mode, &args.options)?;
    let result = show(&lab, args, &observer);
    shell::step("demo", "removing the lab");
    drop(lab);
    result
}

fn show(lab: &Lab, args: &Args, observer: &Path) -> Result<()> {
    traffic::start(NAME, &traffic::worker::Args::all_pods(3600, args.rate))?;
    let mut program = vec![observer.display().to_string()];
    if args.once {
        program.extend(["stat", "--interval", "2", "--count", "1", "--paths"].map(str::to_owned));
    } else {
        program.push("top".to_owned());
    }
    let status = lab.exec(&args.node, &program)?;
    if !status.success() {
        bail!("observer ended with {status}");
    }
    Ok(())
}
