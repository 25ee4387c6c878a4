//! System calls. Most go through rustix; `bpf` is made here where no library makes it as needed.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use observer_common::kind::Direction;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::system::uname;
use rustix::time::{ClockId, clock_gettime};

use super::error::KernelError;

/// Tries to lift the limit on locked memory, which kernels before 5.11 apply to maps.
pub fn raise_memlock() {
    if let Err(error) = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }) {
        log::debug!("cannot raise RLIMIT_MEMLOCK: {error}");
    }
}

/// The network namespace of this thread, as its inode.
///
/// # Errors
/// There is no `/proc`.
pub(super) fn netns() -> Result<u64, KernelError> {
    let metadata = std::fs::metadata("/proc/thread-self/ns/net").map_err(|error| {
        KernelError::new("find", "the network namespace", error.to_string(), "mount /proc")
    })?;
    Ok(metadata.ino())
}

/// Time since the machine started, including suspend.
pub fn boottime() -> Duration {
    clock(ClockId::Boottime)
}

/// `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`.
pub fn monotonic() -> Duration {
    clock(ClockId::Monotonic)
}

fn clock(id: ClockId) -> Duration {
    // Neither clock is ever negative.
    Duration::try_from(clock_gettime(id)).unwrap_or_default()
}

/// The kernel's release, `6.18.44-…`.
pub fn release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// The node's name.
pub fn node_name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// The kernel's version, major and minor.
pub fn version() -> Option<(u32, u32)> {
    parse_version(&release())
}

fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The commands of `bpf` in use (include/uapi/linux/bpf.h).
#[derive(Clone, Copy)]
#[repr(i32)]
pub(super) enum Command {
    MapCreate = 0,
    ObjGetInfoByFd = 15,
    RawTracepointOpen = 17,
    MapLookupBatch = 24,
    LinkCreate = 28,
}

/// Makes the system call `bpf`.
///
/// # Safety
/// `attr` is the part of `union bpf_attr` that the command uses, and its pointers are valid.
pub(super) unsafe fn bpf<T>(command: Command, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is valid during the call; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as i32, &raw mut *attr, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// As [`bpf`], for commands that return a descriptor.
unsafe fn bpf_fd<T>(command: Command, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = i32::try_from(unsafe { bpf(command, attr) }?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The part of `union bpf_attr` that `BPF_MAP_CREATE` reads.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner: u32,
    numa_node: u32,
    name: [u8; 16],
    rest: [u32; 19],
}

const BPF_MAP_TYPE_ARRAY: u32 = 2;

/// Creates an array map.
pub fn create_array(name: &str, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    let mut attr =
        MapCreate { kind: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size, max_entries, ..MapCreate::default() };
    for (to, from) in attr.name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the attribute holds no pointers.
    unsafe { bpf_fd(Command::MapCreate, &mut attr) }
}

const BPF_XDP: u32 = 37;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const BPF_F_BEFORE: u32 = 1 << 3;

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 6],
}

/// Attaches an XDP program by a link in native mode. If the kernel refuses the link, aya would fall back to
/// netlink, and a program attached that way outlives a killed process.
///
/// # Errors
/// `EBUSY` or `EEXIST`: the hook is in use. `EOPNOTSUPP`: the driver has no native XDP.
pub fn attach_xdp(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<OwnedFd> {
    create_link(program, ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE)
}

/// Attaches a TC program by a TCX link, ahead of all others of that direction. The link's descriptor shows
/// later whether it is still attached; listing the programs of a hook would need CAP_SYS_ADMIN.
pub fn attach_tcx(program: BorrowedFd<'_>, ifindex: u32, direction: Direction) -> io::Result<OwnedFd> {
    let kind = match direction {
        Direction::Ingress => BPF_TCX_INGRESS,
        Direction::Egress => BPF_TCX_EGRESS,
    };
    create_link(program, ifindex, kind, BPF_F_BEFORE)
}

fn create_link(program: BorrowedFd<'_>, ifindex: u32, kind: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate {
        program: program.as_raw_fd().cast_unsigned(),
        target: ifindex,
        attach_type: kind,
        flags,
        rest: [0; 6],
    };
    // SAFETY: the attribute holds no pointers.
    unsafe { bpf_fd(Command::LinkCreate, &mut attr) }
}

/// Attaches a program to a raw tracepoint until the descriptor is closed.
///
/// # Errors
/// There is no such tracepoint, or the kernel refused.
pub fn raw_tracepoint(program: BorrowedFd<'_>, event: &CStr) -> io::Result<OwnedFd> {
    /// `struct { __u64 name; __u32 prog_fd; } raw_tracepoint` of `union bpf_attr`.
    #[repr(C)]
    struct RawTracepoint {
        name: u64,
        program: u32,
        padding: u32,
    }
    let program = program.as_raw_fd().cast_unsigned();
    let mut attr = RawTracepoint { name: event.as_ptr() as u64, program, padding: 0 };
    // SAFETY: the name is a C string that is valid during the call.
    unsafe { bpf_fd(Command::RawTracepointOpen, &mut attr) }
}

/// `struct bpf_link_info` up to the part of XDP and TCX links, which begin alike.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    ifindex: u32,
    rest: [u32; 27],
}

/// The part of `union bpf_attr` that `BPF_OBJ_GET_INFO_BY_FD` reads.
#[repr(C)]
struct GetInfo {
    fd: u32,
    length: u32,
    info: u64,
}

/// The interface that an XDP or TCX link is attached to; 0 once it was detached.
pub fn link_ifindex(link: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = LinkInfo::default();
    let mut attr = GetInfo {
        fd: link.as_raw_fd().cast_unsigned(),
        length: size_of::<LinkInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: `info` has the given length and is valid during the call.
    unsafe { bpf(Command::ObjGetInfoByFd, &mut attr) }.map(|_| info.ifindex)
}

/// A lock of the network namespace that ends with the process: an abstract Unix socket. Its holder may treat
/// filters with Observer's names as leftovers of a killed process.
///
/// `None` if another process holds it.
pub fn only_one_here() -> Option<UnixListener> {
    let address = SocketAddr::from_abstract_name(b"observer-tc-owner").ok()?;
    UnixListener::bind_addr(&address).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_from_releases() {
        assert_eq!(parse_version("6.18.44-fc-v509"), Some((6, 18)));
        assert_eq!(parse_version("5.10.0-32-cloud-amd64"), Some((5, 10)));
        assert_eq!(parse_version("7.3-rc1"), Some((7, 3)));
        assert_eq!(parse_version("linux"), None);
    }
}
