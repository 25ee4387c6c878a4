//! A directory on a BPF file system in which maps outlive the process that counts into them.
//!
//! In addition to the programs' maps there are two others. `ALIVE` holds the time up to which the owner has
//! counted. `STATE` holds the registry ([`super::state`]). A new state is a new map, filled, pinned next to the
//! old one and renamed over it. So every reader finds a complete state, whenever its writer was killed.
//!
//! The owner holds a lock (`flock`) on the directory. That needs no other file system, works across containers
//! and network namespaces, and ends with the process. Files on a BPF file system cannot be opened, and
//! therefore not be locked.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::maps::{Array, Map, MapData, MapError};
use rustix::fs::{FlockOperation, flock, statfs};

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
const BPF_FS: u64 = 0xcafe_4a11;
/// How often to try the lock: a reader that checks whether there is an owner holds it for a moment.
const TRIES: u32 = 20;

/// The directory, owned.
#[derive(Debug)]
pub(super) struct Pins {
    directory: PathBuf,
    /// Holds the lock.
    _lock: File,
}

/// Whether a BPF file system is where the directory is or would be created.
#[must_use]
pub fn possible(directory: &Path) -> bool {
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    statfs(existing).is_ok_and(|stat| stat.f_type as u64 == BPF_FS)
}

impl Pins {
    /// Creates the directory and becomes its owner.
    ///
    /// # Errors
    /// No BPF file system, no permission, or another owner.
    pub(super) fn open(directory: &Path) -> Result<Self, KernelError> {
        let failed = |cause: &dyn Display, remedy| pin_error(directory, cause.to_string(), remedy);
        if !possible(directory) {
            return Err(failed(
                &"it is not on a BPF file system",
                "mount one (`mount -t bpf bpf /sys/fs/bpf`), use another directory with --pin-path, or use --no-pin",
            ));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
            failed(&error, "make the parent directory writable, or use another directory with --pin-path")
        })?;
        let lock = File::open(directory).map_err(|error| failed(&error, "make it readable for this user"))?;
        let mut tries = 1;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if tries == TRIES {
                let who = owner(directory).map_or_else(String::new, |pid| format!(" (process {pid})"));
                let cause = format!("another exporter is using it{who}");
                return Err(failed(&cause, "stop that exporter, or use another directory with --pin-path"));
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

    /// What the last owner left. Maps that cannot be continued are removed.
    ///
    /// # Errors
    /// The maps have another layout or other capacities.
    pub(super) fn take_over(&self, capacities: Capacities) -> Result<Option<State>, KernelError> {
        self.remove(&[NEXT])?;
        self.remove(&FILLED)?;
        let state = read_state(&self.directory)?.map(|(_, state)| state);
        let complete = COUNTED.iter().all(|name| self.directory.join(name).exists());
        if let Some(state) = state {
            if complete {
                state.fits(&self.directory, capacities)?;
                return Ok(Some(state));
            }
            log::warn!("maps are missing in {}: all totals start at 0", self.directory.display());
        }
        // The last owner was killed before it counted anything, or a part was removed.
        self.remove(&COUNTED)?;
        self.remove(&[STATE, ALIVE])?;
        Ok(None)
    }

    fn remove(&self, names: &[&str]) -> Result<(), KernelError> {
        for name in names {
            if let Err(error) = fs::remove_file(self.directory.join(name))
                && error.kind() != io::ErrorKind::NotFound
            {
                let cause = format!("cannot remove {name}: {error}");
                return Err(pin_error(&self.directory, cause, "remove it as the user who created it"));
            }
        }
        Ok(())
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// There is no memory for the map, or it cannot be pinned.
    pub(super) fn save(&self, state: &State) -> Result<(), KernelError> {
        self.try_save(state).map_err(|cause| {
            let remedy = "if the exporter ends now, totals will lack the latest changes";
            KernelError::new("write the state into", self.directory.display().to_string(), cause, remedy)
        })
    }

    fn try_save(&self, state: &State) -> Result<(), String> {
        let text = serde_json::to_vec(state).map_err(|error| error.to_string())?;
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text);
        let entries = u32::try_from(bytes.len().div_ceil(CHUNK)).map_err(|_| "it is too large")?;
        let mut array = new_array::<[u8; CHUNK]>("observer_state", entries).map_err(|error| chain(&error))?;
        for (index, part) in (0..entries).zip(bytes.chunks(CHUNK)) {
            let mut chunk = [0; CHUNK];
            chunk[..part.len()].copy_from_slice(part);
            array.set(index, chunk, 0).map_err(|error| chain(&error))?;
        }
        let next = self.directory.join(NEXT);
        self.remove(&[NEXT]).map_err(|error| error.cause)?;
        array.pin(&next).map_err(|error| chain(&error))?;
        fs::rename(&next, self.directory.join(STATE)).map_err(|error| error.to_string())
    }

    /// The time up to which the last owner counted, on the clock of [`sys::boottime`]; `None` if there was none.
    pub(super) fn alive(&self) -> Result<Option<Duration>, KernelError> {
        let path = self.directory.join(ALIVE);
        if !path.exists() {
            return Ok(None);
        }
        let time = open_array::<u64>(&path).and_then(|array| array.get(&0, 0));
        time.map(|time| Some(Duration::from_nanos(time))).map_err(|error| {
            let remedy = "remove the directory (`rm -r`), which resets all totals";
            pin_error(&self.directory, chain(&error), remedy)
        })
    }

    /// Saves that packets have been counted until `now`.
    pub(super) fn set_alive(&self, now: Duration) -> Result<(), KernelError> {
        let path = self.directory.join(ALIVE);
        let set = |mut array: Array<MapData, u64>| {
            array.set(0, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), 0).map(|()| array)
        };
        let result = if path.exists() {
            open_array(&path).and_then(set).map(|_| ()).map_err(|error| chain(&error))
        } else {
            let array = new_array("observer_alive", 1).and_then(set).map_err(|error| chain(&error));
            array.and_then(|array| array.pin(&path).map_err(|error| chain(&error)))
        };
        result.map_err(|cause| pin_error(&self.directory, cause, "the next gap will be reported too long"))
    }
}

fn pin_error(directory: &Path, cause: String, remedy: &str) -> KernelError {
    KernelError::new("pin maps in", directory.display().to_string(), cause, remedy)
}

fn open_array<V: aya::Pod>(path: &Path) -> Result<Array<MapData, V>, MapError> {
    Array::try_from(Map::from_map_data(MapData::from_pin(path)?)?)
}

fn new_array<V: aya::Pod>(name: &str, entries: u32) -> Result<Array<MapData, V>, MapError> {
    let fd = sys::create_array(name, size_of::<V>() as u32, entries).map_err(MapError::IoError)?;
    Array::try_from(Map::from_map_data(MapData::from_fd(fd)?)?)
}

/// The state pinned in a directory, with the id of its map: another state has another id.
pub(super) fn read_state(directory: &Path) -> Result<Option<(u32, State)>, KernelError> {
    let path = directory.join(STATE);
    if !path.exists() {
        return Ok(None);
    }
    try_read_state(&path).map(Some).map_err(|cause| {
        let remedy = "remove the directory (`rm -r`), which resets all totals";
        KernelError::new("read the state in", directory.display().to_string(), cause, remedy)
    })
}

fn try_read_state(path: &Path) -> Result<(u32, State), String> {
    let read = || {
        let data = MapData::from_pin(path)?;
        let id = data.info()?.id();
        let array: Array<MapData, [u8; CHUNK]> = Map::from_map_data(data)?.try_into()?;
        let chunks = (0..array.len()).map(|index| array.get(&index, 0));
        Ok((id, chunks.collect::<Result<Vec<_>, MapError>>()?.concat()))
    };
    let (id, bytes) = read().map_err(|error: MapError| chain(&error))?;
    let (length, text) = bytes.split_first_chunk::<8>().ok_or("it is empty")?;
    let text = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| text.get(..length));
    Ok((id, State::parse(text.ok_or("it is truncated")?)?))
}

/// Whether the directory has an owner. A lock taken here ends with the file.
pub(super) fn is_owned(directory: &Path) -> bool {
    File::open(directory).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

/// The owner's process, if it is visible from this PID namespace.
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
    fn the_owner_is_found_in_the_list_of_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:27:168188 0 EOF\n2: FLOCK  ADVISORY  WRITE 25117 00:27:168188 0 EOF\n";
        assert_eq!(owner_in(locks, 168_188), Some(25_117));
        assert_eq!(owner_in(locks, 1), None);
    }
}
