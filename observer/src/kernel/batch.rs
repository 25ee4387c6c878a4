//! Reads whole maps in few system calls: `BPF_MAP_LOOKUP_BATCH` (Linux 5.6), which aya lacks. One by one, an
//! entry takes two calls.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use aya::Pod;

use super::sys::{Command, bpf};

/// The kernel's answer if a map has no batch operations (include/linux/errno.h).
const ENOTSUPP: i32 = 524;
/// Memory for the entries of one call, bytes.
const MEMORY: usize = 64 << 10;
/// A larger hash bucket is not one of Observer's.
const MOST: usize = 1 << 20;

/// The part of `union bpf_attr` that the call uses (include/uapi/linux/bpf.h).
#[repr(C)]
struct Attr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Reads a map from its start.
pub struct Batch<K, V> {
    map: OwnedFd,
    /// Buffers for one call, kept between readings.
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K: Pod, V: Pod> Batch<K, V> {
    /// A reader of a map that is not per-CPU; `key` and `value` initialise the buffers.
    pub fn new(map: OwnedFd, key: K, value: V) -> Self {
        let entries = MEMORY / (size_of::<K>() + size_of::<V>());
        Self { map, keys: vec![key; entries], values: vec![value; entries] }
    }

    /// Calls `each` for every entry; false if the kernel does not support it.
    ///
    /// An entry that is added meanwhile may be missing; none is passed twice.
    pub fn read(&mut self, mut each: impl FnMut(&K, &V)) -> io::Result<bool> {
        // Where the next call continues: opaque, a bucket number.
        let mut position = [0_u64; 4];
        let mut first = true;
        loop {
            let (count, result) = self.call(&mut position, first);
            match result {
                Err(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP) if first => return Ok(false),
                Err(libc::ENOSPC) if self.keys.len() < MOST => {
                    let (key, value) = (self.keys[0], self.values[0]);
                    self.keys.resize(self.keys.len() * 2, key);
                    self.values.resize(self.values.len() * 2, value);
                    continue;
                }
                Err(libc::EINTR) => continue,
                Ok(()) | Err(libc::ENOENT) => {}
                Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
            self.keys.iter().zip(&self.values).take(count).for_each(|(key, value)| each(key, value));
            if result.is_err() {
                return Ok(true);
            }
            first = false;
        }
    }

    /// One call from `position` on: the number of entries, and `ENOENT` if they are the last.
    fn call(&mut self, position: &mut [u64; 4], first: bool) -> (usize, Result<(), i32>) {
        let before = *position;
        let mut attr = Attr {
            in_batch: if first { 0 } else { (&raw const before) as u64 },
            out_batch: position.as_mut_ptr() as u64,
            keys: self.keys.as_mut_ptr() as u64,
            values: self.values.as_mut_ptr() as u64,
            count: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            map: self.map.as_raw_fd().cast_unsigned(),
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: the kernel writes up to `count` keys and values, for which both vectors have room; any bytes
        // are a `Pod`, and all pointers are valid during the call.
        let result = unsafe { bpf(Command::MapLookupBatch, &mut attr) };
        let result = result.map(|_| ()).map_err(|error| error.raw_os_error().unwrap_or(0));
        // Only these two set the count.
        let count = if matches!(result, Ok(()) | Err(libc::ENOENT)) { attr.count as usize } else { 0 };
        (count.min(self.keys.len()), result)
    }
}
