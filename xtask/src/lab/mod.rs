//! `cargo xtask lab`.

/// Options of `cargo xtask lab`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("lab: not written yet")
}
