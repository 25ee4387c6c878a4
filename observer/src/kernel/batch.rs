//! Whole maps in few system calls: `BPF_MAP_LOOKUP_BATCH` (Linux 5.6), which no library in use
//! makes. One by one, an entry costs two calls.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use aya::Pod;

const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
/// What the kernel answers where a map has no batch operations (include/linux/errno.h).
const ENOTSUPP: i32 = 524;
/// Memory for the entries of one call, bytes.
const MEMORY: usize = 64 << 10;
/// A bucket with more entries is no hash of ours.
const MOST: usize = 1 << 20;

/// The part of `union bpf_attr` that the call reads (include/uapi/linux/bpf.h).
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
    /// Room for one call; kept from one reading to the next.
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K: Pod, V: Pod> Batch<K, V> {
    /// A reader of the map behind `map`, which is not per-CPU; `key` and `value` fill the room.
    pub fn new(map: OwnedFd, key: K, value: V) -> Self {
        let entries = MEMORY / (size_of::<K>() + size_of::<V>());
        Self { map, keys: vec![key; entries], values: vec![value; entries] }
    }

    /// Hands every entry to `each`; false where the kernel cannot do that.
    ///
    /// An entry that is entered meanwhile may be missing, none is handed over twice.
    ///
    /// # Errors
    /// The kernel's own.
    pub fn read(&mut self, mut each: impl FnMut(&K, &V)) -> io::Result<bool> {
        // Where the next call goes on: the kernel's own, a bucket number.
        let mut place = [0_u64; 4];
        let mut first = true;
        loop {
            let (count, result) = self.call(&mut place, first);
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

    /// One call from `place` on: how many entries it gave, and `ENOENT` where they were the last.
    fn call(&mut self, place: &mut [u64; 4], first: bool) -> (usize, Result<(), i32>) {
        let before = *place;
        let mut attr = Attr {
            in_batch: if first { 0 } else { (&raw const before) as u64 },
            out_batch: place.as_mut_ptr() as u64,
            keys: self.keys.as_mut_ptr() as u64,
            values: self.values.as_mut_ptr() as u64,
            count: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            map: self.map.as_raw_fd().cast_unsigned(),
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: the kernel writes `count` keys and as many values, for which both vectors have room, and any
        // bytes are a `Pod`; all pointers are valid for the duration of the call.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_LOOKUP_BATCH, &raw mut attr, size_of::<Attr>()) };
        let errno = if result < 0 { io::Error::last_os_error().raw_os_error() } else { None };
        // Only these two say how many they are.
        let count = if matches!(errno, None | Some(libc::ENOENT)) { attr.count as usize } else { 0 };
        (count.min(self.keys.len()), errno.map_or(Ok(()), Err))
    }
}
