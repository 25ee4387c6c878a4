//! Single packets from the kernel: what is wanted, the events, and what was kept back or lost.

use std::borrow::Borrow;
use std::os::fd::AsRawFd as _;

use aya::maps::{Array, MapData, MapError, PerCpuArray, RingBuf};
use aya::{Ebpf, Pod};
use observer_common::event::{Flow, STEPS, Step, TraceConfig, WHYS, Why};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::{KernelError, chain};
use super::live::Live;

/// A map's value as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Value<T>(T);
// SAFETY: only made of structs of integers that are `repr(C)` and have no padding.
unsafe impl<T: Copy + 'static> Pod for Value<T> {}

/// What became of the packets of one reason, on all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sent to user space.
    pub sent: u64,
    /// Kept back by the rate limit.
    pub suppressed: u64,
    /// Lost, because the ring buffer was full.
    pub lost: u64,
}

/// The stream of events.
pub struct Trace {
    ring: AsyncFd<RingBuf<MapData>>,
    flows: PerCpuArray<MapData, Value<Flow>>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("ring", &self.ring.as_raw_fd()).finish_non_exhaustive()
    }
}

fn trouble(operation: &'static str, object: &str, error: &dyn std::error::Error) -> KernelError {
    KernelError::new(operation, object, chain(error), "build Observer again")
}

/// From now on the programs send what `wanted` says, as far as the filter's steps let it through.
///
/// # Errors
/// A map is missing or cannot be written.
pub fn want(ebpf: &mut Ebpf, wanted: TraceConfig, steps: &[Step]) -> Result<(), KernelError> {
    let mut program = [Step::default(); STEPS];
    for (to, from) in program.iter_mut().zip(steps) {
        *to = *from;
    }
    let map = |error: MapError| trouble("open", "the maps of single packets", &error);
    let write = |error: MapError| trouble("write", "the filter of single packets", &error);
    // Borrowed, not taken: programs that are loaded later need them open.
    let filter = ebpf.map_mut("FILTER").ok_or_else(|| missing("FILTER"))?;
    let mut filter: Array<_, Value<[Step; STEPS]>> = Array::try_from(filter).map_err(map)?;
    filter.set(0, Value(program), 0).map_err(write)?;
    // Last: with it the programs begin to send.
    let asked = ebpf.map_mut("TRACE_CONFIG").ok_or_else(|| missing("TRACE_CONFIG"))?;
    let mut asked: Array<_, Value<TraceConfig>> = Array::try_from(asked).map_err(map)?;
    let steps = u32::try_from(steps.len()).unwrap_or(0);
    asked.set(0, Value(TraceConfig { steps, ..wanted }), 0).map_err(write)
}

/// What became of the packets of programs that send to nobody, by reason.
///
/// # Errors
/// The map is missing or cannot be read.
pub fn tallies(ebpf: &Ebpf) -> Result<[(Why, Tally); WHYS], KernelError> {
    let flows = ebpf.map("FLOWS").ok_or_else(|| missing("FLOWS"))?;
    let flows = PerCpuArray::try_from(flows);
    sums(&flows.map_err(|error| trouble("open", "the maps of single packets", &error))?)
}

fn sums<M: Borrow<MapData>>(
    flows: &PerCpuArray<M, Value<Flow>>,
) -> Result<[(Why, Tally); WHYS], KernelError> {
    let mut tallies = [(Why::WouldDrop, Tally::default()); WHYS];
    for (nth, (to, why)) in tallies.iter_mut().zip(Why::ALL).enumerate() {
        let nth = u32::try_from(nth).unwrap_or(0);
        let flows = flows.get(&nth, 0).map_err(|error| trouble("read", "map FLOWS", &error))?;
        to.0 = *why;
        for Value(flow) in flows.iter() {
            to.1.sent += flow.sent;
            to.1.suppressed += flow.suppressed;
            to.1.lost += flow.lost;
        }
    }
    Ok(tallies)
}

fn missing(name: &str) -> KernelError {
    KernelError::new("find", format!("map {name}"), "the built-in object has none", "build Observer again")
}

impl Trace {
    /// Begins: from now on what `wanted` says is sent, as far as the filter's steps let it through.
    ///
    /// # Errors
    /// A map is missing or cannot be written.
    pub fn start(live: &mut Live, wanted: TraceConfig, steps: &[Step]) -> Result<Self, KernelError> {
        let ebpf = live.ebpf();
        let mut take = |name: &'static str| ebpf.take_map(name).ok_or_else(|| missing(name));
        let map = |error: MapError| trouble("open", "the maps of single packets", &error);
        let ring = RingBuf::try_from(take("TRACE")?).map_err(map)?;
        let flows = PerCpuArray::try_from(take("FLOWS")?).map_err(map)?;
        want(ebpf, wanted, steps)?;
        // SAFETY: the ring buffer owns its descriptor, and keeps it open as long as it lives.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(|error| trouble("wait for", "events", &error))?;
        Ok(Self { ring, flows })
    }

    /// Waits until there may be events.
    ///
    /// # Errors
    /// The event loop's own.
    pub async fn ready(&mut self) -> Result<(), KernelError> {
        let mut ready =
            self.ring.readable_mut().await.map_err(|error| trouble("wait for", "events", &error))?;
        ready.clear_ready();
        Ok(())
    }

    /// The next event's bytes, if one is there.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.ring.get_mut().next().map(|item| item.to_vec())
    }

    /// What became of the packets, by reason.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn tallies(&self) -> Result<[(Why, Tally); WHYS], KernelError> {
        sums(&self.flows)
    }
}
