//! `cargo xtask demo`: a lab, traffic on it, and `observer top` on one of its nodes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::lab::{Lab, Mode, Options};
use crate::shell;
use crate::{build, setup};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Args {
    /// How pod traffic crosses from node to node
    #[arg(long, default_value = "vxlan-crosssubnet")]
    mode: Mode,
    /// The node to look at
    #[arg(long, default_value = "node-a")]
    node: String,
    /// Print one table of `observer stat` instead, for machines with no terminal
    #[arg(long)]
    once: bool,
    /// Mbit/s of all bulk transfers together
    #[arg(long, default_value_t = 40, value_name = "MBIT")]
    rate: u32,
    #[command(flatten)]
    options: Options,
}

/// The demo's lab has a name of its own, so that it leaves another one alone.
const NAME: &str = "observer-demo";

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    setup::toolchain()?;
    setup::ensure(&[setup::Group::Lab])?;
    let observer = build::release()?;
    shell::step("demo", &format!("a lab of three nodes, mode {}", args.mode));
    // Ctrl-C is for the program in front; the lab is taken down when that has ended.
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    let lab = Lab::up(NAME, args.mode, &args.options)?;
    let result = show(&lab, args, &observer);
    shell::step("demo", "taking the lab down");
    drop(lab);
    result
}

fn show(lab: &Lab, args: &Args, observer: &Path) -> Result<()> {
    let rate = args.rate.to_string();
    let xtask = std::env::current_exe().context("cannot find the running xtask")?;
    shell::output(
        Command::new(xtask)
            .args(["lab", "--name", NAME, "traffic", "start", "--for", "3600", "--rate", &rate]),
    )?;
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
