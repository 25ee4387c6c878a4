//! The path table: a hash from keys to indices, and counters per CPU by index (see observer-ebpf/src/tables.rs).

use std::cell::RefCell;
use std::os::fd::AsFd as _;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray, Stack};
use observer_common::counters::PathCounter;
use observer_common::path::{COLD_COUNTERS, HOT_COUNTERS, HotPath, PathKey, PathStats};

use super::batch::Batch;
use super::error::KernelError;
use super::maps::{Shared, failed, possible_cpus};
use super::mmap_array::MmapArray;
use crate::topology::convert;

const NAME: &str = "PATHS";
const PATH_HOT: &str = "PATH_HOT";
const PATH_COLD: &str = "PATH_COLD";
const FREE: &str = "FREE_PATHS";
const ENTERED: &str = "PATHS_ENTERED";
/// After this many readings, the keys are read even if `PATHS_ENTERED` is unchanged: a filter that a killed
/// observer left on clsact adds paths until it is replaced, and counts them in another map.
const READINGS: u32 = 16;

/// Words of a [`HotPath`], and of the key in it.
const WORDS: usize = KEY + HOT_COUNTERS;
const KEY: usize = 3;
const _: () = assert!(size_of::<HotPath>() == WORDS * size_of::<u64>());

/// The maps of the table of paths.
pub(super) struct Paths {
    indices: HashMap<MapData, Shared<PathKey>, u32>,
    hot: MmapArray<WORDS>,
    cold: MmapArray<COLD_COUNTERS>,
    /// Number of indices per CPU.
    capacity: u32,
    /// Number of CPUs.
    cpus: usize,
    /// Free indices; `None` for a reader.
    free: Option<Stack<MapData, u32>>,
    /// Number of paths added; `None` for a reader, which does not see removals.
    entered: Option<PerCpuArray<MapData, u64>>,
    known: RefCell<Known>,
    /// Indices of removed paths to which a running program may still add.
    removed: Vec<u32>,
    /// Reads all keys at once; `None` if the kernel cannot.
    batch: RefCell<Option<Batch<Shared<PathKey>, u32>>>,
}

/// The last reading, for reuse.
#[derive(Default)]
struct Known {
    /// Keys and indices, nearly in the final order of the paths.
    keys: Vec<(PathKey, u32)>,
    /// Number of paths added before that; `None` if the keys must be read again.
    entered: Option<u64>,
    /// Readings since the keys were read.
    readings: u32,
    /// Buffer for all counters, by index.
    stats: Vec<PathStats>,
}

impl Paths {
    /// Opens the maps, which `map` finds by name; an `owner` also removes paths.
    ///
    /// # Errors
    /// A map is missing, has another type or cannot be filled.
    pub(super) fn open(
        mut map: impl FnMut(&'static str) -> Result<Map, MapError>,
        owner: bool,
    ) -> Result<Self, KernelError> {
        let indices = map(NAME).map_err(failed("open", NAME))?;
        let hot = map(PATH_HOT).and_then(MmapArray::new).map_err(failed("open", PATH_HOT))?;
        let cold = map(PATH_COLD).and_then(MmapArray::new).map_err(failed("open", PATH_COLD))?;
        let (capacity, batch) = hash(&indices).map_err(failed("open", NAME))?;
        let (mut free, mut entered) = (None, None);
        if owner {
            free = Some(filled(map(FREE).and_then(Stack::try_from).map_err(failed("open", FREE))?)?);
            entered = Some(map(ENTERED).and_then(PerCpuArray::try_from).map_err(failed("open", ENTERED))?);
        }
        Ok(Self {
            indices: indices.try_into().map_err(failed("open", NAME))?,
            hot,
            cold,
            capacity,
            cpus: possible_cpus()? as usize,
            free,
            entered,
            known: RefCell::default(),
            removed: Vec::new(),
            batch: RefCell::new(Some(batch)),
        })
    }

    /// Number of indices per CPU.
    pub(super) const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// All paths, summed over all CPUs.
    pub(super) fn read(&self) -> Result<Vec<(PathKey, PathStats)>, KernelError> {
        let mut known = self.known.borrow_mut();
        self.refresh(&mut known)?;
        let Known { keys, stats, .. } = &mut *known;
        // Indices in use are contiguous from 0.
        let most = keys.iter().map(|(_, index)| *index as usize + 1).max().unwrap_or(0);
        stats.clear();
        stats.resize(most, PathStats::ZERO);
        for cpu in 0..self.cpus {
            let first = cpu * self.capacity as usize;
            let hot = self.hot.each(first, most, |index, words| {
                add(&mut stats[index], &PathCounter::ALL[..HOT_COUNTERS], &words[KEY..]);
            });
            hot.map_err(failed("read", PATH_HOT))?;
            let cold = self.cold.each(first, most, |index, words| {
                add(&mut stats[index], &PathCounter::ALL[HOT_COUNTERS..], words)
            });
            cold.map_err(failed("read", PATH_COLD))?;
        }
        Ok(keys.iter().map(|(key, index)| (*key, stats[*index as usize])).collect())
    }

    /// Reads the keys again if they may have changed.
    fn refresh(&self, known: &mut Known) -> Result<(), KernelError> {
        // Before the keys, so that a path added meanwhile causes another reading.
        let entered = self.entered.as_ref().map(|entered| entered.get(&0, 0)).transpose();
        let entered = entered.map_err(failed("read", ENTERED))?.map(|cpus| cpus.iter().sum());
        known.readings += 1;
        if entered.is_some() && entered == known.entered && known.readings < READINGS {
            return Ok(());
        }
        known.entered = None;
        known.keys = self.keys()?;
        let order =
            |key: &PathKey| (key.slot, key.direction, key.class, key.vni, convert::from_wire(key.peer));
        known.keys.sort_unstable_by_key(|(key, _)| order(key));
        known.entered = entered;
        known.readings = 0;
        Ok(())
    }

    /// All keys and the indices of their counters.
    pub(super) fn keys(&self) -> Result<Vec<(PathKey, u32)>, KernelError> {
        let mut keys = Vec::new();
        let batch = &mut *self.batch.borrow_mut();
        if let Some(all) = batch {
            let read = all.read(|Shared(key), index| keys.push((*key, *index)));
            if read.map_err(|error| failed("read", NAME)(MapError::IoError(error)))? {
                return Ok(keys);
            }
            *batch = None;
        }
        for entry in self.indices.iter() {
            match entry {
                Ok((Shared(key), index)) => keys.push((key, index)),
                // The entry was removed between two calls.
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(failed("read", NAME)(error)),
            }
        }
        Ok(keys)
    }

    /// Removes a path. Its counters are reused only after [`Self::recycle`].
    pub(super) fn remove(&mut self, key: &PathKey) -> Result<(), KernelError> {
        self.known.get_mut().entered = None;
        let index = match self.indices.get(&Shared(*key), 0) {
            Ok(index) => index,
            Err(MapError::KeyNotFound) => return Ok(()),
            Err(error) => return Err(failed("read", NAME)(error)),
        };
        match self.indices.remove(&Shared(*key)) {
            Ok(()) => self.removed.push(index),
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(failed("write", NAME)(error)),
        }
        // CPUs that have cached the index find no key there and fail to look up the path.
        self.clear(&self.hot, index, KEY).map_err(failed("clear", PATH_HOT))
    }

    /// Frees the counters of removed paths. Call it when no running program can still add to them: with the next
    /// change of routes.
    pub(super) fn recycle(&mut self) -> Result<(), KernelError> {
        while self.free.is_some()
            && let Some(index) = self.removed.pop()
        {
            self.clear(&self.hot, index, WORDS).map_err(failed("clear", PATH_HOT))?;
            self.clear(&self.cold, index, COLD_COUNTERS).map_err(failed("clear", PATH_COLD))?;
            if let Some(free) = &mut self.free {
                free.push(index, 0).map_err(failed("write", FREE))?;
            }
        }
        Ok(())
    }

    /// Clears the first `count` words of an index on all CPUs.
    fn clear<const N: usize>(&self, array: &MmapArray<N>, index: u32, count: usize) -> Result<(), MapError> {
        (0..self.cpus).try_for_each(|cpu| array.clear(cpu * self.capacity as usize + index as usize, count))
    }
}

/// The free indices: all of them if the maps are new. A previous owner's are complete except for indices that it
/// had not recycled when it was killed; those are lost to the table.
fn filled(mut free: Stack<MapData, u32>) -> Result<Stack<MapData, u32>, KernelError> {
    let new = match free.pop(0) {
        Ok(index) => {
            free.push(index, 0).map_err(failed("write", FREE))?;
            false
        }
        Err(MapError::ElementNotFound) => true,
        Err(error) => return Err(failed("read", FREE)(error)),
    };
    if new {
        for index in (0..free.capacity()).rev() {
            free.push(index, 0).map_err(failed("fill", FREE))?;
        }
    }
    Ok(free)
}

/// Adds some counters of one CPU.
fn add(sum: &mut PathStats, counters: &[PathCounter], words: &[AtomicU64]) {
    for (counter, word) in counters.iter().zip(words) {
        counter.merge().add(&mut sum.0[*counter as usize], word.load(Relaxed));
    }
}

/// The capacity of the hash, and a reader of all its entries.
fn hash(map: &Map) -> Result<(u32, Batch<Shared<PathKey>, u32>), MapError> {
    let Map::HashMap(map) = map else { return Err(MapError::InvalidMapType { map_type: 0 }) };
    let descriptor = map.fd().as_fd().try_clone_to_owned().map_err(MapError::IoError)?;
    Ok((map.info()?.max_entries(), Batch::new(descriptor, Shared(PathKey::NOBODY), 0)))
}
