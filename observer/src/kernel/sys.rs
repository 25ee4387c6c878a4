//! The few system calls that no library in use makes the way we need them.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use observer_common::kind::Direction;

use super::error::KernelError;

/// Tries to lift the limit on locked memory; where that is refused, nothing is lost on kernels from
/// 5.11 on.
pub fn raise_memlock() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the struct is valid for the duration of the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) } != 0 {
        log::debug!("RLIMIT_MEMLOCK stays as it is: {}", io::Error::last_os_error());
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

/// Time since the machine started, suspended or not.
pub fn boottime() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is valid for the duration of the call, and the clock exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    std::time::Duration::new(time.tv_sec.unsigned_abs(), nanoseconds)
}

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_TYPE_ARRAY: u32 = 2;

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

/// Creates an array map.
///
/// # Errors
/// The kernel's own.
pub fn create_array(name: &str, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    let mut attr =
        MapCreate { kind: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size, max_entries, ..MapCreate::default() };
    for (to, from) in attr.name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the attribute is valid for the duration of the call, zeros beyond what is set.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const attr, size_of::<MapCreate>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn uname() -> Option<libc::utsname> {
    // SAFETY: all zeros is a value of the struct, and the call fills it.
    unsafe {
        let mut name: libc::utsname = std::mem::zeroed();
        (libc::uname(&raw mut name) == 0).then_some(name)
    }
}

fn text(field: &[libc::c_char]) -> String {
    // SAFETY: uname ends every field with a zero byte.
    unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
}

/// The kernel's release, `6.18.44-…`.
pub fn release() -> String {
    uname().map_or_else(|| "unknown".to_owned(), |name| text(&name.release))
}

/// The node's name.
pub fn node_name() -> String {
    uname().map_or_else(|| "unknown".to_owned(), |name| text(&name.nodename))
}

/// The kernel's version, major and minor.
pub fn version() -> Option<(u32, u32)> {
    parse_version(&release())
}

fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`.
pub fn monotonic() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is valid for the duration of the call, which cannot fail with this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    std::time::Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_XDP: u32 = 37;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const BPF_F_BEFORE: u32 = 1 << 3;

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads (include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 6],
}

/// Attaches an XDP program by a link, in native mode, and in no other way: where the kernel refuses the
/// link, aya would silently fall back to netlink, and what is attached so outlives a kill.
///
/// # Errors
/// `EBUSY`/`EEXIST`: somebody owns the hook. `EOPNOTSUPP`: the driver has no native XDP.
pub fn attach_xdp(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<OwnedFd> {
    create_link(program, ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE)
}

/// Attaches a TC program by a TCX link, before all others of that direction. By our own call, because the
/// link's descriptor is what tells later whether it is still attached: listing the programs of a hook
/// needs CAP_SYS_ADMIN.
///
/// # Errors
/// The kernel's own.
pub fn attach_tcx(program: BorrowedFd<'_>, ifindex: u32, direction: Direction) -> io::Result<OwnedFd> {
    let kind = match direction {
        Direction::Ingress => BPF_TCX_INGRESS,
        Direction::Egress => BPF_TCX_EGRESS,
    };
    create_link(program, ifindex, kind, BPF_F_BEFORE)
}

fn create_link(program: BorrowedFd<'_>, ifindex: u32, kind: u32, flags: u32) -> io::Result<OwnedFd> {
    let attr = LinkCreate {
        program: program.as_raw_fd().cast_unsigned(),
        target: ifindex,
        attach_type: kind,
        flags,
        rest: [0; 6],
    };
    // SAFETY: the attribute is valid for the duration of the call, zeros beyond what is set.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_LINK_CREATE, &raw const attr, size_of::<LinkCreate>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;

/// Attaches a program to a raw tracepoint, for as long as the descriptor is open.
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
    let attr = RawTracepoint {
        name: event.as_ptr() as u64,
        program: program.as_raw_fd().cast_unsigned(),
        padding: 0,
    };
    // SAFETY: the attribute and the name it points to are valid for the duration of the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &raw const attr, size_of::<RawTracepoint>())
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

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
///
/// # Errors
/// The kernel's own.
pub fn link_ifindex(link: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = LinkInfo::default();
    let attr = GetInfo {
        fd: link.as_raw_fd().cast_unsigned(),
        length: size_of::<LinkInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: both structs are valid for the duration of the call, and the length is the second's.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw const attr, size_of::<GetInfo>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info.ifindex) }
}

/// A lock that belongs to the network namespace and ends with the process, however it ends: an
/// abstract Unix socket. Who holds it may treat filters that bear our name as leftovers of the dead.
///
/// Returns `None` where another living process holds it.
pub fn only_one_here() -> Option<std::os::unix::net::UnixListener> {
    use std::os::linux::net::SocketAddrExt as _;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(b"observer-tc-owner").ok()?;
    std::os::unix::net::UnixListener::bind_addr(&address).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases() {
        assert_eq!(parse_version("6.18.44-fc-v509"), Some((6, 18)));
        assert_eq!(parse_version("5.10.0-32-cloud-amd64"), Some((5, 10)));
        assert_eq!(parse_version("7.3-rc1"), Some((7, 3)));
        assert_eq!(parse_version("linux"), None);
    }
}
