//! `cargo xtask build`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

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
    /// Without any shared library: runs on every distribution
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
    shell::run(shell::cargo().args(["build", "--package", "observer", "--profile", profile]))
}

/// Builds `observer` for release, and says where it is.
///
/// # Errors
/// It does not build.
pub fn release() -> Result<PathBuf> {
    shell::step("build", "observer, profile release (two minutes the first time)");
    executable(shell::cargo().args(BUILD).arg("--release"))
}

/// Builds `observer` with debug assertions, and says where it is.
///
/// # Errors
/// It does not build.
pub fn debug() -> Result<PathBuf> {
    shell::step("build", "observer, profile dev");
    executable(shell::cargo().args(BUILD))
}

/// Builds `observer` for release without any shared library (docs/decisions/0010), and says where it is.
///
/// # Errors
/// It does not build.
pub fn static_binary() -> Result<PathBuf> {
    shell::step("build", "observer, static (four minutes the first time)");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    executable(
        shell::cargo()
            .args(BUILD)
            // Named, so that build scripts and macros are built without the flag and in a folder apart.
            .args(["--release", "--target", &target])
            .env(variable, "-C target-feature=+crt-static")
            // These would stand over the variable.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )
}

const BUILD: [&str; 5] = ["build", "--package", "observer", "--bin", "observer"];

fn executable(cargo: &mut Command) -> Result<PathBuf> {
    let output = cargo
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
