//! The targets of the workspace's packages, as cargo names them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::lint::tree::Tree;
use crate::shell;

/// A crate to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name by which code refers to it.
    pub name: String,
    /// The file of its root module.
    pub root: String,
    /// Whether other crates can import it.
    pub library: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: String,
    targets: Vec<RawTarget>,
}

#[derive(Deserialize)]
struct RawTarget {
    name: String,
    kind: Vec<String>,
    src_path: String,
}

/// The targets of all packages in `tree`, those outside the workspace included. Integration tests and
/// benchmarks are left out: they may import everything.
///
/// # Errors
/// Cargo does not understand a manifest.
pub fn targets(tree: &Tree) -> Result<Vec<Target>> {
    let root = shell::root();
    let mut known = BTreeSet::new();
    let mut targets = Vec::new();
    let others = tree.0.keys().filter(|path| path.ends_with("/Cargo.toml")).map(String::as_str);
    // The root's manifest first: it names most of the others, and each call of cargo takes a while.
    for manifest in std::iter::once("Cargo.toml").chain(others) {
        if known.contains(manifest) {
            continue;
        }
        let mut cargo = shell::cargo();
        cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"]);
        let text = shell::output(cargo.arg(manifest))?;
        let metadata: Metadata = serde_json::from_str(&text)
            .with_context(|| format!("cannot read cargo's metadata of {manifest}"))?;
        for package in metadata.packages {
            if known.insert(relative(&root, &package.manifest_path)) {
                targets.extend(package.targets.iter().filter_map(|target| target.read(&root)));
            }
        }
    }
    Ok(targets)
}

impl RawTarget {
    fn read(&self, root: &Path) -> Option<Target> {
        if self.kind.iter().any(|kind| kind == "test" || kind == "bench") {
            return None;
        }
        Some(Target {
            name: self.name.replace('-', "_"),
            root: relative(root, &self.src_path),
            library: self.kind.iter().any(|kind| kind.ends_with("lib")),
        })
    }
}

fn relative(root: &Path, path: &str) -> String {
    let path = Path::new(path);
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
