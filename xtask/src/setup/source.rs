//! The source of Rust's standard library, from which `core` is built for the BPF target.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::shell;
use crate::toolchain::{self, RUST};

const PACKAGE: &str = "rust-src";
/// The Debian suite that has this version.
const SUITE: &str = "trixie-backports";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the source comes from.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// Use an existing copy, else rustup, else Debian
    Any,
    /// Install the component with rustup
    Rustup,
    /// Unpack Debian's package into the toolchain directory
    Debian,
}

/// Installs the source in the compiler's sysroot or in `dir`, if it is missing.
pub fn install(dir: &Path, sysroot: &Path, way: Way) -> Result<()> {
    let own = toolchain::own_source(sysroot).is_dir();
    let private = toolchain::private_source(dir).is_dir();
    match way {
        Way::Any if own || private => Ok(()),
        Way::Rustup if own => Ok(()),
        Way::Debian if private => Ok(()),
        Way::Rustup => rustup(),
        Way::Debian => debian(dir),
        Way::Any => {
            let Err(first) = rustup() else { return Ok(()) };
            shell::step("setup", &format!("rustup cannot add {PACKAGE} ({})", brief(&first)));
            debian(dir)
        }
    }
    .with_context(|| {
        format!("getting the source of Rust {RUST}'s standard library failed; `rustup component add {PACKAGE}` is the usual way")
    })
}

/// Adds a component to the compiler in use, with a timeout of two minutes.
pub fn rustup_add(component: &str) -> Result<()> {
    shell::output(Command::new("timeout").args(["120", "rustup", "component", "add", component])).map(drop)
}

fn rustup() -> Result<()> {
    shell::output(Command::new("rustup").arg("--version")).context("rustup is not installed")?;
    shell::step("setup", &format!("installing {PACKAGE} {RUST} with rustup (seconds)"));
    rustup_add(PACKAGE)
}

/// Unpacks `library/` of Debian's package. Lists and cache are separate, so that the system's apt does not change.
fn debian(dir: &Path) -> Result<()> {
    shell::step("setup", &format!("installing {PACKAGE} {RUST} from Debian {SUITE} (seconds, 45 MB)"));
    let target = toolchain::private_source(dir);
    let unpacked = target.parent().ok_or_else(|| anyhow!("{} has no parent", target.display()))?;
    let work = dir.join("apt");
    let apt = Apt::new(&work)?;
    shell::output(apt.command("apt-get").arg("update"))
        .context("reading Debian's list of packages failed")?;
    let known = shell::output(apt.command("apt-cache").args(["madison", PACKAGE]))?;
    let Some(version) = pick(&known, RUST) else {
        bail!(
            "Debian {SUITE} has no {PACKAGE} {RUST}, only: {}",
            versions(&known).collect::<Vec<_>>().join(", ")
        );
    };
    shell::output(apt.command("apt-get").arg("download").arg(format!("{PACKAGE}={version}")))
        .with_context(|| format!("fetching Debian's package {PACKAGE} {version} failed"))?;
    let package = apt.downloaded()?;
    // Unpacked elsewhere and moved, so that an interrupted run leaves nothing that looks complete.
    let aside = work.join("unpacked");
    fs::create_dir_all(&aside)?;
    unpack(&package, &aside).with_context(|| format!("unpacking {} failed", package.display()))?;
    if unpacked.exists() {
        fs::remove_dir_all(unpacked)?;
    }
    fs::rename(&aside, unpacked)
        .with_context(|| format!("moving the source to {} failed", unpacked.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("removing {} failed", work.display()))
}

/// Extracts only `library/` from the package, which has 360 MB.
fn unpack(package: &Path, to: &Path) -> Result<()> {
    let mut reader = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start dpkg-deb")?;
    let stream = reader.stdout.take().ok_or_else(|| anyhow!("dpkg-deb has no output"))?;
    let mut writer = Command::new("tar")
        .args(["--extract", "--no-same-owner", "--strip-components=4", "--directory"])
        .arg(to)
        .arg(format!("./usr/src/rustc-{RUST}/library"))
        .stdin(stream)
        .spawn()
        .context("cannot start tar")?;
    let (written, read) = (writer.wait()?, reader.wait()?);
    if !written.success() || !read.success() {
        bail!("tar: {written}, dpkg-deb: {read}");
    }
    Ok(())
}

/// Apt with private directories.
struct Apt {
    work: PathBuf,
}

impl Apt {
    fn new(work: &Path) -> Result<Self> {
        if work.exists() {
            fs::remove_dir_all(work)?;
        }
        for directory in ["lists/partial", "cache/archives/partial", "download"] {
            fs::create_dir_all(work.join(directory))?;
        }
        let signed = if Path::new(KEYS).exists() { format!("[signed-by={KEYS}] ") } else { String::new() };
        fs::write(work.join("sources.list"), format!("deb {signed}{} {SUITE} main\n", mirror()?))?;
        Ok(Self { work: work.canonicalize()? })
    }

    fn command(&self, program: &str) -> Command {
        let work = self.work.display();
        let mut command = Command::new(program);
        command.current_dir(self.work.join("download")).env("LC_ALL", "C.UTF-8").arg("--quiet");
        for option in [
            format!("Dir::Etc::SourceList={work}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State={work}"),
            format!("Dir::Cache={work}/cache"),
            "Acquire::Languages=none".to_owned(),
            // Otherwise a mirror that does not respond is only a warning.
            "APT::Update::Error-Mode=any".to_owned(),
            "Acquire::Retries=2".to_owned(),
            "Acquire::http::Timeout=20".to_owned(),
            // Apt's own user may lack access to the directory.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("--option").arg(option);
        }
        command
    }

    fn downloaded(&self) -> Result<PathBuf> {
        for entry in fs::read_dir(self.work.join("download"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                return Ok(path);
            }
        }
        bail!("apt-get download saved no package")
    }
}

/// The mirror of this system's apt.
fn mirror() -> Result<String> {
    let format = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"];
    let known = shell::output(Command::new("apt-get").args(format)).context("reading apt's mirror failed")?;
    pick_mirror(&known)
        .map(str::to_owned)
        .ok_or_else(|| anyhow!("apt has no Debian mirror; use `rustup component add rust-src`"))
}

/// The first URI that is Debian's main archive by its path.
fn pick_mirror(uris: &str) -> Option<&str> {
    uris.lines().map(str::trim).find(|uri| uri.trim_end_matches('/').ends_with("/debian"))
}

/// The versions in the output of `apt-cache madison`.
fn versions(madison: &str) -> impl Iterator<Item = &str> {
    madison.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim)
}

/// The Debian version of upstream version `wanted`.
fn pick<'a>(madison: &'a str, wanted: &str) -> Option<&'a str> {
    versions(madison).find(|version| version.split(['+', '-', '~']).next() == Some(wanted))
}

/// The last line of an error, which usually has the cause.
fn brief(error: &anyhow::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_version_is_picked() {
        let madison = " rust-src | 1.96.1+dfsg1-2~bpo13+1 | a\n rust-src | 1.95.0+dfsg1-2~bpo13+1 | a\n";
        assert_eq!(pick(madison, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(pick(madison, "1.96"), None);
        assert_eq!(pick("", "1.95.0"), None);
    }

    #[test]
    fn the_mirror_is_the_main_archive() {
        let uris = "http://mirror.invalid/other/\nhttp://mirror.invalid/debian-security/\nhttp://mirror.invalid/debian/\n";
        assert_eq!(pick_mirror(uris), Some("http://mirror.invalid/debian/"));
        assert_eq!(pick_mirror("http://mirror.invalid/ubuntu/\n"), None);
    }
}
