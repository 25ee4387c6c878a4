//! Clearing structs without a call to `memset`.

/// Sets all words of a struct to zero, with volatile stores: LLVM would turn plain ones into a call to `memset`, which
/// is a loop over bytes in a BPF program.
#[inline(always)]
pub(crate) fn clear<T: Cleared>(value: &mut T) {
    clear_after::<T, ()>(value);
}

/// Sets all words of a struct to zero, except for its first field, a `First`.
#[inline(always)]
pub(crate) fn clear_after<T: Cleared, First>(value: &mut T) {
    let words = (&raw mut *value).cast::<u64>();
    for i in const { size_of::<First>() / size_of::<u64>() }..const { size_of::<T>() / size_of::<u64>() } {
        // SAFETY: the index is within the struct, and zero is valid for every field.
        unsafe { words.add(i).write_volatile(0) };
    }
}

/// Structs that consist of whole words and may be all zero.
///
/// # Safety
/// Size and alignment are multiples of 8, and zero is valid for every field.
pub(crate) unsafe trait Cleared {}
