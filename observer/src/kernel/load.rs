//! Loads the programs.

use std::fmt;
use std::path::Path;

use aya::programs::{Program, ProgramError, RawTracePoint, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use aya_log::EbpfLogger;
use observer_common::abi::{CLASS_STRIDE, MAX_SLOTS, map_name};
use observer_common::path::PATH_SETS;

use super::error::{KernelError, chain, missing};
use super::maps::possible_cpus;
use super::names::{self, entry};
use super::options::Capacities;
use super::sys;

/// The object that `build.rs` compiled.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-ebpf"));

/// The oldest kernel that the programs are tested on.
pub const OLDEST: (u32, u32) = (5, 10);

/// The first kernel with XDP programs for frames in several buffers.
const XDP_FRAGS: (u32, u32) = (5, 18);

/// The size of a loaded program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Instructions that the verifier processed; reported since Linux 5.16.
    pub verified: Option<u32>,
    /// Bytes of its BPF instructions after the kernel's rewriting.
    pub translated: Option<u32>,
    /// Bytes of its machine code; 0 if it is interpreted.
    pub jitted: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verified {
            Some(count) => write!(f, "{count} instructions verified, ")?,
            None => write!(f, "an unknown number of instructions verified, ")?,
        }
        write!(f, "{} bytes of machine code", self.jitted)
    }
}

/// The program of that name and kind, loaded on first use.
macro_rules! loaded {
    ($ebpf:expr, $name:expr, $kind:ident) => {
        match $ebpf.program_mut($name) {
            Some(Program::$kind(program)) => {
                if program.fd().is_err() {
                    program.load().map_err(|error| refused($name, &error))?;
                }
                Ok(program)
            }
            _ => Err(missing("program", $name)),
        }
    };
}

/// The maps, and the programs, which are loaded on first use.
#[derive(Debug)]
pub struct Programs {
    /// Maps and programs.
    pub ebpf: Ebpf,
    /// Capacities of the maps.
    pub capacities: Capacities,
}

impl Programs {
    /// Creates the maps.
    ///
    /// # Errors
    /// Missing capability, kernel too old, or no memory.
    pub fn load(capacities: Capacities) -> Result<Self, KernelError> {
        Self::load_with(capacities, None)
    }

    /// As [`Self::load`], with the maps of [`names::pinned`] pinned in a directory or taken from it.
    pub fn load_with(capacities: Capacities, pins: Option<&Path>) -> Result<Self, KernelError> {
        // Kernels before 5.11 count map memory against this limit. If it cannot be raised, creating a map fails.
        sys::raise_memlock();
        let capacities = Capacities { slots: capacities.slots.clamp(1, MAX_SLOTS), ..capacities };
        let cpus = possible_cpus()?;
        let mut loader = EbpfLoader::new();
        if let Some(directory) = pins {
            for name in names::pinned() {
                loader.map_pin_path(map_name(name), directory.join(name));
            }
        }
        let ebpf = loader
            .map_max_entries("TOTALS", capacities.slots * 2 * CLASS_STRIDE)
            .map_max_entries("EVENTS", capacities.slots * 2)
            .map_max_entries("PATHS", capacities.paths)
            .map_max_entries("PATH_HOT", capacities.paths.saturating_mul(cpus))
            .map_max_entries("PATH_COLD", capacities.paths.saturating_mul(cpus))
            .map_max_entries("PATH_CACHE", PATH_SETS * cpus)
            .map_max_entries("FREE_PATHS", capacities.paths)
            .map_max_entries("PEERS", capacities.peers)
            .map_max_entries("BLOCKS", capacities.blocks)
            .map_max_entries("TRACE", capacities.trace)
            .map_max_entries("LONGER", capacities.longer)
            .verifier_log_level(verifier_log_level())
            .load(OBJECT)
            .map_err(|error| explain("create", "the BPF maps", &error, errno_of_ebpf(&error)))?;
        Ok(Self { ebpf, capacities })
    }

    /// The programs' diagnostics; `None` if the kernel has no ring buffers (before 5.8).
    pub fn logger(&mut self) -> Option<EbpfLogger<&'static dyn log::Log>> {
        EbpfLogger::init(&mut self.ebpf).ok()
    }

    /// Loads a program and returns its size; `None` if it is not for this kernel.
    pub fn size(&mut self, name: &'static str) -> Result<Option<Size>, KernelError> {
        if name == entry::XDP_FRAGS && sys::version().is_none_or(|version| version < XDP_FRAGS) {
            return Ok(None);
        }
        let info = match self.ebpf.program(name) {
            Some(Program::Xdp(_)) => self.xdp(name)?.info(),
            Some(Program::RawTracePoint(_)) => self.raw_tracepoint(name)?.info(),
            _ => self.classifier(name)?.info(),
        };
        let info = info.map_err(|error| refused(name, &error))?;
        Ok(Some(Size {
            verified: info.verified_instruction_count(),
            translated: info.size_translated(),
            jitted: info.size_jitted(),
        }))
    }

    /// A TC program, loaded.
    pub fn classifier(&mut self, name: &'static str) -> Result<&mut SchedClassifier, KernelError> {
        classifier(&mut self.ebpf, name)
    }

    /// A raw-tracepoint program, loaded.
    pub fn raw_tracepoint(&mut self, name: &'static str) -> Result<&mut RawTracePoint, KernelError> {
        raw_tracepoint(&mut self.ebpf, name)
    }

    /// An XDP program, loaded.
    pub fn xdp(&mut self, name: &'static str) -> Result<&mut Xdp, KernelError> {
        xdp(&mut self.ebpf, name)
    }
}

/// A TC program of any object, loaded.
pub(super) fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, KernelError> {
    loaded!(ebpf, name, SchedClassifier)
}

/// A raw-tracepoint program of any object, loaded.
pub(super) fn raw_tracepoint<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut RawTracePoint, KernelError> {
    loaded!(ebpf, name, RawTracePoint)
}

/// An XDP program of any object, loaded.
pub(super) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, KernelError> {
    loaded!(ebpf, name, Xdp)
}

/// The verifier's full log takes seconds, so it is written for `--log debug` only.
pub(super) fn verifier_log_level() -> VerifierLogLevel {
    if log::log_enabled!(log::Level::Debug) {
        VerifierLogLevel::DEBUG | VerifierLogLevel::STATS
    } else {
        VerifierLogLevel::STATS
    }
}

fn refused(name: &str, error: &ProgramError) -> KernelError {
    if let ProgramError::LoadError { verifier_log, .. } = error {
        log::debug!("{name}: verifier log: {verifier_log}");
    }
    let object = format!("program {name}");
    match error {
        // The verifier rejects with EACCES, EINVAL or E2BIG and a log.
        ProgramError::LoadError { io_error, verifier_log } if !verifier_log.to_string().is_empty() => {
            let release = sys::release();
            let cause = format!("the verifier of kernel {release} rejected it ({io_error})");
            KernelError::new("load", object, cause, "report this with the output of `--log debug`")
        }
        ProgramError::LoadError { io_error, .. } => explain("load", &object, error, io_error.raw_os_error()),
        _ => explain("load", &object, error, None),
    }
}

fn errno_of_ebpf(error: &EbpfError) -> Option<i32> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.raw_os_error();
        }
        next = error.source();
    }
    None
}

/// An error with the meaning of the kernel's error number.
pub(super) fn explain(
    operation: &'static str,
    object: &str,
    error: &dyn std::error::Error,
    errno: Option<i32>,
) -> KernelError {
    let release = sys::release();
    let (cause, remedy) = match errno {
        Some(libc::EPERM | libc::EACCES) => (
            "permission denied".to_owned(),
            "run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON".to_owned(),
        ),
        Some(libc::ENOMEM) => (
            "out of memory, or the locked-memory limit is too low".to_owned(),
            "raise RLIMIT_MEMLOCK (`ulimit -l unlimited`) or lower --max-paths and --max-devices".to_owned(),
        ),
        _ if sys::version().is_some_and(|version| version < OLDEST) => {
            (format!("kernel {release} is too old"), format!("use Linux {}.{} or newer", OLDEST.0, OLDEST.1))
        }
        _ => (chain(error), format!("see the verifier's log with `--log debug` (kernel {release})")),
    };
    KernelError::new(operation, object, cause, remedy)
}
