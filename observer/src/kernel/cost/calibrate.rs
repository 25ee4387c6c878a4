//! The time that the measurement itself takes.

use aya::Ebpf;
use aya::maps::Array;
use aya::programs::{Program, TestRun as _, TestRunOptions};
use observer_common::cost::{SpanStats, lower_bound};

use super::object::attach;
use crate::kernel::maps::Shared;

/// The event at which the measurement measures itself: only test runs cause it.
const TEST_EVENT: &str = "bpf_test_finish";
/// Number of test runs.
const CALIBRATIONS: u32 = 400;

/// The time between two programs at one event, in ns: the median.
pub(super) fn calibrate(ebpf: &mut Ebpf) -> Option<u64> {
    let mut links = Vec::new();
    for name in ["cost_gap_begin", "cost_gap_end"] {
        match attach(ebpf, name, TEST_EVENT) {
            Ok(link) => links.push((name, link)),
            Err(cause) => log::debug!("{name}: {cause}"),
        }
    }
    let ran = links.len() == 2 && trigger(ebpf).is_some();
    for (name, link) in links {
        if let Some(Program::RawTracePoint(program)) = ebpf.program_mut(name)
            && let Err(error) = program.detach(link)
        {
            log::debug!("{name}: {error}");
        }
    }
    if !ran {
        return None;
    }
    let gaps = Array::<_, Shared<SpanStats>>::try_from(ebpf.map("GAPS")?).ok()?;
    let Shared(gaps) = gaps.get(&0, 0).ok()?;
    let mut below = 0;
    (0..).zip(gaps.buckets).find_map(|(index, count)| {
        below += count;
        (below * 2 > gaps.skbs).then(|| u64::midpoint(lower_bound(index), lower_bound(index + 1)))
    })
}

/// Causes the event.
fn trigger(ebpf: &mut Ebpf) -> Option<()> {
    let Some(Program::Xdp(program)) = ebpf.program_mut("cost_event") else { return None };
    program.load().inspect_err(|error| log::debug!("cost_event: {error}")).ok()?;
    for _ in 0..CALIBRATIONS {
        let mut options = TestRunOptions::new();
        options.data_in = Some(&[0; 64]);
        program.test_run(options).inspect_err(|error| log::debug!("cost_event: {error}")).ok()?;
    }
    Some(())
}
