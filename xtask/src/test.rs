//! `cargo xtask test`.

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("test: not written yet")
}
