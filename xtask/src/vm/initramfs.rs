//! The initramfs of a test machine: busybox, iproute2, modules and the payload.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::kernels::Unpacked;
use super::modules::{self, Index};
use super::newc::Archive;
use crate::shell;

/// A file or folder to copy into the guest.
#[derive(Clone)]
pub struct Placed {
    /// Source: a file, or in [`Payload::files`] also a folder.
    pub from: PathBuf,
    /// Path in the guest.
    pub to: String,
}

/// What a test machine runs.
#[derive(Clone, Default)]
pub struct Payload {
    /// Programs, copied with their shared libraries.
    pub binaries: Vec<Placed>,
    /// Files and folders.
    pub files: Vec<Placed>,
    /// The shell script that runs them; its exit code is the result.
    pub script: String,
}

/// Required programs.
const REQUIRED: &[&str] = &["dash", "ip", "tc"];
/// Programs that are copied if this machine has them.
const OPTIONAL: &[&str] = &[
    "bridge", "ss", "tcpdump", "ethtool", "ping", "iperf3", "nft", "bpftool", "strace", "setpriv", "unshare",
];
/// Names for iproute2 (`proto bird`) and files for libc.
const CONFIGURATION: &[&str] = &["/etc/iproute2", "/usr/share/iproute2", "/etc/protocols", "/etc/services"];

const INIT: &str = include_str!("init.sh");

/// Builds the archive.
///
/// # Errors
/// A program, library or module that is missing or cannot be read.
pub fn build(kernel: &Unpacked, payload: &Payload) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    skeleton(&mut archive);
    let mut programs = Vec::new();
    for name in REQUIRED {
        let from = which(name).with_context(|| format!("{name} is not installed"))?;
        programs.push(Placed { to: format!("/usr/bin/{name}"), from });
    }
    for name in OPTIONAL {
        programs.extend(which(name).map(|from| Placed { to: format!("/usr/bin/{name}"), from }));
    }
    programs.push(busybox(&mut archive)?);
    programs.extend(payload.binaries.iter().cloned());
    for program in &programs {
        archive.file(&program.to, 0o755, &read(&program.from)?);
    }
    for library in libraries(&programs)? {
        let place = library.to_str().with_context(|| format!("{} is not UTF-8", library.display()))?;
        archive.file(place, 0o755, &read(&library)?);
    }
    for path in CONFIGURATION.iter().map(Path::new).filter(|path| path.exists()) {
        tree(&mut archive, path, &path.display().to_string())?;
    }
    for placed in &payload.files {
        tree(&mut archive, &placed.from, &placed.to)?;
    }
    add_modules(&mut archive, kernel)?;
    archive.file("/etc/vm/payload", 0o755, payload.script.as_bytes());
    archive.file("/init", 0o755, INIT.as_bytes());
    Ok(archive.finish())
}

fn skeleton(archive: &mut Archive) {
    for path in ["proc", "sys", "dev", "run", "tmp", "root", "mnt", "var/run", "var/lib", "etc/netns"] {
        archive.directory(path);
    }
    // Merged /usr, as in Debian.
    for (link, target) in
        [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
    {
        archive.directory(target);
        archive.symlink(link, target);
    }
    archive.symlink("/usr/bin/sh", "dash");
    archive.symlink("/etc/mtab", "/proc/mounts");
    archive.character_device("/dev/console", 5, 1);
    archive.character_device("/dev/null", 1, 3);
    for (path, text) in [
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
        ("/etc/hostname", "vm\n"),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ] {
        archive.file(path, 0o644, text.as_bytes());
    }
}

/// busybox, with its applets in a folder that is searched last, so that an applet never replaces a real tool.
fn busybox(archive: &mut Archive) -> Result<Placed> {
    let from = which("busybox").context("busybox is not installed")?;
    for applet in shell::output(Command::new(&from).arg("--list"))?.lines() {
        if applet != "busybox" {
            archive.symlink(&format!("/busybox/{applet}"), "busybox");
        }
    }
    Ok(Placed { from, to: "/busybox/busybox".to_owned() })
}

fn add_modules(archive: &mut Archive, kernel: &Unpacked) -> Result<()> {
    let mut list = String::new();
    for file in Index::read(&kernel.modules)?.load_order(modules::MODULES)? {
        let plain = [".xz", ".zst", ".gz"].iter().find_map(|end| file.strip_suffix(end)).unwrap_or(&file);
        let place = format!("/usr/lib/modules/{}/{plain}", kernel.release);
        archive.file(&place, 0o644, &modules::contents(&kernel.modules.join(&file))?);
        list.push_str(&format!("{place}{}\n", modules::options(&file)));
    }
    archive.file("/etc/vm/modules", 0o644, list.as_bytes());
    Ok(())
}

/// Adds a file, or a folder recursively.
fn tree(archive: &mut Archive, from: &Path, to: &str) -> Result<()> {
    let about = || format!("cannot read {}", from.display());
    let metadata = fs::metadata(from).with_context(about)?;
    if !metadata.is_dir() {
        archive.file(to, metadata.permissions().mode(), &read(from)?);
        return Ok(());
    }
    archive.directory(to);
    for entry in fs::read_dir(from).with_context(about)? {
        let path = entry.with_context(about)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} is not UTF-8", path.display()))?;
        tree(archive, &path, &format!("{to}/{name}"))?;
    }
    Ok(())
}

/// The shared libraries of all `programs` and their loader, at the paths where the guest's loader searches: links
/// of folders (`/lib64`) are resolved, the library's name is kept.
fn libraries(programs: &[Placed]) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for program in programs {
        let output = Command::new("ldd").arg(&program.from).stdin(Stdio::null()).output();
        let output = output.context("cannot start ldd")?;
        // ldd fails on a static program.
        if !output.status.success() {
            continue;
        }
        for library in parse_ldd(&String::from_utf8_lossy(&output.stdout)) {
            let Some(library) = library else {
                bail!("a library of {} is missing (see ldd)", program.from.display());
            };
            let folder = library.parent().context("a library without a folder")?;
            let folder =
                folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
            found.insert(folder.join(library.file_name().context("a library without a name")?));
        }
    }
    Ok(found)
}

/// The paths that ldd prints; `None` for a missing library.
fn parse_ldd(text: &str) -> Vec<Option<PathBuf>> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let place = line.split_once(" => ").map_or(line, |(_, place)| place);
            if place.starts_with("not found") {
                return Some(None);
            }
            let path = place.split(" (").next().unwrap_or(place);
            path.starts_with('/').then(|| Some(PathBuf::from(path)))
        })
        .collect()
}

/// The path of the program `name`, searched also in sbin.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_is_read() {
        let text = "\tlinux-vdso.so.1 (0x00007f)\n\tlibelf.so.1 => /lib/x86_64-linux-gnu/libelf.so.1 (0x7f)\n\
                    \tlibnone.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tstatically linked\n";
        let expected = [
            Some(PathBuf::from("/lib/x86_64-linux-gnu/libelf.so.1")),
            None,
            Some(PathBuf::from("/lib64/ld-linux-x86-64.so.2")),
        ];
        assert_eq!(parse_ldd(text), expected);
    }
}
