//! Every query of every panel, with variables replaced as in Grafana.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::prometheus::Prometheus;
use super::wait_for;
use crate::deploy::dashboards;

/// A metric that needs the kernel's BPF statistics.
const MEASURED: &str = "observer_program_runs_total";
/// The prefix of metrics that need them.
const OF_PROGRAMS: &str = "observer_program_";

/// Checks that each has data, except those that this machine cannot measure.
///
/// # Errors
/// The queries without data.
pub fn check(prometheus: &Prometheus) -> Result<()> {
    let measured = !prometheus.query(MEASURED)?.is_empty();
    if !measured {
        crate::shell::step("fleet", "SKIPPED panels of program cost: no BPF statistics here");
    }
    let mut asked = 0;
    let mut empty = Vec::new();
    // Rates need two samples, so the last attempt counts.
    wait_for("all panels have data", || {
        (asked, empty) = look(prometheus, measured)?;
        Ok(empty.is_empty())
    })
    .or_else(|error| if empty.is_empty() { Err(error) } else { bail!("no data for {}", empty.join("\n")) })?;
    crate::shell::step("fleet", &format!("{asked} panel queries have data"));
    Ok(())
}

fn look(prometheus: &Prometheus, measured: bool) -> Result<(usize, Vec<String>)> {
    let (mut asked, mut empty) = (0, Vec::new());
    for (name, dashboard) in dashboards::all() {
        for panel in dashboard["panels"].as_array().context("no panels")? {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expr = filled(target["expr"].as_str().context("no query")?, name);
                let samples = prometheus.query(&expr).with_context(|| title(name, panel))?;
                if !measured && expr.contains(OF_PROGRAMS) {
                    continue;
                }
                asked += 1;
                if !samples.iter().any(|sample| sample.value.is_finite()) {
                    empty.push(format!("{}: {expr}", title(name, panel)));
                }
            }
        }
    }
    Ok((asked, empty))
}

fn title(name: &str, panel: &Value) -> String {
    format!("{name}, {}", panel["title"].as_str().unwrap_or_default())
}

/// A query as Grafana sends it: for one node on the node dashboard, else for all.
fn filled(expr: &str, dashboard: &str) -> String {
    let node = if dashboard == "node.json" { "node-a" } else { ".*" };
    expr.replace("$__rate_interval", "15s")
        .replace("$cluster", ".*")
        .replace("$node", node)
        .replace("$device", ".*")
}
