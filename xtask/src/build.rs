//! `cargo xtask build`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::{artifacts, setup, shell};

/// Options of `cargo xtask build`.
#[derive(clap::Args)]
pub struct Args {
    /// Build for release (default)
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// Build in the dev profile, with debug assertions
    #[arg(long)]
    debug: bool,
    /// Build a program without shared libraries, which runs on every distribution
    #[arg(long = "static", conflicts_with = "debug")]
    without_libraries: bool,
}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    setup::toolchain()?;
    if args.without_libraries {
        let path = static_binary()?;
        shell::step("build", &path.display().to_string());
        return Ok(());
    }
    let profile = if args.debug && !args.release { "dev" } else { "release" };
    shell::step("build", &format!("observer, profile {profile}"));
    observer(&["--profile", profile]).map(drop)
}

/// Builds `observer` with debug assertions, and returns the file.
///
/// # Errors
/// It does not build.
pub fn debug() -> Result<PathBuf> {
    shell::step("build", "observer, profile dev (two minutes the first time)");
    observer(&[])
}

/// Builds `observer` in the profile that builds fastest, and returns the file.
///
/// # Errors
/// It does not build.
pub fn demo() -> Result<PathBuf> {
    shell::step("build", "observer, profile demo (one to two minutes the first time)");
    observer(&["--profile", "demo"])
}

fn observer(options: &[&str]) -> Result<PathBuf> {
    let built = artifacts::build(&[&["build", "--bin", "observer"], options].concat())?;
    artifacts::program(&built, "observer").map(Path::to_owned)
}

/// Builds `observer` for release without any shared library (docs/decisions/0010), and returns the file.
///
/// # Errors
/// It does not build.
pub fn static_binary() -> Result<PathBuf> {
    shell::step("build", "observer, static (four minutes the first time)");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    let output = shell::cargo()
        .args(["build", "--package", "observer", "--bin", "observer"])
        // With a target named, build scripts and macros are built without the flag and in another folder.
        .args(["--release", "--target", &target, "--message-format=json-render-diagnostics"])
        .env(variable, "-C target-feature=+crt-static")
        // These would override the variable.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("observer does not build");
    }
    artifacts::program(&artifacts::read(&output.stdout), "observer").map(Path::to_owned)
}
