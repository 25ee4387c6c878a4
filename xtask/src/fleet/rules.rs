//! Every rule, evaluated by Prometheus on a healthy lab.

use anyhow::{Context as _, Result, ensure};

use super::prometheus::Prometheus;
use super::wait_for;

/// The group whose recording rules need a day of data.
const NEED_A_DAY: &str = "observer.baseline";
/// The lab's traffic has more fragments than a cluster should have, but too briefly for this alert to fire.
const MAY_WAIT: &str = "ObserverFragmentation";

/// Checks that all evaluate, recording rules have data, and no alert fires or is pending.
///
/// # Errors
/// The rule that fails.
pub fn check(prometheus: &Prometheus) -> Result<()> {
    wait_for("every rule has been evaluated", || {
        let rules = prometheus.api("/api/v1/rules", None)?;
        Ok(!rules.to_string().contains(r#""health":"unknown""#))
    })?;
    let answer = prometheus.api("/api/v1/rules", None)?;
    let mut count = 0;
    for group in answer["data"]["groups"].as_array().context("no groups")? {
        for rule in group["rules"].as_array().context("no rules")? {
            let name = rule["name"].as_str().context("no name")?;
            count += 1;
            ensure!(rule["health"] == "ok", "{name}: {} {}", rule["health"], rule["lastError"]);
            match rule["type"].as_str() {
                Some("recording") => {
                    let data = !prometheus.query(name)?.is_empty();
                    ensure!(data || group["name"] == NEED_A_DAY, "{name} has no data");
                }
                _ => {
                    let state = rule["state"].as_str().unwrap_or_default();
                    let silent = state == "inactive" || (name == MAY_WAIT && state == "pending");
                    ensure!(silent, "{name} is {state} on a healthy lab: {}", rule["alerts"]);
                }
            }
        }
    }
    crate::shell::step("fleet", &format!("{count} rules evaluate"));
    Ok(())
}
