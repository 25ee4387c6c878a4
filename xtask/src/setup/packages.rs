//! Debian packages that tests and demos use.

use std::collections::HashSet;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Packages that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Network namespaces, tunnels and traffic
    Lab,
    /// tshark, to compare captures with
    Oracle,
    /// A terminal for the terminal interface
    Tui,
    /// Throughput
    Bench,
    /// A browser for pages
    Browser,
    /// Calico's routing daemon
    Bird,
    /// Prometheus, and tools for images and containers
    Fleet,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 7] =
        [Self::Lab, Self::Oracle, Self::Tui, Self::Bench, Self::Browser, Self::Bird, Self::Fleet];

    /// The names of its packages.
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Lab => &["iproute2", "tcpdump", "procps", "iputils-ping", "ethtool"],
            Self::Oracle => &["tshark"],
            Self::Tui => &["tmux"],
            Self::Bench => &["iperf3"],
            Self::Browser => &["chromium", "fonts-dejavu-core"],
            Self::Bird => &["bird2"],
            Self::Fleet => &["prometheus", "buildah", "crun", "golang-github-containers-common", "openssl"],
        }
    }
}

/// Installs those of the Debian packages `names` that are missing.
///
/// # Errors
/// This is not Debian, root is needed, or apt cannot install them.
pub fn packages(names: &[&str]) -> Result<()> {
    let missing = missing(names)?;
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !shell::is_root() {
        bail!("installing Debian packages needs root; run `apt-get install {list}` as root");
    }
    shell::step("setup", &format!("installing Debian packages {list} (seconds to a minute)"));
    // One unreachable list fails the whole update, so only the installation decides.
    let update = shell::output(apt().arg("update"));
    let install = shell::output(apt().args(["install", "--yes", "--no-install-recommends"]).args(&missing));
    match (install, update) {
        (Ok(_), _) => Ok(()),
        (Err(error), Ok(_)) => {
            Err(error).with_context(|| format!("installing Debian packages {list} failed"))
        }
        (Err(error), Err(update)) => Err(error).with_context(|| {
            format!("installing Debian packages {list} failed, after `apt-get update` failed ({update:#})")
        }),
    }
}

fn missing<'a>(names: &[&'a str]) -> Result<Vec<&'a str>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status} ${Package}\\n"]).args(names);
    // It fails if a name is unknown, but still lists the others.
    let said = query.output().with_context(|| {
        format!("looking for Debian packages failed; on another system install {}", names.join(" "))
    })?;
    Ok(not_installed(names, &String::from_utf8_lossy(&said.stdout)))
}

/// The `names` that are not installed according to `status`, lines of state and package.
fn not_installed<'a>(names: &[&'a str], status: &str) -> Vec<&'a str> {
    let installed: HashSet<&str> =
        status.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::trim).collect();
    names.iter().copied().filter(|name| !installed.contains(name)).collect()
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet", "--option", "DPkg::Lock::Timeout=300"]);
    apt.args(["--option", "Acquire::Retries=2", "--option", "Acquire::http::Timeout=20"]);
    apt.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
    apt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_are_not_installed_are_missing() {
        let status = "installed tmux\nconfig-files iperf3\nnot-installed tshark\n";
        let names = ["tmux", "iperf3", "tshark", "unknown"];
        assert_eq!(not_installed(&names, status), ["iperf3", "tshark", "unknown"]);
    }
}
