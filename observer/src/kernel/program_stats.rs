//! What our programs cost, as the kernel counts it: only while its BPF statistics are on, because
//! counting costs 20 to 30 ns per run itself.

use std::os::fd::OwnedFd;

use aya::Ebpf;
use aya::programs::{Program as Loaded, ProgramInfo};
use aya::sys::{Stats, enable_stats};

use super::error::{KernelError, chain};
use crate::snapshot::Program;

/// The kernel's BPF statistics, held on for as long as somebody wants them.
#[derive(Debug, Default)]
pub struct Statistics {
    /// The kernel switches them off again when the last of these is closed.
    held: Option<OwnedFd>,
}

impl Statistics {
    /// Switches them on or lets go of them. Others may still hold them on.
    ///
    /// # Errors
    /// The kernel refused (before 5.8, or without `CAP_SYS_ADMIN`).
    pub fn switch(&mut self, on: bool) -> Result<(), KernelError> {
        if !on {
            self.held = None;
        } else if self.held.is_none() {
            let held = enable_stats(Stats::RunTime).map_err(|error| {
                KernelError::new(
                    "switch on",
                    "the kernel's BPF statistics",
                    chain(&error),
                    "they need Linux 5.8 and CAP_SYS_ADMIN; everything else works without",
                )
            })?;
            self.held = Some(held);
        }
        Ok(())
    }

    /// What each loaded program has cost; empty where nobody asked, without a system call.
    pub(super) fn read<'a>(&self, objects: impl IntoIterator<Item = &'a Ebpf>) -> Vec<Program> {
        if self.held.is_none() {
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

/// `None` for a program that is not loaded, because no device needs it.
fn info(program: &Loaded) -> Option<ProgramInfo> {
    match program {
        Loaded::SchedClassifier(program) => program.info().ok(),
        Loaded::Xdp(program) => program.info().ok(),
        Loaded::RawTracePoint(program) => program.info().ok(),
        _ => None,
    }
}
