//! `observer compare`.

use anyhow::{Result, bail};

use crate::cli::CompareArgs;

/// Runs `observer compare`.
///
/// # Errors
/// What could not be read or written.
pub fn run(_args: &CompareArgs) -> Result<()> {
    bail!("not there yet")
}
