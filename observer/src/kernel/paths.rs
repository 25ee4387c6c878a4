//! The table of paths as user space sees it: a hash from keys to indices, and counters by index
//! (observer-ebpf/src/tables.rs says why).

use std::cell::RefCell;
use std::os::fd::AsFd as _;

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues, Stack};
use observer_common::address::Address;
use observer_common::counters::PathCounter;
use observer_common::path::{PathKey, PathStats};

use super::batch::Batch;
use super::error::KernelError;
use super::tables::{Shared, failed, possible_cpus};
use crate::topology::convert;

const NAME: &str = "PATHS";
const STATS: &str = "PATH_STATS";
const FREE: &str = "FREE_PATHS";
const ENTERED: &str = "PATHS_ENTERED";
/// The keys are read again with every so many readings, whatever `PATHS_ENTERED` says: a filter that a
/// killed observer has left on clsact goes on entering paths until it is replaced, and counts them elsewhere.
const READINGS: u32 = 16;

/// The maps of the table of paths.
pub(super) struct Paths {
    indices: HashMap<MapData, Shared<PathKey>, u32>,
    stats: PerCpuArray<MapData, Shared<PathStats>>,
    /// Indices that no path has; `None` for those who only read.
    free: Option<Stack<MapData, u32>>,
    /// How many paths were entered; `None` for those who only read: they are not told of removed ones.
    entered: Option<PerCpuArray<MapData, u64>>,
    known: RefCell<Known>,
    /// Indices of removed paths that a program in flight may still add to.
    removed: Vec<u32>,
    batches: RefCell<Batches>,
}

/// What was last read, for the next reading.
#[derive(Default)]
struct Known {
    /// Keys and indices, nearly in the order of the ledger, which need not sort them again.
    keys: Vec<(PathKey, u32)>,
    /// How many paths had been entered before that; `None` if the keys must be read again.
    entered: Option<u64>,
    /// Readings since then.
    readings: u32,
    /// Room for all counters, by index.
    stats: Vec<PathStats>,
}

/// The same maps, whole; `None` where the kernel cannot do that.
struct Batches {
    indices: Option<Batch<Shared<PathKey>, u32>>,
    stats: Option<Batch<u32, Shared<PathStats>>>,
}

impl Paths {
    /// Opens the maps, which `map` finds by name; `owner` if paths are to be entered and removed, not only
    /// read.
    ///
    /// # Errors
    /// A map is missing, of another kind, or cannot be filled.
    pub(super) fn open(
        mut map: impl FnMut(&'static str) -> Result<Map, MapError>,
        owner: bool,
    ) -> Result<Self, KernelError> {
        let indices = map(NAME).map_err(failed("open", NAME))?;
        let stats = map(STATS).map_err(failed("open", STATS))?;
        let batches = Batches {
            indices: batch(&indices, 1, Shared(NOBODY), 0),
            stats: possible_cpus()
                .ok()
                .and_then(|cpus| batch(&stats, cpus as usize, 0, Shared(PathStats::ZERO))),
        };
        let (mut free, mut entered) = (None, None);
        if owner {
            free = Some(filled(map(FREE).and_then(Stack::try_from).map_err(failed("open", FREE))?)?);
            entered = Some(map(ENTERED).and_then(PerCpuArray::try_from).map_err(failed("open", ENTERED))?);
        }
        Ok(Self {
            indices: indices.try_into().map_err(failed("open", NAME))?,
            stats: stats.try_into().map_err(failed("open", STATS))?,
            free,
            entered,
            known: RefCell::default(),
            removed: Vec::new(),
            batches: RefCell::new(batches),
        })
    }

    /// All paths, all CPUs together.
    ///
    /// # Errors
    /// A map cannot be read.
    pub(super) fn read(&self) -> Result<Vec<(PathKey, PathStats)>, KernelError> {
        let mut known = self.known.borrow_mut();
        self.refresh(&mut known)?;
        let Known { keys, stats, .. } = &mut *known;
        // Used indices stand together at the start.
        let most = keys.iter().map(|(_, index)| *index as usize + 1).max().unwrap_or(0);
        stats.clear();
        let batches = &mut self.batches.borrow_mut().stats;
        if let Some(all) = batches {
            let read = all.read(most, |_, values| stats.push(sum(values)));
            if !read.map_err(|error| failed("read", STATS)(MapError::IoError(error)))? {
                *batches = None;
            }
        }
        let read_one = |index| match stats.get(index as usize) {
            Some(stats) => Ok(*stats),
            None => self.stats.get(&index, 0).map(|values| sum(&values)).map_err(failed("read", STATS)),
        };
        let mut paths = Vec::with_capacity(keys.len());
        for (key, index) in keys {
            paths.push((*key, read_one(*index)?));
        }
        Ok(paths)
    }

    /// Reads the keys again if there may be others.
    fn refresh(&self, known: &mut Known) -> Result<(), KernelError> {
        // Before the keys: what is entered meanwhile is looked for once more.
        let entered = self.entered.as_ref().map(|entered| entered.get(&0, 0)).transpose();
        let entered = entered.map_err(failed("read", ENTERED))?.map(|cpus| cpus.iter().sum());
        known.readings += 1;
        if entered.is_some() && entered == known.entered && known.readings < READINGS {
            return Ok(());
        }
        known.entered = None;
        known.keys = self.keys()?;
        let place =
            |key: &PathKey| (key.slot, key.direction, key.class, key.vni, convert::from_wire(key.peer));
        known.keys.sort_unstable_by_key(|(key, _)| place(key));
        known.entered = entered;
        known.readings = 0;
        Ok(())
    }

    /// All keys and the indices of their counters.
    pub(super) fn keys(&self) -> Result<Vec<(PathKey, u32)>, KernelError> {
        let mut keys = Vec::new();
        let batches = &mut self.batches.borrow_mut().indices;
        if let Some(all) = batches {
            let read =
                all.read(usize::MAX, |Shared(key), index| keys.extend(index.iter().map(|i| (*key, *i))));
            if read.map_err(|error| failed("read", NAME)(MapError::IoError(error)))? {
                return Ok(keys);
            }
            *batches = None;
        }
        for entry in self.indices.iter() {
            match entry {
                Ok((Shared(key), index)) => keys.push((key, index)),
                // The entry went away between two calls.
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(failed("read", NAME)(error)),
            }
        }
        Ok(keys)
    }

    /// Removes a path. CPUs that remember it must be told, and its counters are another path's only after
    /// [`Self::recycle`].
    ///
    /// # Errors
    /// The map cannot be written.
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
        Ok(())
    }

    /// Gives the counters of removed paths to new ones. To be called when all CPUs have long forgotten
    /// them: with the next change of routes.
    ///
    /// # Errors
    /// A map cannot be written.
    pub(super) fn recycle(&mut self) -> Result<(), KernelError> {
        let Some(free) = &mut self.free else { return Ok(()) };
        if self.removed.is_empty() {
            return Ok(());
        }
        let cpus = possible_cpus()? as usize;
        while let Some(index) = self.removed.pop() {
            let zero = PerCpuValues::try_from(vec![Shared(PathStats::ZERO); cpus])
                .map_err(|error| failed("clear", STATS)(error.into()))?;
            self.stats.set(index, zero, 0).map_err(failed("clear", STATS))?;
            free.push(index, 0).map_err(failed("write", FREE))?;
        }
        Ok(())
    }
}

/// Nobody's key.
const NOBODY: PathKey = PathKey { peer: Address::UNSPECIFIED, vni: 0, slot: 0, direction: 0, class: 0 };

/// The indices that no path has: all of them where the maps are new. What another owner has left is as it
/// should be, but for indices that it was about to recycle when it was killed: they are lost, and the table
/// holds so many paths less.
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

/// A path's counters, all CPUs together.
fn sum(values: &[Shared<PathStats>]) -> PathStats {
    let mut sum = PathStats::ZERO;
    for Shared(value) in values {
        for counter in PathCounter::ALL {
            counter.merge().add(&mut sum.0[counter as usize], value.0[counter as usize]);
        }
    }
    sum
}

/// A reader of a whole map; `None` where that cannot be had, and entries are read one by one.
fn batch<K: aya::Pod, V: aya::Pod>(map: &Map, cpus: usize, key: K, value: V) -> Option<Batch<K, V>> {
    let (Map::HashMap(data) | Map::PerCpuArray(data)) = map else { return None };
    Some(Batch::new(data.fd().as_fd().try_clone_to_owned().ok()?, cpus, key, value))
}
