//! Arrays of the kernel that are read and cleared where they are: `mmap` of a map (Linux 5.5), which no library in
//! use offers. A copy by system calls would cost more than the counters of thousands of paths are worth.
//!
//! They are mapped piece by piece, so that the process stays as small as it is however many CPUs there are.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use aya::maps::{Map, MapData, MapError};

/// Bytes that are mapped at once.
const PIECE: usize = 256 << 10;

/// An array whose values are `WORDS` words long.
pub(super) struct MmapArray<const WORDS: usize> {
    /// Kept as it is: programs that are loaded later name it by its descriptor.
    map: MapData,
    page: usize,
}

impl<const WORDS: usize> MmapArray<WORDS> {
    const BYTES: usize = WORDS * size_of::<u64>();

    /// The values of `map`.
    ///
    /// # Errors
    /// It is no array with such values.
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        let Map::Array(map) = map else { return Err(MapError::InvalidMapType { map_type: 0 }) };
        let (size, expected) = (map.info()?.value_size() as usize, Self::BYTES);
        if size != expected {
            return Err(MapError::InvalidValueSize { size, expected });
        }
        // SAFETY: it asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        Ok(Self { map, page: usize::try_from(page).unwrap_or(4_096) })
    }

    /// Hands over `count` values from `first` on, in their order: where each is among them, and its words.
    ///
    /// # Errors
    /// The array ends before, or may not be mapped.
    pub(super) fn each(
        &self,
        first: usize,
        count: usize,
        mut each: impl FnMut(usize, &[AtomicU64; WORDS]),
    ) -> Result<(), MapError> {
        let step = (PIECE / Self::BYTES).max(1);
        for done in (0..count).step_by(step) {
            let values = step.min(count - done);
            self.piece(first + done, values, libc::PROT_READ, |n, words| each(done + n, words))?;
        }
        Ok(())
    }

    /// Clears the first `count` words of a value.
    ///
    /// # Errors
    /// As above.
    pub(super) fn clear(&self, index: usize, count: usize) -> Result<(), MapError> {
        self.piece(index, 1, libc::PROT_READ | libc::PROT_WRITE, |_, words| {
            words.iter().take(count).for_each(|word| word.store(0, Relaxed));
        })
    }

    fn piece(
        &self,
        first: usize,
        count: usize,
        protection: libc::c_int,
        mut each: impl FnMut(usize, &[AtomicU64; WORDS]),
    ) -> Result<(), MapError> {
        let (start, length) = (first * Self::BYTES, count * Self::BYTES);
        let before = start % self.page;
        let piece = Piece::map(self.map.fd().as_fd(), start - before, before + length, protection);
        let piece = piece.map_err(MapError::IoError)?;
        let (values, _) = piece.words()[before / size_of::<u64>()..].as_chunks();
        values.iter().take(count).enumerate().for_each(|(n, words)| each(n, words));
        Ok(())
    }
}

/// A part of an array.
struct Piece {
    start: NonNull<AtomicU64>,
    bytes: usize,
}

impl Piece {
    fn map(map: BorrowedFd<'_>, offset: usize, bytes: usize, protection: libc::c_int) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping, wherever the kernel finds room for it.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, map.as_raw_fd(), offset)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, bytes })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: so many bytes are mapped from there on, at a page, until this is dropped; programs change
        // them meanwhile, words as a whole.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes / size_of::<u64>()) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: it was mapped, and no reference to it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
