//! State that is kept between commands: `/run/observer-lab/NAME/state.json`, readable by root only.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::topology::Mode;

const ROOT: &str = "/run/observer-lab";

/// What encapsulates IPIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ipip {
    /// The kernel's own ipip module.
    Kernel,
    /// A process of the lab behind a TUN device, for kernels without the module.
    UserSpace,
}

/// A lab, as its last command left it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Whether `up` or `switch` completed.
    pub ready: bool,
    /// The mode.
    pub mode: Mode,
    /// What encapsulates IPIP, if the mode uses it.
    pub ipip: Option<Ipip>,
    /// Whether segmentation and checksum offloads are on.
    pub offloads: bool,
    /// The MTU of the nodes' underlay devices.
    pub underlay_mtu: u32,
    /// The MTU of the tunnel devices, if it was given.
    pub tunnel_mtu: Option<u32>,
    /// The MTU of the pods.
    pub pod_mtu: u32,
    /// Whether all pods have the MTU of the mode.
    #[serde(default)]
    pub fresh_pods: bool,
}

/// The lab's own folder.
pub fn folder(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// Excludes other commands that change a lab until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holds the lock")] File);

/// Waits for the lock.
///
/// # Errors
/// The folder cannot be made or locked.
pub fn lock() -> Result<Lock> {
    make_folder(Path::new(ROOT))?;
    let file = File::open(ROOT).with_context(|| format!("cannot open {ROOT}"))?;
    // SAFETY: flock takes a descriptor that this function owns.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("cannot lock {ROOT}"));
    }
    Ok(Lock(file))
}

/// Creates a folder that only root can read.
///
/// # Errors
/// It cannot be created.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create {}", path.display()))
}

/// Reads a lab's state; `None` if there is none.
///
/// # Errors
/// It exists but cannot be read.
pub fn read(name: &str) -> Result<Option<State>> {
    let file = folder(name).join("state.json");
    match fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("{} is damaged; run `cargo xtask lab down`", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Writes a lab's state atomically.
///
/// # Errors
/// It cannot be written.
pub fn write(name: &str, state: &State) -> Result<()> {
    let folder = folder(name);
    make_folder(&folder)?;
    let (new, file) = (folder.join("state.json.new"), folder.join("state.json"));
    let bytes = serde_json::to_vec_pretty(state).context("cannot encode the state")?;
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, &file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Removes a lab's state.
///
/// # Errors
/// Its folder cannot be removed.
pub fn remove(name: &str) -> Result<()> {
    let folder = folder(name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
        }
        _ => {}
    }
    // This fails if another lab uses it.
    let _ = fs::remove_dir(ROOT);
    Ok(())
}
