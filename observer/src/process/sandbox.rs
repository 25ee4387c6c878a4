//! Drops privileges that a process with an open port should not have: all capabilities but three, and all
//! system calls that the exporter does not need.

use std::collections::BTreeMap;

use caps::{CapSet, Capability, CapsHashSet};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// Capabilities to create maps and load programs, to attach them, and to use packet pointers. Also needed after
/// the start, for new devices and lost hooks.
const KEPT: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];

/// A privilege could not be dropped.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {cause}; use --no-sandbox to run without the sandbox")]
pub struct SandboxError {
    what: &'static str,
    cause: String,
}

/// Drops all capabilities but three from every set of this thread and of the threads that it starts, and prevents
/// it from regaining any.
///
/// # Errors
/// The kernel refused.
pub fn drop_capabilities() -> Result<(), SandboxError> {
    let failed =
        |error: caps::errors::CapsError| SandboxError { what: "drop capabilities", cause: error.to_string() };
    let keep: CapsHashSet = KEPT.into_iter().collect();
    // Kernels without ambient capabilities (before 4.3) are too old for us anyway.
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    // Needs CAP_SETPCAP. Without it, no_new_privs (below) still prevents the process from gaining any.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(failed)? {
        let bounding = caps::read(None, CapSet::Bounding).map_err(failed)?;
        for capability in bounding.difference(&keep) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(failed)?;
        }
    }
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept: CapsHashSet = permitted.intersection(&keep).copied().collect();
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    // SAFETY: changes a flag of this thread.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        let cause = std::io::Error::last_os_error().to_string();
        return Err(SandboxError { what: "set no_new_privs", cause });
    }
    Ok(())
}

/// Makes every system call outside the list fail with EPERM, in all current and future threads.
///
/// # Errors
/// The kernel refused.
pub fn filter_system_calls() -> Result<(), SandboxError> {
    let failed = |error: &dyn std::error::Error| SandboxError {
        what: "filter system calls",
        cause: error.to_string(),
    };
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| failed(&error))?;
    let rules: BTreeMap<i64, _> = COMMON.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| failed(&error))?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| failed(&error))
}

/// Needed on every architecture.
const COMMON: &[libc::c_long] = &[
    // Programs, maps, links.
    libc::SYS_bpf,
    // Files: pins, /proc, /sys, certificates, the configuration.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_newfstatat,
    libc::SYS_statfs,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_ioctl,
    // Netlink, HTTP, systemd.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    // Memory.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads (there is no execve), signals, exit.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_prctl,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Information.
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_uname,
    libc::SYS_sysinfo,
];

/// Older forms, which C libraries still use on x86_64.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_readlink,
];
/// Newer architectures do not have them.
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];
