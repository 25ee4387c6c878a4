//! `cargo xtask bench`: measures the cost of Observer (docs/performance.md).

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::artifacts::{self, Artifact};
use crate::toolchain::BENCH;
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
    // `--check` measures only programs in the kernel, which are optimised in every profile.
    let check = args.options.iter().any(|option| option == "--check");
    let profile = if check { "dev" } else { "release" };
    shell::step("bench", &format!("building, profile {profile} (minutes the first time)"));
    let built = match check {
        // What the tests build.
        true => artifacts::everything()?,
        false => artifacts::build(&["build", "--bin", "observer", "--bin", BENCH, "--release"])?,
    };
    measure(&built, &args.options)
}

/// Compares the programs in the kernel with their ceilings.
///
/// # Errors
/// One is exceeded, or it could not measure.
pub fn check(built: &[Artifact]) -> Result<()> {
    measure(built, &["--check".to_owned()])
}

fn measure(built: &[Artifact], options: &[String]) -> Result<()> {
    let (program, observer) = (artifacts::program(built, BENCH)?, artifacts::program(built, "observer")?);
    let mut bench = if shell::is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg(program);
        sudo
    };
    bench.arg("--observer").arg(observer).args(options).current_dir(shell::root());
    let status = bench.status().with_context(|| format!("cannot start {bench:?}"))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("a ceiling was exceeded, or two runs do not agree"),
        _ => bail!("the benchmark failed: {status}"),
    }
}
