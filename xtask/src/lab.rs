//! `cargo xtask lab`: the command line of `dev/lab`, with what it needs installed and built.

use anyhow::Result;

use crate::{build, setup, shell};

pub use observer_lab::cli::Args;

/// Runs the command.
///
/// # Errors
/// The step that failed.
pub fn run(mut args: Args) -> Result<()> {
    if args.needs_bird() {
        setup::ensure(&[setup::Group::Bird])?;
    }
    if let Some(observer) = args.needs_observer() {
        setup::toolchain()?;
        if shell::is_root() {
            setup::ensure(&[setup::Group::Lab])?;
        }
        *observer = Some(build::debug()?);
    }
    observer_lab::cli::run(&args)
}
