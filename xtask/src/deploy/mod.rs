//! `cargo xtask deploy`: what `deploy/` holds, made and checked.
//!
//! Dashboards are made from a list of panels; the operator's PrometheusRule from the plain rule file,
//! which is the source. Both stand in the repository, so that using them needs nothing of this.

pub mod dashboards;
mod manifests;
mod render;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

pub use render::{Rendered, base, container, with_component};

use crate::{setup, shell};

/// Options of `cargo xtask deploy`.
#[derive(clap::Args)]
pub struct Args {
    /// Complain about files that are not what they would be made to, instead of writing them
    #[arg(long)]
    check: bool,
    /// Only the files: no kubectl, no promtool
    #[arg(long)]
    files_only: bool,
}

/// The folder that all of it is in.
pub fn folder() -> PathBuf {
    shell::root().join("deploy")
}

/// Rule files, and where their PrometheusRule goes.
const RULES: [(&str, &str, &str); 3] = [
    ("observer.rules.yaml", "base/prometheusrule.yaml", "observer"),
    ("observer-ipip.rules.yaml", "overlays/ipip/prometheusrule.yaml", "observer-ipip"),
    ("observer-vxlan.rules.yaml", "overlays/vxlan/prometheusrule.yaml", "observer-vxlan"),
];

/// Folders that `kubectl apply --kustomize` takes.
pub const OVERLAYS: [&str; 3] = ["base", "overlays/ipip", "overlays/vxlan"];

/// Runs the command.
///
/// # Errors
/// A file that is not as it would be made, or the first check that fails.
pub fn run(args: &Args) -> Result<()> {
    let mut stale = Vec::new();
    for (path, text) in generated()? {
        let now = fs::read_to_string(&path).unwrap_or_default();
        if now == text {
            continue;
        }
        if args.check {
            stale.push(path.display().to_string());
        } else {
            shell::step("deploy", &format!("writing {}", path.display()));
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if !stale.is_empty() {
        bail!("not as `cargo xtask deploy` makes them: {}", stale.join(", "));
    }
    if args.files_only {
        return Ok(());
    }
    rules()?;
    render::dashboards()?;
    let rendered = render::all()?;
    manifests::check(&rendered)?;
    shell::step("deploy", &format!("{} rendered, all as they should be", OVERLAYS.join(", ")));
    Ok(())
}

/// Every file that is made, and what it holds.
fn generated() -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for (name, dashboard) in dashboards::all() {
        files.push((folder().join("grafana").join(name), format!("{dashboard:#}\n")));
    }
    for (source, goal, name) in RULES {
        let path = folder().join("prometheus").join(source);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        files.push((folder().join(goal), prometheus_rule(source, name, &text)?));
    }
    Ok(files)
}

/// The rule file inside the resource that the Prometheus operator reads.
fn prometheus_rule(source: &str, name: &str, rules: &str) -> Result<String> {
    let start = rules.find("groups:\n").with_context(|| format!("{source} has no groups"))?;
    let mut text = format!(
        "# Made from ../prometheus/{source} by `cargo xtask deploy`: edit that file.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: {name}\n  \
         labels:\n    app.kubernetes.io/name: observer\nspec:\n"
    );
    for line in rules[start..].lines() {
        text += &if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    }
    Ok(text)
}

/// What promtool says of the rules and of their tests.
fn rules() -> Result<()> {
    setup::ensure(&[setup::Group::Fleet])?;
    let folder = folder().join("prometheus");
    let files = |suffix: &str| -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(suffix) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    };
    shell::step("deploy", "promtool: rules, and their tests for firing and silence");
    shell::output(Command::new("promtool").args(["check", "rules"]).args(files(".rules.yaml")?))?;
    shell::output(Command::new("promtool").args(["test", "rules"]).args(files(".rules.test.yaml")?))?;
    every_alert_is_tested(&folder)
}

/// Each alert fires in a test, and has a heading in docs/alerts.md.
fn every_alert_is_tested(folder: &Path) -> Result<()> {
    let docs = fs::read_to_string(shell::root().join("docs/alerts.md")).context("docs/alerts.md")?;
    for (source, _, _) in RULES {
        let rules = fs::read_to_string(folder.join(source))?;
        let tests = fs::read_to_string(folder.join(source.replace(".rules.yaml", ".rules.test.yaml")))?;
        let alerts: Vec<&str> =
            rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        for alert in alerts {
            let fires = tests.contains(&format!("alertname=\"{alert}\""))
                || tests.contains(&format!("alertname: {alert}\n"));
            if !fires {
                bail!("no test of {source} lets {alert} fire");
            }
            if !docs.lines().any(|line| line == format!("## {alert}")) {
                bail!("docs/alerts.md has no heading for {alert}");
            }
            if !rules.contains(&format!("docs/alerts.md#{}\n", alert.to_lowercase())) {
                bail!("{alert} in {source} does not lead to its heading in docs/alerts.md");
            }
        }
    }
    Ok(())
}

/// The text at a path of keys and indices; an error that names the path where there is none.
pub fn text<'a>(value: &'a Value, path: &str) -> Result<&'a str> {
    value.pointer(path).and_then(Value::as_str).with_context(|| format!("no text at {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_they_are_made() {
        for (path, text) in generated().expect("made") {
            let now = fs::read_to_string(&path).unwrap_or_default();
            assert!(now == text, "{} is not as `cargo xtask deploy` makes it", path.display());
        }
    }

    #[test]
    fn a_rule_is_the_file_moved_to_the_right() {
        let made = prometheus_rule("x", "n", "# a comment\ngroups:\n  - name: g\n\n").expect("made");
        assert!(made.ends_with("spec:\n  groups:\n    - name: g\n\n"), "{made}");
    }
}
