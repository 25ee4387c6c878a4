//! Memory-mapped BPF arrays, read and cleared in place (Linux 5.5). aya does not offer it, and copies by system
//! calls would cost more than reading the counters of thousands of paths.
//!
//! They are mapped piece by piece, so that memory use does not depend on the number of CPUs.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::ptr::{NonNull, null_mut};
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use aya::maps::{Map, MapData, MapError};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;

/// Bytes mapped at once.
const PIECE: usize = 256 << 10;

/// An array with values of `WORDS` words.
pub(super) struct MmapArray<const WORDS: usize> {
    /// Keeps its descriptor: programs that are loaded later refer to it.
    map: MapData,
}

impl<const WORDS: usize> MmapArray<WORDS> {
    const BYTES: usize = WORDS * size_of::<u64>();

    /// The values of `map`.
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        let Map::Array(map) = map else { return Err(MapError::InvalidMapType { map_type: 0 }) };
        let (size, expected) = (map.info()?.value_size() as usize, Self::BYTES);
        if size != expected {
            return Err(MapError::InvalidValueSize { size, expected });
        }
        Ok(Self { map })
    }

    /// Calls `each` for `count` values from `first` on, with the offset from `first` and the words.
    ///
    /// # Errors
    /// The array is shorter or cannot be mapped.
    pub(super) fn each(
        &self,
        first: usize,
        count: usize,
        mut each: impl FnMut(usize, &[AtomicU64; WORDS]),
    ) -> Result<(), MapError> {
        let step = (PIECE / Self::BYTES).max(1);
        for done in (0..count).step_by(step) {
            let values = step.min(count - done);
            self.piece(first + done, values, ProtFlags::READ, |n, words| each(done + n, words))?;
        }
        Ok(())
    }

    /// Clears the first `count` words of a value.
    pub(super) fn clear(&self, index: usize, count: usize) -> Result<(), MapError> {
        self.piece(index, 1, ProtFlags::READ | ProtFlags::WRITE, |_, words| {
            words.iter().take(count).for_each(|word| word.store(0, Relaxed));
        })
    }

    fn piece(
        &self,
        first: usize,
        count: usize,
        protection: ProtFlags,
        mut each: impl FnMut(usize, &[AtomicU64; WORDS]),
    ) -> Result<(), MapError> {
        let (start, length) = (first * Self::BYTES, count * Self::BYTES);
        let before = start % page_size();
        let piece = Piece::map(self.map.fd().as_fd(), start - before, before + length, protection);
        let piece = piece.map_err(MapError::IoError)?;
        let (values, _) = piece.words()[before / size_of::<u64>()..].as_chunks();
        values.iter().take(count).enumerate().for_each(|(n, words)| each(n, words));
        Ok(())
    }
}

/// A mapped part of an array.
struct Piece {
    start: NonNull<AtomicU64>,
    bytes: usize,
}

impl Piece {
    fn map(map: BorrowedFd<'_>, offset: usize, bytes: usize, protection: ProtFlags) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe { mmap(null_mut(), bytes, protection, MapFlags::SHARED, map, offset as u64) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, bytes })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping starts at a page, has this size and lives as long as `self`; programs change it
        // by whole words.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes / size_of::<u64>()) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: it is mapped, and no reference to it is left. Unmapping a whole mapping cannot fail.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
