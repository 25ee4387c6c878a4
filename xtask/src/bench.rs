//! `cargo xtask bench`: measures the cost of Observer (docs/performance.md).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{setup, shell};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench                          everything: twenty minutes on a quiet machine
  cargo xtask bench --quick --only program   a rough result in seconds
  cargo xtask bench --diff results.json      compare the ratios with an earlier run
  cargo xtask bench --check                  compare with the ceilings in dev/testing/ceilings.toml")]
pub struct Args {
    /// Options of the benchmark; list them with `cargo xtask bench -- --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// It does not build, or could not measure.
pub fn run(args: &Args) -> Result<()> {
    setup::toolchain()?;
    if shell::is_root() {
        setup::ensure(&[setup::Group::Lab, setup::Group::Oracle, setup::Group::Bench])?;
    }
    // What is checked are the programs in the kernel, which are optimised in every profile.
    let check = args.options.iter().any(|option| option == "--check");
    let programs = build(if check { "dev" } else { "release" })?;
    let of = |name: &str| programs.get(name).with_context(|| format!("cargo did not say where {name} is"));
    let mut bench = if shell::is_root() {
        Command::new(of("observer-bench")?)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg(of("observer-bench")?);
        sudo
    };
    bench.arg("--observer").arg(of("observer")?).args(&args.options).current_dir(shell::root());
    let status = bench.status().with_context(|| format!("cannot start {bench:?}"))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("a ceiling was exceeded, or two runs do not agree"),
        _ => bail!("the benchmark failed: {status}"),
    }
}

/// Builds the benchmark and what it measures; the programs by name.
fn build(profile: &str) -> Result<BTreeMap<String, PathBuf>> {
    shell::step("bench", &format!("building, profile {profile} (minutes the first time)"));
    let output = shell::cargo()
        .args([
            "build",
            "--package",
            "observer",
            "--package",
            "observer-bench",
            "--bins",
            "--profile",
            profile,
        ])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the benchmark does not build");
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect())
}
