//! `cargo xtask deploy`: generates and checks the files in `deploy/`.
//!
//! Dashboards are generated from a list of panels, the operator's PrometheusRule from the plain rule
//! file. Both are committed, so that they can be used without building anything.

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
    /// Fail if a generated file is out of date, instead of writing it
    #[arg(long)]
    check: bool,
    /// Generate files only; do not run kubectl and promtool
    #[arg(long)]
    files_only: bool,
}

impl Args {
    /// Write the generated files, check nothing.
    pub fn files() -> Self {
        Self { check: false, files_only: true }
    }

    /// Check everything, write nothing.
    pub fn check() -> Self {
        Self { check: true, files_only: false }
    }
}

/// The folder `deploy`.
pub fn folder() -> PathBuf {
    shell::root().join("deploy")
}

/// Rule file, generated PrometheusRule, and its name.
const RULES: [(&str, &str, &str); 3] = [
    ("observer.rules.yaml", "base/prometheusrule.yaml", "observer"),
    ("observer-ipip.rules.yaml", "overlays/ipip/prometheusrule.yaml", "observer-ipip"),
    ("observer-vxlan.rules.yaml", "overlays/vxlan/prometheusrule.yaml", "observer-vxlan"),
];

/// Folders for `kubectl apply --kustomize`.
pub const OVERLAYS: [&str; 3] = ["base", "overlays/ipip", "overlays/vxlan"];

/// Runs the command.
///
/// # Errors
/// A file that is out of date, or the first failed check.
pub fn run(args: &Args) -> Result<()> {
    let mut stale = Vec::new();
    for (path, text) in generated()? {
        let current = fs::read_to_string(&path).unwrap_or_default();
        if current == text {
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
        bail!("out of date: {}; run `cargo xtask deploy`", stale.join(", "));
    }
    if args.files_only {
        return Ok(());
    }
    rules()?;
    render::dashboards()?;
    let rendered = render::all()?;
    manifests::check(&rendered)?;
    shell::step("deploy", &format!("{} rendered, all checks passed", OVERLAYS.join(", ")));
    Ok(())
}

/// Path and content of each generated file.
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

/// Wraps a rule file in the Prometheus operator's resource.
fn prometheus_rule(source: &str, name: &str, rules: &str) -> Result<String> {
    let start = rules.find("groups:\n").with_context(|| format!("{source} has no groups"))?;
    let mut text = format!(
        "# Generated from ../prometheus/{source} by `cargo xtask deploy`; edit that file instead.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: {name}\n  \
         labels:\n    app.kubernetes.io/name: observer\nspec:\n"
    );
    for line in rules[start..].lines() {
        text += &if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    }
    Ok(text)
}

/// Runs promtool on the rules and their tests.
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
    shell::step("deploy", "promtool: rules and their tests");
    shell::output(Command::new("promtool").args(["check", "rules"]).args(files(".rules.yaml")?))?;
    shell::output(Command::new("promtool").args(["test", "rules"]).args(files(".rules.test.yaml")?))?;
    every_alert_is_tested(&folder)
}

/// Each alert fires in a test, has a heading in docs/alerts.md and links to it.
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
                bail!("no test of {source} fires {alert}");
            }
            if !docs.lines().any(|line| line == format!("## {alert}")) {
                bail!("docs/alerts.md has no heading for {alert}");
            }
            if !rules.contains(&format!("docs/alerts.md#{}\n", alert.to_lowercase())) {
                bail!("the runbook of {alert} in {source} is not its heading in docs/alerts.md");
            }
        }
    }
    Ok(())
}

/// The text at a JSON pointer.
///
/// # Errors
/// There is no text at that path.
pub fn text<'a>(value: &'a Value, path: &str) -> Result<&'a str> {
    value.pointer(path).and_then(Value::as_str).with_context(|| format!("no text at {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_up_to_date() {
        for (path, text) in generated().expect("generate") {
            let current = fs::read_to_string(&path).unwrap_or_default();
            assert!(current == text, "{} is out of date; run `cargo xtask deploy`", path.display());
        }
    }

    #[test]
    fn prometheus_rule_indents_the_rule_file() {
        let rule = prometheus_rule("x", "n", "# a comment\ngroups:\n  - name: g\n\n").expect("generate");
        assert!(rule.ends_with("spec:\n  groups:\n    - name: g\n\n"), "{rule}");
    }

    #[test]
    fn panels_named_in_the_alert_guide_exist() {
        let docs = fs::read_to_string(shell::root().join("docs/alerts.md")).expect("docs/alerts.md");
        let dashboards = dashboards::all();
        let titles: Vec<&str> = dashboards
            .iter()
            .flat_map(|(_, dashboard)| dashboard["panels"].as_array().expect("panels"))
            .filter_map(|panel| panel["title"].as_str())
            .collect();
        let quoted: Vec<&str> = docs.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).collect();
        assert!(!quoted.is_empty(), "docs/alerts.md names no panel");
        for name in quoted {
            assert!(titles.contains(&name), "docs/alerts.md names {name}, which is not a panel");
        }
    }
}
