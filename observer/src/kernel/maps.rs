//! What all maps have in common.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{Array, MapError};
use aya::util::nr_cpus;
use aya::{Ebpf, Pod};
use observer_common::abi::{
    BlockFacts, BlockKey, Config, DEVICE_PROBES, DEVICE_TABLE, DeviceFacts, Events, PeerFacts, Totals,
};
use observer_common::address::Address;
use observer_common::cost::{CostConfig, CpuState, Discarded, DropKey, OffloadStats, SpanStats, TcpStats};
use observer_common::drops::DropConfig;
use observer_common::event::{Flow, Step, TraceConfig};
use observer_common::hook_rtt::{RttDevice, RttStats};
use observer_common::path::{PathKey, UnknownPeer};

use super::error::{KernelError, chain, missing};

/// A key or value that the programs and user space share.
///
/// # Safety
/// Integers only, `repr(C)`, with explicit padding: any bytes are a value, and none is uninitialised.
pub(super) unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($shared:ty),* $(,)?) => {
        // SAFETY: the shared structs are `repr(C)` and hold integers with explicit padding.
        $(unsafe impl Plain for $shared {})*
    };
}

plain!(
    u8,
    u64,
    Address,
    CpuState,
    BlockFacts,
    BlockKey,
    Config,
    CostConfig,
    DeviceFacts,
    Discarded,
    DropConfig,
    DropKey,
    Events,
    Flow,
    OffloadStats,
    PathKey,
    PeerFacts,
    RttDevice,
    RttStats,
    SpanStats,
    Step,
    TcpStats,
    Totals,
    UnknownPeer,
    TraceConfig,
);
// SAFETY: an array has no padding that its elements do not have.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// A [`Plain`] in the form that aya takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Shared<T>(pub(super) T);

// SAFETY: transparent around a type of which any bytes are a value.
unsafe impl<T: Plain> Pod for Shared<T> {}

/// Why a map could not be used.
pub(super) fn failed(operation: &'static str, map: &'static str) -> impl Fn(MapError) -> KernelError {
    move |error| {
        KernelError::new(
            operation,
            format!("map {map}"),
            chain(&error),
            "see `dmesg`; if the table is full, raise its limit (--max-paths, --max-peers, --max-blocks)",
        )
    }
}

/// Writes a map of one value. The map stays in the object: programs that are loaded later need it open.
pub(super) fn write<T: Plain>(ebpf: &mut Ebpf, name: &'static str, value: T) -> Result<(), KernelError> {
    let map = ebpf.map_mut(name).ok_or_else(|| missing("map", name))?;
    let mut map = Array::<_, Shared<T>>::try_from(map).map_err(failed("open", name))?;
    map.set(0, Shared(value), 0).map_err(failed("write", name))
}

/// A free index for an interface in a device table, which the programs probe from the interface index on.
///
/// # Errors
/// Other devices have taken all of them.
pub(super) fn device_place(places: &BTreeMap<u32, u32>, ifindex: u32) -> Result<u32, KernelError> {
    let taken: BTreeSet<u32> =
        places.iter().filter(|(index, _)| **index != ifindex).map(|(_, place)| *place).collect();
    (0..DEVICE_PROBES)
        .map(|probe| ifindex.wrapping_add(probe) & (DEVICE_TABLE - 1))
        .find(|place| !taken.contains(place))
        .ok_or_else(|| {
            KernelError::new(
                "watch",
                format!("interface {ifindex}"),
                "too many watched devices have neighbouring interface indices",
                "watch fewer devices",
            )
        })
}

/// The number of possible CPUs.
///
/// # Errors
/// `/sys` does not give it.
pub fn possible_cpus() -> Result<u32, KernelError> {
    let cpus = nr_cpus().map_err(|(_, error)| {
        KernelError::new("count", "the possible CPUs", error.to_string(), "mount /sys")
    })?;
    Ok(u32::try_from(cpus).unwrap_or(u32::MAX))
}
