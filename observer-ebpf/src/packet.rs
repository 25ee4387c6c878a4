//! Packet access for the parser at the hooks.

use core::arch::asm;

use observer_common::packet::{Packet, Plain};

use crate::maps::{SCRATCH_SIZE, SCRATCH_SLACK};

const FARTHEST: u64 = 32_000;

/// Forces the compiler to store `value` to memory and reload it.
#[inline(always)]
fn settled<T>(value: &mut T) {
    let mut pointer: *mut T = value;
    // One real instruction: the kernel rejects BTF line information that refers to none.
    // SAFETY: it copies a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) pointer) };
    let _ = &mut pointer;
}

/// Number of bytes to copy from a packet of `length` bytes. The verifier requires that the register
/// compared is the one passed on.
#[inline(always)]
pub fn copy_length(length: u32) -> u32 {
    copy_length_of::<SCRATCH_SIZE>(length)
}

/// The same for a buffer of `ROOM` bytes.
#[inline(always)]
pub fn copy_length_of<const ROOM: usize>(length: u32) -> u32 {
    // Subtract one so that the result is at least 1: verifiers before Linux 6.2 derive no bound from
    // `!= 0`. An empty packet wraps to a large value, and the helper rejects it.
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
        // The verifier tracks registers: LLVM must use one register for the offset compared and the
        // offset added.
        // SAFETY: it copies a register to itself.
        unsafe { asm!("{0} = {0}", inout(reg) offset, options(pure, nomem, nostack)) };
        // Beyond any header chain, and small enough for the verifier to keep its bounds.
        if offset > FARTHEST {
            return None;
        }
        let at = self.start + offset as usize;
        // For one byte LLVM emits `at >= end`, from which the verifier derives no bound.
        let size = const { if size_of::<T>() == 1 { 2 } else { size_of::<T>() } };
        if at + size > self.end {
            return None;
        }
        // SAFETY: the bytes are inside the packet, any bytes are a valid `T: Plain`, and the supported
        // architectures (x86-64, arm64) allow unaligned loads.
        Some(unsafe { *(at as *const T) })
    }

    #[inline(always)]
    fn fixed<T: Plain>(&self, offset: u32) -> Option<T> {
        // SAFETY: no packet ends at the top of the address space. Unchecked arithmetic lets the compiler
        // reuse an earlier bounds check.
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
        // Masked although it is within bounds: the verifier of Debian's 6.18.15 derives a wrong bound for
        // the offset from the comparison of the sum. In assembly, because LLVM would remove the mask.
        let mut offset = offset as usize;
        // SAFETY: it clears bits of a register.
        unsafe {
            asm!("{0} &= {1}", inout(reg) offset, const SCRATCH_SIZE - 1, options(pure, nomem, nostack));
        };
        // SAFETY: the bytes are inside the copy; see above for the rest.
        Some(unsafe { *self.start.add(offset).cast::<T>() })
    }

    #[inline(always)]
    fn verifier_barrier<T>(&self, value: &mut T) {
        settled(value);
    }
}
