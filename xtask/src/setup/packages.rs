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
    /// A second opinion on captured packets
    Oracle,
    /// A terminal for the terminal interface
    Tui,
    /// Throughput
    Bench,
    /// Pages as a browser draws them
    Browser,
    /// The routing daemon whose routes Calico's are
    Bird,
    /// Prometheus with promtool; an image and a container without a registry
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
/// This is not Debian, we are not root, or apt could not get them.
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
    // One unreachable list, of something that is none of our business, fails the whole update: what
    // counts is whether the packages can be installed afterwards.
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
    // It fails where one name is unknown, and lists the others all the same.
    let said = query.output().with_context(|| {
        format!("looking for Debian packages failed; on another system install {}", names.join(" "))
    })?;
    Ok(not_installed(names, &String::from_utf8_lossy(&said.stdout)))
}

/// Those of `names` that `status`, lines of state and package, does not call installed.
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
    fn only_an_installed_package_is_not_missing() {
        let status = "installed tmux\nconfig-files iperf3\nnot-installed tshark\n";
        let names = ["tmux", "iperf3", "tshark", "unknown"];
        assert_eq!(not_installed(&names, status), ["iperf3", "tshark", "unknown"]);
    }
}
