//! How the parser reads packets at the hooks.

use core::arch::asm;

use observer_common::packet::{Packet, Plain};

use crate::maps::{SCRATCH_SIZE, SCRATCH_SLACK};

const FARTHEST: u64 = 32_000;

/// Makes the compiler write `value` to memory and read it again.
#[inline(always)]
fn settled<T>(value: &mut T) {
    let mut pointer: *mut T = value;
    // One real instruction, because the kernel refuses line information for none.
    // SAFETY: it copies a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) pointer) };
    let _ = &mut pointer;
}

/// How much of a packet of `length` bytes is copied, in a form that the verifier can follow: the
/// register that is compared must be the one that is passed on.
#[inline(always)]
pub fn copy_length(length: u32) -> u32 {
    copy_length_of::<SCRATCH_SIZE>(length)
}

/// The same for a buffer of `ROOM` bytes.
#[inline(always)]
pub fn copy_length_of<const ROOM: usize>(length: u32) -> u32 {
    // One less, so that the sum is at least 1: verifiers before Linux 6.2 learn nothing from `!= 0`.
    // An empty packet becomes a long one here, and the helper refuses it.
    let mut last = u64::from(length).wrapping_sub(1);
    // SAFETY: it copies a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) last, options(pure, nomem, nostack)) };
    if last > ROOM as u64 - 1 {
        last = ROOM as u64 - 1;
    }
    last as u32 + 1
}

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
        let mut offset = u64::from(offset);
        // The verifier follows registers: LLVM must not derive the offset that is compared and the one
        // that is added in two different ways.
        // SAFETY: it copies a register to itself.
        unsafe { asm!("{0} = {0}", inout(reg) offset, options(pure, nomem, nostack)) };
        // Far beyond any chain of headers, and near enough for the verifier to keep track.
        if offset > FARTHEST {
            return None;
        }
        let at = self.start + offset as usize;
        // The verifier learns nothing from `at >= end`, which is what LLVM makes of one byte.
        let size = const { if size_of::<T>() == 1 { 2 } else { size_of::<T>() } };
        if at + size > self.end {
            return None;
        }
        // SAFETY: the bytes lie inside the packet, any bytes are a `T: Plain`, and the machines that
        // load this allow loads that are not aligned (x86-64, arm64).
        Some(unsafe { *(at as *const T) })
    }

    #[inline(always)]
    fn fixed<T: Plain>(&self, offset: u32) -> Option<T> {
        // SAFETY: no packet ends where addresses do. The compiler may conclude that what was there once is there.
        let (at, end) = unsafe {
            let at = self.start.unchecked_add(offset as usize);
            (at, at.unchecked_add(size_of::<T>()))
        };
        if end > self.end {
            return None;
        }
        // SAFETY: as above.
        Some(unsafe { *(at as *const T) })
    }

    #[inline(always)]
    fn verifier_barrier<T>(&self, value: &mut T) {
        settled(value);
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
        const { assert!(size_of::<T>() <= SCRATCH_SLACK && SCRATCH_SIZE.is_power_of_two()) };
        if offset as usize + size_of::<T>() > self.length as usize {
            return None;
        }
        // Masked, though it is within bounds: Debian's 6.18.15 draws wrong conclusions from a comparison
        // of the sum about the offset, and LLVM would see through a mask that it can read.
        let mut offset = offset as usize;
        // SAFETY: it clears bits of a register.
        unsafe {
            asm!("{0} &= {1}", inout(reg) offset, const SCRATCH_SIZE - 1, options(pure, nomem, nostack));
        };
        // SAFETY: the bytes lie inside the copy; see above for the rest.
        Some(unsafe { *self.start.add(offset).cast::<T>() })
    }

    #[inline(always)]
    fn verifier_barrier<T>(&self, value: &mut T) {
        settled(value);
    }
}
