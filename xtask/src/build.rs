//! `cargo xtask build`.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

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

/// Builds `observer` for release, and says where it is.
///
/// # Errors
/// It does not build.
pub fn release() -> Result<PathBuf> {
    shell::step("build", "observer, profile release (two minutes the first time)");
    let output = shell::cargo()
        .args(["build", "--package", "observer", "--bin", "observer", "--release"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("observer does not build");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo did not say where observer is")
}
