//! kubectl and a Python environment with the Kubernetes schemas, both in the cache instead of installed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::vm::kernels::{Apt, RemoveOnDrop, cache_of};
use crate::{setup, shell};

/// Debian suite with a kubectl that supports `kustomize` components and runs on Debian 12.
const SUITE: &str = "trixie";
/// The schemas; depends on a YAML parser, which is used too.
const SCHEMAS: &str = "kubernetes-validate==1.37.0";
/// Grafana's own model of dashboards.
const GRAFANA: &str = "grafana-foundation-sdk==1769699998!10.1.0";

/// Path of kubectl, which is downloaded if it is not in the cache.
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
    // Name the suite: another configured repository may have a kubectl with a higher version.
    for archive in apt.download(&[format!("kubectl/{SUITE}")])? {
        shell::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(work.join("root")))?;
    }
    let found = work.join("root/usr/bin/kubectl");
    shell::output(Command::new(&found).args(["version", "--client"]))
        .context("Debian's kubectl does not start here")?;
    fs::rename(&found, &goal).with_context(|| format!("cannot rename to {}", goal.display()))?;
    Ok(goal)
}

/// Path of Python in a virtual environment with the schemas and Grafana's model.
pub fn python() -> Result<PathBuf> {
    Ok(setup::environment("deploy", &[SCHEMAS, GRAFANA])?.join("python"))
}
