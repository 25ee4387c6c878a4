//! Single packets from the kernel: what to report, the events, and what was suppressed or lost.

pub mod drops;

use std::borrow::Borrow;
use std::os::fd::AsRawFd as _;

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use observer_common::event::{Flow, STEPS, Step, TraceConfig, WHYS, Why};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::{KernelError, missing};
use super::live::Live;
use super::maps::{self, Shared, failed};

type Flows<M> = PerCpuArray<M, Shared<Flow>>;

/// What happened to the packets of one reason, on all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sent to user space.
    pub sent: u64,
    /// Suppressed by the rate limit.
    pub suppressed: u64,
    /// Lost because the ring buffer was full.
    pub lost: u64,
}

/// The stream of events.
pub struct Trace {
    ring: AsyncFd<RingBuf<MapData>>,
    flows: Flows<MapData>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("ring", &self.ring.as_raw_fd()).finish_non_exhaustive()
    }
}

/// Makes the programs report the packets of `config` that pass the filter's steps.
pub fn configure(ebpf: &mut Ebpf, config: TraceConfig, steps: &[Step]) -> Result<(), KernelError> {
    let mut program = [Step::default(); STEPS];
    for (to, from) in program.iter_mut().zip(steps) {
        *to = *from;
    }
    maps::write(ebpf, "FILTER", program)?;
    // Last: it starts the reports.
    let steps = u32::try_from(steps.len()).unwrap_or(0);
    maps::write(ebpf, "TRACE_CONFIG", TraceConfig { steps, ..config })
}

/// What happened to the packets, by reason, while no [`Trace`] reads the events.
pub fn tallies(ebpf: &Ebpf) -> Result<[(Why, Tally); WHYS], KernelError> {
    let flows = ebpf.map("FLOWS").ok_or_else(|| missing("map", "FLOWS"))?;
    sums(&PerCpuArray::try_from(flows).map_err(failed("open", "FLOWS"))?)
}

fn sums<M: Borrow<MapData>>(flows: &Flows<M>) -> Result<[(Why, Tally); WHYS], KernelError> {
    let mut tallies = [(Why::WouldDrop, Tally::default()); WHYS];
    for (index, ((of, tally), why)) in (0..).zip(tallies.iter_mut().zip(Why::ALL)) {
        *of = *why;
        for Shared(flow) in flows.get(&index, 0).map_err(failed("read", "FLOWS"))?.iter() {
            tally.sent += flow.sent;
            tally.suppressed += flow.suppressed;
            tally.lost += flow.lost;
        }
    }
    Ok(tallies)
}

fn cannot_wait(error: impl std::fmt::Display) -> KernelError {
    KernelError::new("wait for", "events", error.to_string(), "raise the limit on open files (`ulimit -n`)")
}

impl Trace {
    /// Starts to report the packets of `config` that pass the filter's steps.
    pub fn start(live: &mut Live, config: TraceConfig, steps: &[Step]) -> Result<Self, KernelError> {
        let ebpf = &mut live.programs().ebpf;
        let mut take = |name| ebpf.take_map(name).ok_or_else(|| missing("map", name));
        let ring = RingBuf::try_from(take("TRACE")?).map_err(failed("open", "TRACE"))?;
        let flows = PerCpuArray::try_from(take("FLOWS")?).map_err(failed("open", "FLOWS"))?;
        configure(ebpf, config, steps)?;
        // SAFETY: the ring buffer owns its descriptor and keeps it open until it is dropped.
        let ring =
            unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }.map_err(cannot_wait)?;
        Ok(Self { ring, flows })
    }

    /// Waits until there may be events.
    pub async fn ready(&mut self) -> Result<(), KernelError> {
        self.ring.readable_mut().await.map_err(cannot_wait)?.clear_ready();
        Ok(())
    }

    /// The bytes of the next event, if there is one.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.ring.get_mut().next().map(|item| item.to_vec())
    }

    /// What happened to the packets, by reason.
    pub fn tallies(&self) -> Result<[(Why, Tally); WHYS], KernelError> {
        sums(&self.flows)
    }
}
