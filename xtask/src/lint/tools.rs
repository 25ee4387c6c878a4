//! Checks that other programs do.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::violation::Violation;
use crate::toolchain::PROGRAMS;
use crate::{setup, shell};

/// Checks licences, sources and duplicates of dependencies as `deny.toml` says.
///
/// # Errors
/// What cargo-deny reports.
pub fn deny() -> Result<()> {
    cargo_deny(&["bans", "licenses", "sources"])
}

/// Checks dependencies for known vulnerabilities; fetches the database of RustSec.
///
/// # Errors
/// What cargo-deny reports.
pub fn advisories() -> Result<()> {
    cargo_deny(&["advisories"])
}

fn cargo_deny(checks: &[&str]) -> Result<()> {
    let mut deny = Command::new(setup::lint_python()?.join("cargo-deny"));
    deny.current_dir(shell::root()).args(["--locked", "check", "--hide-inclusion-graph"]);
    shell::run(deny.args(checks)).context("dependencies break a rule of deny.toml")
}

/// Checks or corrects the format.
///
/// # Errors
/// rustfmt would change a file.
pub fn format(fix: bool) -> Result<()> {
    setup::lint_tools()?;
    let mut format = shell::cargo();
    format.args(["fmt", "--all"]);
    if fix {
        return shell::run(&mut format);
    }
    shell::run(format.arg("--check")).context("run `cargo xtask lint --fix --only format`")
}

/// Runs clippy on both sides.
///
/// # Errors
/// A warning.
pub fn clippy() -> Result<()> {
    let toolchain = setup::toolchain()?;
    setup::lint_tools()?;
    let everything = ["clippy", "--workspace", "--exclude", PROGRAMS, "--all-targets"];
    shell::run(shell::cargo().args(everything).args(["--", "--deny", "warnings"]))?;
    shell::run(toolchain.cargo("clippy").args(["--", "--deny", "warnings"]))
}

/// What `typos` prints for each finding.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Finding {
    Typo {
        path: String,
        #[serde(default = "first")]
        line_num: usize,
        typo: String,
        corrections: Vec<String>,
    },
    #[serde(other)]
    Other,
}

/// Findings in the names of files have no line.
fn first() -> usize {
    1
}

/// Checks the spelling of everything under version control; `_typos.toml` has the exceptions.
///
/// # Errors
/// `typos` cannot run.
pub fn typos() -> Result<Vec<Violation>> {
    let mut typos = Command::new(setup::lint_python()?.join("typos"));
    typos.current_dir(shell::root()).args(["--format", "json", "--force-exclude"]);
    let output = typos.output().with_context(|| format!("cannot start {typos:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Vec<Violation> = text.lines().filter_map(misspelled).collect();
    if found.is_empty() && !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!("typos failed: {}: {}", output.status, message.trim());
    }
    Ok(found)
}

fn misspelled(line: &str) -> Option<Violation> {
    let Ok(Finding::Typo { path, line_num, typo, corrections }) = serde_json::from_str(line) else {
        return None;
    };
    let path = path.strip_prefix("./").map(str::to_owned).unwrap_or(path);
    let remedy = match corrections.join(" or ") {
        none if none.is_empty() => "use another word".to_owned(),
        corrections => format!("write {corrections}, or list it in _typos.toml"),
    };
    Some(Violation { path, line: line_num, what: format!("misspelled `{typo}`"), remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_of_typos_is_a_violation() {
        let line = r#"{"type":"typo","path":"./docs/a.md","line_num":3,"byte_offset":5,"typo":"xyzzy","corrections":["abc"]}"#;
        let found = misspelled(line).map(|found| found.to_string()).unwrap_or_default();
        assert_eq!(found, "docs/a.md:3: misspelled `xyzzy`; write abc, or list it in _typos.toml");
        let name = r#"{"type":"typo","path":"./xyzzy.md","byte_offset":0,"typo":"xyzzy","corrections":[]}"#;
        assert_eq!(misspelled(name).map(|found| found.line), Some(1));
        assert_eq!(misspelled(r#"{"type":"binary_file","path":"./a.pcap"}"#), None);
    }
}
