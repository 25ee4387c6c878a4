//! `cargo xtask build`.

use anyhow::Result;

use crate::{setup, shell};

/// Options of `cargo xtask build`.
#[derive(clap::Args)]
pub struct Args {
    /// Build for release: the default, and here to be said aloud
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// Build quickly, with debug assertions
    #[arg(long)]
    debug: bool,
}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    setup::toolchain()?;
    let profile = if args.debug && !args.release { "dev" } else { "release" };
    shell::step("build", &format!("observer, profile {profile}"));
    shell::run(shell::cargo().args(["build", "--package", "observer", "--profile", profile]))
}
