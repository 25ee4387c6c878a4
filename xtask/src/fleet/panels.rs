//! Every query of every panel, with the variables as Grafana fills them in.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::prometheus::Prometheus;
use super::wait_for;
use crate::deploy::dashboards;

/// Series that are there only where the kernel keeps its BPF statistics and the exporter asks for them.
const MEASURED: &str = "observer_program_runs_total";
/// How queries of them are known.
const OF_PROGRAMS: &str = "observer_program_";

/// Checks that each has data. What is not measured here is told, and may be empty.
///
/// # Errors
/// The queries that have none.
pub fn check(prometheus: &Prometheus) -> Result<()> {
    let measured = !prometheus.query(MEASURED)?.is_empty();
    if !measured {
        crate::shell::step("fleet", "SKIPPED panels of what the programs cost: no BPF statistics here");
    }
    let mut asked = 0;
    let mut empty = Vec::new();
    // What a panel shows comes with the second sample of a series: the last look counts.
    wait_for("all panels have data", || {
        (asked, empty) = look(prometheus, measured)?;
        Ok(empty.is_empty())
    })
    .or_else(|error| if empty.is_empty() { Err(error) } else { bail!("no data for {}", empty.join("\n")) })?;
    crate::shell::step("fleet", &format!("{asked} queries of panels have data"));
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

/// A query as Grafana sends it: one node on the dashboard of a node, else everything.
fn filled(expr: &str, dashboard: &str) -> String {
    let node = if dashboard == "node.json" { "node-a" } else { ".*" };
    expr.replace("$__rate_interval", "15s")
        .replace("$cluster", ".*")
        .replace("$node", node)
        .replace("$device", ".*")
}
