//! `cargo xtask setup`.

/// Options of `cargo xtask setup`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("setup: not written yet")
}
