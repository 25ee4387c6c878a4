//! `cargo xtask lint`.

/// Options of `cargo xtask lint`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("lint: not written yet")
}
