//! kubectl, and a Python with the schemas of Kubernetes: both in the cache, neither installed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;
use crate::vm::kernels::{Apt, RemoveOnDrop, cache_of};

/// The suite whose kubectl is new enough for `kustomize` components, and runs on Debian 12.
const SUITE: &str = "trixie";
/// The schemas, and a reader of YAML that they bring along.
const SCHEMAS: &str = "kubernetes-validate==1.37.0";
/// Grafana's own model of dashboards.
const GRAFANA: &str = "grafana-foundation-sdk==1769699998!10.1.0";

/// kubectl, fetched first where it is not in the cache.
pub fn kubectl() -> Result<PathBuf> {
    let goal = cache_of("deploy").join("kubectl");
    if goal.is_file() {
        return Ok(goal);
    }
    shell::step("setup", &format!("fetching kubectl from Debian {SUITE} (seconds, 16 MB)"));
    let work = cache_of("deploy").join(format!("fetch-{}", std::process::id()));
    let _cleanup = RemoveOnDrop(work.clone());
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    let apt = Apt::new(&work.join("apt"), &[SUITE])?;
    apt.update()?;
    // By suite: the system may have a kubectl of somebody else's with a higher version.
    for archive in apt.download(&[format!("kubectl/{SUITE}")])? {
        shell::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(work.join("root")))?;
    }
    let found = work.join("root/usr/bin/kubectl");
    shell::output(Command::new(&found).args(["version", "--client"]))
        .context("Debian's kubectl does not start here")?;
    fs::rename(&found, &goal).with_context(|| format!("cannot rename to {}", goal.display()))?;
    Ok(goal)
}

/// Python with the schemas, in an environment of its own.
pub fn python() -> Result<PathBuf> {
    let goal = cache_of("deploy").join("python");
    let python = goal.join("bin/python");
    let marker = goal.join("complete");
    let wanted = format!("{SCHEMAS}\n{GRAFANA}\n");
    if fs::read_to_string(&marker).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    crate::setup::packages(&["python3-venv"])?;
    shell::step("setup", "installing kubernetes-validate and grafana-foundation-sdk from PyPI (a minute)");
    shell::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&goal))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", SCHEMAS, GRAFANA];
    shell::output(Command::new(&python).args(pip)).with_context(|| {
        format!(
            "installing {SCHEMAS} from PyPI failed; a cache that has it can be named by OBSERVER_CACHE_DIR"
        )
    })?;
    fs::write(&marker, wanted)?;
    Ok(python)
}
