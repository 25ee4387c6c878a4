//! Maps and tracepoint programs of the object that measures the cost.

use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::maps::Map;
use aya::programs::raw_trace_point::RawTracePointLinkId;

use super::windows::Watch;
use crate::kernel::error::{KernelError, chain, missing};
use crate::kernel::load::raw_tracepoint;

/// A map, for reading.
pub(super) fn read_only<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a Map, KernelError> {
    ebpf.map(name).ok_or_else(|| missing("map", name))
}

/// A map, for writing.
pub(super) fn map<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Map, KernelError> {
    ebpf.map_mut(name).ok_or_else(|| missing("map", name))
}

/// Loads a program that is attached in windows, and attaches it once to see whether that works.
pub(super) fn watch(ebpf: &mut Ebpf, name: &'static str, event: &str) -> Result<Watch, String> {
    let program = raw_tracepoint(ebpf, name).map_err(|error| error.cause)?;
    let fd = program.fd().map_err(|error| chain(&error))?.as_fd().try_clone_to_owned();
    fd.and_then(|fd| Watch::new(fd, event)).map_err(|error| error.to_string())
}

/// Loads and attaches a program.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    name: &'static str,
    event: &str,
) -> Result<RawTracePointLinkId, String> {
    let program = raw_tracepoint(ebpf, name).map_err(|error| error.cause)?;
    program.attach(event).map_err(|error| chain(&error))
}
