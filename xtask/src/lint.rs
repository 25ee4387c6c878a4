//! `cargo xtask lint`.

use anyhow::Result;

use crate::toolchain::PROGRAMS;
use crate::{setup, shell};

/// Options of `cargo xtask lint`.
#[derive(Default, clap::Args)]
pub struct Args {
    /// Format the code instead of complaining about its format
    #[arg(long)]
    fix: bool,
}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    let toolchain = setup::toolchain()?;
    setup::lint_tools()?;
    shell::step("lint", "formatting");
    let mut format = shell::cargo();
    format.args(["fmt", "--all"]);
    if !args.fix {
        format.arg("--check");
    }
    shell::run(&mut format)?;
    shell::step("lint", "clippy, user side");
    let everything = ["clippy", "--workspace", "--exclude", PROGRAMS, "--all-targets"];
    shell::run(shell::cargo().args(everything).args(["--", "--deny", "warnings"]))?;
    shell::step("lint", "clippy, BPF side");
    shell::run(toolchain.cargo("clippy").args(["--", "--deny", "warnings"]))
}
