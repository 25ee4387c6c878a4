//! `cargo xtask demo`.

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("demo: not written yet")
}
