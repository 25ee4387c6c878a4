//! Bounded access to a packet's bytes.

use super::headers::Plain;

/// Bounds-checked reads of a packet's bytes. Offsets are from the first byte of the frame.
pub trait Packet {
    /// A copy of the header at `offset`, or `None` if it is incomplete.
    fn read<T: Plain>(&self, offset: u32) -> Option<T>;

    /// The same for a constant offset.
    #[inline(always)]
    fn fixed<T: Plain>(&self, offset: u32) -> Option<T> {
        self.read(offset)
    }

    /// Merges the verifier's states at this point.
    ///
    /// In a BPF program `value` is in a map. The compiler must write it there, and because the verifier does
    /// not track map contents, it continues with one state instead of one per path. Elsewhere this does
    /// nothing.
    #[inline(always)]
    fn verifier_barrier<T>(&self, _value: &mut T) {}
}

/// The first bytes of a frame in a slice: captures, tests, scratch buffers.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a>(pub &'a [u8]);

impl Packet for Slice<'_> {
    #[inline(always)]
    fn read<T: Plain>(&self, offset: u32) -> Option<T> {
        let end = (offset as usize).checked_add(size_of::<T>())?;
        let bytes = self.0.get(offset as usize..end)?;
        // SAFETY: `bytes` has the size of `T`, and any bit pattern is valid for `T: Plain`.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }
}
