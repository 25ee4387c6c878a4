//! A directory on a BPF file system in which maps outlive the process that counts into them.
//!
//! Besides the maps that the programs use there are two of our own. `ALIVE` holds the time at which the
//! owner last said that it lives. `STATE` holds the books ([`super::state`]); it is never changed: each
//! new one is a new map, filled, pinned beside the old one and renamed over it. So whoever opens it finds
//! one whole state, whenever its writer was killed.
//!
//! The owner holds a lock (`flock`) on the directory itself: it needs no other file system, works across
//! containers and network namespaces, and ends with the process, however that ends. (Files on a BPF file
//! system cannot be opened, hence not locked; directories can.)

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::maps::{Array, Map, MapData, MapError};

use super::error::{KernelError, chain};
use super::names::{COUNTED, FILLED};
use super::options::Capacities;
use super::state::State;
use super::sys;

const STATE: &str = "STATE";
const NEXT: &str = "STATE_next";
const ALIVE: &str = "ALIVE";
/// Bytes of an entry of `STATE`.
const CHUNK: usize = 4_096;
/// `BPF_FS_MAGIC` (include/uapi/linux/magic.h).
const BPF_FS: libc::c_long = 0xcafe_4a11;
/// How often the lock is tried: a reader that looks whether somebody lives holds it for a moment.
const TRIES: u32 = 20;

/// The directory, owned.
#[derive(Debug)]
pub(super) struct Pins {
    directory: PathBuf,
    /// Held while we live.
    _lock: File,
}

/// Whether a BPF file system is where the directory is or would be.
#[must_use]
pub fn possible(directory: &Path) -> bool {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(path) = CString::new(there.as_os_str().as_bytes()) else { return false };
    // SAFETY: all zeros is a value of the struct; the path ends with a zero byte.
    unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        libc::statfs(path.as_ptr(), &raw mut stat) == 0 && stat.f_type == BPF_FS
    }
}

impl Pins {
    /// Makes the directory and becomes its owner.
    ///
    /// # Errors
    /// No BPF file system, no right to write there, or another owner.
    pub(super) fn open(directory: &Path) -> Result<Self, KernelError> {
        if !possible(directory) {
            return Err(pin_error(
                directory,
                "it is not on a BPF file system",
                "mount one (`mount -t bpf bpf /sys/fs/bpf`), name another directory with --pin-path, or use --no-pin",
            ));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| {
            pin_error(
                directory,
                error.to_string(),
                "make it writable, or name another directory with --pin-path",
            )
        })?;
        let lock = File::open(directory)
            .map_err(|error| pin_error(directory, error.to_string(), "make it readable for this user"))?;
        let mut tries = 1;
        while !try_lock(&lock) {
            if tries == TRIES {
                let who =
                    owner(directory).map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
                return Err(pin_error(
                    directory,
                    format!("an exporter is at work there already ({who})"),
                    "end that one, or give this one a directory of its own with --pin-path",
                ));
            }
            tries += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    /// Where the maps are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the last owner left; what is of no use is removed.
    ///
    /// # Errors
    /// The maps have another layout or other capacities.
    pub(super) fn take_over(&self, capacities: Capacities) -> Result<Option<State>, KernelError> {
        self.remove(&[NEXT])?;
        self.remove(&FILLED)?;
        let state = read_state(&self.directory)?.map(|(_, state)| state);
        let whole = COUNTED.iter().all(|name| self.directory.join(name).exists());
        match state {
            Some(state) if whole => {
                state.fits(&self.directory, capacities)?;
                Ok(Some(state))
            }
            // Its owner was killed before it counted anything; or somebody has removed a part.
            other => {
                if other.is_some() {
                    log::warn!("maps are missing in {}: totals begin anew", self.directory.display());
                }
                self.remove(&COUNTED)?;
                self.remove(&[STATE, ALIVE])?;
                Ok(None)
            }
        }
    }

    fn remove(&self, names: &[&str]) -> Result<(), KernelError> {
        for name in names {
            match fs::remove_file(self.directory.join(name)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(pin_error(
                        &self.directory,
                        error.to_string(),
                        "remove it, as the user who made it",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Replaces the books.
    ///
    /// # Errors
    /// The kernel has no memory for the map, or it cannot be pinned.
    pub(super) fn save(&self, state: &State) -> Result<(), KernelError> {
        let failed = |cause: String| {
            let remedy = "totals will lack what is written there if the exporter ends now";
            KernelError::new("write the state into", self.directory.display().to_string(), cause, remedy)
        };
        let text = serde_json::to_vec(state).map_err(|error| failed(error.to_string()))?;
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text);
        let chunks = bytes.len().div_ceil(CHUNK);
        let entries = u32::try_from(chunks).map_err(|_| failed("it is too large".to_owned()))?;
        let fd = sys::create_array("observer_state", CHUNK as u32, entries)
            .map_err(|error| failed(error.to_string()))?;
        let said = |error: MapError| failed(chain(&error));
        let map = Map::from_map_data(MapData::from_fd(fd).map_err(said)?).map_err(said)?;
        let mut array = Array::<_, [u8; CHUNK]>::try_from(map).map_err(said)?;
        for (index, part) in (0..entries).zip(bytes.chunks(CHUNK)) {
            let mut chunk = [0; CHUNK];
            chunk[..part.len()].copy_from_slice(part);
            array.set(index, chunk, 0).map_err(said)?;
        }
        let next = self.directory.join(NEXT);
        self.remove(&[NEXT])?;
        array.pin(&next).map_err(|error| failed(chain(&error)))?;
        fs::rename(&next, self.directory.join(STATE)).map_err(|error| failed(error.to_string()))
    }

    /// When the owner last said that it lives, on the clock of [`sys::boottime`]; `None` where none did.
    pub(super) fn alive(&self) -> Result<Option<Duration>, KernelError> {
        let path = self.directory.join(ALIVE);
        if !path.exists() {
            return Ok(None);
        }
        let time = open_array::<u64>(&path).and_then(|array| array.get(&0, 0));
        time.map(|time| Some(Duration::from_nanos(time))).map_err(|error| {
            pin_error(&self.directory, chain(&error), "remove the directory; totals begin anew")
        })
    }

    /// Says that the owner lives.
    pub(super) fn set_alive(&self, now: Duration) -> Result<(), KernelError> {
        let path = self.directory.join(ALIVE);
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let failed = |cause: String| pin_error(&self.directory, cause, "a gap that follows will look longer");
        let said = |error: MapError| failed(chain(&error));
        if path.exists() {
            return open_array::<u64>(&path).and_then(|mut array| array.set(0, now, 0)).map_err(said);
        }
        let fd = sys::create_array("observer_alive", 8, 1).map_err(|error| failed(error.to_string()))?;
        let map = Map::from_map_data(MapData::from_fd(fd).map_err(said)?).map_err(said)?;
        let mut array = Array::<_, u64>::try_from(map).map_err(said)?;
        array.set(0, now, 0).map_err(said)?;
        array.pin(&path).map_err(|error| failed(chain(&error)))
    }
}

fn pin_error(directory: &Path, cause: impl Into<String>, remedy: &str) -> KernelError {
    KernelError::new("pin maps in", directory.display().to_string(), cause, remedy)
}

fn open_array<V: aya::Pod>(path: &Path) -> Result<Array<MapData, V>, MapError> {
    Array::try_from(Map::from_map_data(MapData::from_pin(path)?)?)
}

/// The state that is pinned in a directory, with the id of its map: another state has another id.
pub(super) fn read_state(directory: &Path) -> Result<Option<(u32, State)>, KernelError> {
    let path = directory.join(STATE);
    if !path.exists() {
        return Ok(None);
    }
    let failed = |cause: String| {
        let remedy = "remove the directory (`rm -r`); totals begin anew then";
        KernelError::new("read the state in", directory.display().to_string(), cause, remedy)
    };
    let said = |error: MapError| failed(chain(&error));
    let data = MapData::from_pin(&path).map_err(said)?;
    let info = data.info().map_err(said)?;
    let array: Array<MapData, [u8; CHUNK]> =
        Map::from_map_data(data).and_then(TryInto::try_into).map_err(said)?;
    let mut bytes = Vec::new();
    for index in 0..array.len() {
        bytes.extend(array.get(&index, 0).map_err(said)?);
    }
    let (length, text) = bytes.split_first_chunk::<8>().ok_or_else(|| failed("it is empty".to_owned()))?;
    let text = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| text.get(..length));
    let text = text.ok_or_else(|| failed("it is cut off".to_owned()))?;
    let state = State::parse(text).map_err(failed)?;
    Ok(Some((info.id(), state)))
}

fn try_lock(directory: &File) -> bool {
    // SAFETY: the descriptor is open for the duration of the call.
    unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// Whether the directory has an owner that lives.
pub(super) fn is_owned(directory: &Path) -> bool {
    let Ok(file) = File::open(directory) else { return false };
    // SAFETY: as above. A shared lock that we get ends with the file.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB) != 0 }
}

/// The owner's process, where it is one of ours to see.
pub(super) fn owner(directory: &Path) -> Option<u32> {
    let inode = fs::metadata(directory).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    owner_in(&locks, inode)
}

/// Lines look like `1: FLOCK  ADVISORY  WRITE 25117 00:27:168188 0 EOF`.
fn owner_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words.get(1) == Some(&"FLOCK")
            && words.get(3) == Some(&"WRITE")
            && words.get(5)?.rsplit(':').next()?.parse() == Ok(inode);
        if is_it { words.get(4)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_stands_among_the_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:27:168188 0 EOF\n2: FLOCK  ADVISORY  WRITE 25117 00:27:168188 0 EOF\n";
        assert_eq!(owner_in(locks, 168_188), Some(25_117));
        assert_eq!(owner_in(locks, 1), None);
    }
}
