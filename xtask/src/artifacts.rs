//! Programs that cargo has built. Every build selects features over the whole workspace, so that commands with
//! different targets share dependencies. Only tests and examples enable the features of development dependencies.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::shell;
use crate::toolchain::PROGRAMS;

/// The packages that a build selects from.
pub const WORKSPACE: [&str; 3] = ["--workspace", "--exclude", PROGRAMS];

/// A program.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// The name of its target.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The folder of its package.
    pub package: PathBuf,
    /// The file.
    pub executable: PathBuf,
}

/// What a program is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A program or an example.
    Program,
    /// Tests of a library or a program.
    UnitTests,
    /// Tests in a package's `tests` folder.
    Tests,
}

/// Runs `cargo` with `arguments` over the workspace, and returns the programs that it has built.
///
/// # Errors
/// Something does not build.
pub fn build(arguments: &[&str]) -> Result<Vec<Artifact>> {
    let output = shell::cargo()
        .args(arguments)
        .args(WORKSPACE)
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("`cargo {}` failed", arguments.join(" "));
    }
    Ok(read(&output.stdout))
}

/// The programs in cargo's JSON messages.
pub fn read(messages: &[u8]) -> Vec<Artifact> {
    String::from_utf8_lossy(messages).lines().filter_map(parse).collect()
}

/// Builds all tests and all programs in the dev profile, with the same features.
///
/// # Errors
/// Something does not build.
pub fn everything() -> Result<Vec<Artifact>> {
    let mut built = build(&["test", "--no-run"])?;
    let programs = build(&["build", "--bins", "--examples"])?;
    built.extend(programs.into_iter().filter(|program| program.name != env!("CARGO_PKG_NAME")));
    Ok(built)
}

/// The file of a program.
///
/// # Errors
/// It is not among them.
pub fn program<'a>(built: &'a [Artifact], name: &str) -> Result<&'a Path> {
    let found = built.iter().find(|artifact| artifact.kind == Kind::Program && artifact.name == name);
    Ok(&found.with_context(|| format!("cargo reported no program {name}"))?.executable)
}

/// One line of cargo's messages.
fn parse(line: &str) -> Option<Artifact> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let executable = message["executable"].as_str()?.into();
    let kinds = message["target"]["kind"].as_array()?;
    let kind = match message["profile"]["test"].as_bool()? {
        true if kinds.iter().any(|kind| kind == "test") => Kind::Tests,
        true => Kind::UnitTests,
        false => Kind::Program,
    };
    let package = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    Some(Artifact { name: message["target"]["name"].as_str()?.to_owned(), kind, package, executable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_tests_are_read_from_cargo_messages() {
        let lines = r#"{"reason":"compiler-artifact","manifest_path":"/r/anyhow/Cargo.toml","target":{"kind":["lib"],"name":"anyhow"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/w/observer/Cargo.toml","target":{"kind":["bin"],"name":"observer"},"profile":{"test":false},"executable":"/t/debug/observer"}
{"reason":"compiler-artifact","manifest_path":"/w/observer/Cargo.toml","target":{"kind":["lib"],"name":"observer"},"profile":{"test":true},"executable":"/t/debug/deps/observer-1"}
{"reason":"compiler-artifact","manifest_path":"/w/observer/Cargo.toml","target":{"kind":["test"],"name":"privileged"},"profile":{"test":true},"executable":"/t/a \"b\"/privileged-1"}
{"reason":"build-script-executed","executable":"/no"}
{"reason":"build-finished","success":true}"#;
        let built = read(lines.as_bytes());
        let kinds: Vec<(&str, Kind)> = built.iter().map(|it| (it.name.as_str(), it.kind)).collect();
        assert_eq!(
            kinds,
            [("observer", Kind::Program), ("observer", Kind::UnitTests), ("privileged", Kind::Tests)]
        );
        assert_eq!(built[2].executable, Path::new("/t/a \"b\"/privileged-1"));
        assert_eq!(built[2].package, Path::new("/w/observer"));
        assert_eq!(program(&built, "observer").expect("found"), Path::new("/t/debug/observer"));
        assert!(program(&built, "privileged").is_err());
    }
}
