//! How the parser reads packets at the hooks.

use observer_common::packet::{Packet, Plain};

use crate::maps::SCRATCH_SIZE;

/// The linear part of a packet, accessed directly.
pub struct Direct {
    start: usize,
    end: usize,
}

impl Direct {
    /// The bytes between a context's `data` and `data_end`.
    #[inline(always)]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// How many bytes can be read.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        (self.end - self.start) as u32
    }
}

impl Packet for Direct {
    #[inline(always)]
    fn read<T: Plain>(&self, offset: u32) -> Option<T> {
        let at = self.start + offset as usize;
        if at + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: the bytes lie inside the packet, any bytes are a `T: Plain`, and the machines that
        // load this allow loads that are not aligned (x86-64, arm64).
        Some(unsafe { *(at as *const T) })
    }
}

/// A copy of a packet's first bytes.
pub struct Copied {
    /// Where the copy starts.
    pub start: *const u8,
    /// How many bytes were copied, at most [`SCRATCH_SIZE`].
    pub length: u32,
}

impl Packet for Copied {
    #[inline(always)]
    fn read<T: Plain>(&self, offset: u32) -> Option<T> {
        let offset = offset as usize;
        if offset > SCRATCH_SIZE - size_of::<T>() || offset + size_of::<T>() > self.length as usize {
            return None;
        }
        // SAFETY: the bytes lie inside the copy; see above for the rest.
        Some(unsafe { *self.start.add(offset).cast::<T>() })
    }
}
