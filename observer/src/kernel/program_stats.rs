//! Run time of the programs, from the kernel's BPF statistics. They add 20 to 30 ns to each run, so they are on
//! only on request.

use std::os::fd::OwnedFd;

use aya::Ebpf;
use aya::programs::{Program as Loaded, ProgramInfo};
use aya::sys::{Stats, enable_stats};

use super::error::{KernelError, chain};
use crate::snapshot::Program;

/// The kernel's BPF statistics.
#[derive(Debug, Default)]
pub struct Statistics {
    /// The kernel turns them off when the last such descriptor is closed.
    enabled: Option<OwnedFd>,
}

impl Statistics {
    /// Turns them on or off. Other processes may keep them on.
    ///
    /// # Errors
    /// The kernel refused (before 5.8, or without `CAP_SYS_ADMIN`).
    pub fn switch(&mut self, on: bool) -> Result<(), KernelError> {
        if !on {
            self.enabled = None;
        } else if self.enabled.is_none() {
            let enabled = enable_stats(Stats::RunTime).map_err(|error| {
                KernelError::new(
                    "enable",
                    "the kernel's BPF statistics",
                    chain(&error),
                    "use Linux 5.8 or newer and grant CAP_SYS_ADMIN, or go without the programs' run time",
                )
            })?;
            self.enabled = Some(enabled);
        }
        Ok(())
    }

    /// Run time of each loaded program; empty, without a system call, while they are off.
    pub(super) fn read<'a>(&self, objects: impl IntoIterator<Item = &'a Ebpf>) -> Vec<Program> {
        if self.enabled.is_none() {
            return Vec::new();
        }
        let mut costs: Vec<Program> = objects
            .into_iter()
            .flat_map(Ebpf::programs)
            .filter_map(|(name, program)| {
                let info = info(program)?;
                Some(Program { name: name.to_owned(), runs: info.run_count(), run_time: info.run_time() })
            })
            .collect();
        costs.sort_by(|a, b| a.name.cmp(&b.name));
        costs
    }
}

/// `None` for a program that is not loaded.
fn info(program: &Loaded) -> Option<ProgramInfo> {
    match program {
        Loaded::SchedClassifier(program) => program.info().ok(),
        Loaded::Xdp(program) => program.info().ok(),
        Loaded::RawTracePoint(program) => program.info().ok(),
        _ => None,
    }
}
