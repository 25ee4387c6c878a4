//! Runs Observer's programs with `BPF_PROG_TEST_RUN`, interleaved with baselines.

use anyhow::{Context as _, Result, bail};
use aya::programs::{Program, TestRun as _, TestRunOptions};
use observer::kernel::{Capacities, Programs, Tables, entry};
use observer_common::kind::{Class, Direction};
use observer_testing::memory::size_class_table;
use observer_testing::node::{Node, OTHER_SLOT, TUNNEL_SLOT, UNDERLAY_SLOT};

use crate::clock::{median, thread_time};
use crate::noise;

/// Runs before the first measurement.
pub const WARM_UP: u32 = 20_000;
/// Runs per sample: a few tenths of a millisecond.
const SAMPLE_RUNS: u32 = 5_000;

/// Size of `struct __sk_buff` and offsets of fields that a run may set (include/uapi/linux/bpf.h).
const SK_BUFF: usize = 192;
const GSO_SEGS: usize = 164;
const GSO_SIZE: usize = 176;

/// A hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// TC.
    Tc,
    /// XDP.
    Xdp,
}

impl Hook {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tc, Self::Xdp];

    /// Its name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tc => "TC",
            Self::Xdp => "XDP",
        }
    }

    /// Observer's program here.
    pub const fn ours(self, direction: Direction) -> &'static str {
        match (self, direction) {
            (Self::Tc, Direction::Ingress) => entry::INGRESS,
            (Self::Tc, Direction::Egress) => entry::EGRESS,
            (Self::Xdp, _) => entry::XDP,
        }
    }
}

/// A packet to run programs on.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its bytes.
    pub bytes: Vec<u8>,
    context: Option<Vec<u8>>,
}

impl Packet {
    /// A packet without GSO.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, context: None }
    }

    /// As a super-packet with `gso_segs` and `gso_size`, which only TC has.
    pub fn segments(mut self, segs: u32, size: u32) -> Self {
        let mut context = vec![0; SK_BUFF];
        context[GSO_SEGS..][..4].copy_from_slice(&segs.to_ne_bytes());
        context[GSO_SIZE..][..4].copy_from_slice(&size.to_ne_bytes());
        self.context = Some(context);
        self
    }
}

/// Nanoseconds per packet.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// By this thread's CPU time around the call.
    pub cpu: f64,
    /// By the kernel's own clock inside.
    pub kernel: f64,
    /// Runs of the program, including those of discarded samples.
    pub runs: u64,
}

/// Cost of several programs over several rounds.
pub struct Costs {
    rounds: Vec<Vec<Cost>>,
    runs: Vec<u64>,
}

impl Costs {
    /// No rounds yet, of `count` programs.
    pub fn of(count: usize) -> Self {
        Self { rounds: vec![Vec::new(); count], runs: vec![0; count] }
    }

    /// Runs each program once more, in an order that depends on the round.
    ///
    /// # Errors
    /// Those of `run`, which gets an index and the number of runs.
    pub fn add_round(
        &mut self,
        round: usize,
        repeat: u32,
        mut run: impl FnMut(usize, u32) -> Result<Cost>,
    ) -> Result<()> {
        let count = self.rounds.len();
        for turn in 0..count {
            let index = (round + turn) % count;
            let cost = run(index, repeat)?;
            self.runs[index] += cost.runs;
            self.rounds[index].push(cost);
        }
        Ok(())
    }

    /// Total runs of the program at `index`.
    pub fn runs(&self, index: usize) -> u64 {
        self.runs[index]
    }

    /// Median cost of the program at `index`.
    pub fn median(&self, index: usize) -> Cost {
        let of = |value: fn(&Cost) -> f64| median(&self.rounds[index].iter().map(value).collect::<Vec<_>>());
        Cost { cpu: of(|cost| cost.cpu), kernel: of(|cost| cost.kernel), runs: self.runs[index] }
    }

    /// Median CPU time of one program above another.
    pub fn above(&self, index: usize, floor: usize) -> f64 {
        self.median(index).cpu - self.median(floor).cpu
    }
}

/// Number of measurements.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// Runs of each program per round.
    pub repeat: u32,
}

/// Observer's programs, loaded.
pub struct Ours {
    /// The programs.
    pub programs: Programs,
    /// Their maps.
    pub tables: Tables,
}

impl Ours {
    /// Loads them.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn load(capacities: Capacities) -> Result<Self> {
        let mut programs = Programs::load(capacities)?;
        for name in [entry::INGRESS, entry::EGRESS] {
            programs.classifier(name)?;
        }
        programs.xdp(entry::XDP)?;
        let mut tables = Tables::take(&mut programs.ebpf)?;
        tables.set_size_classes(&size_class_table())?;
        Ok(Self { programs, tables })
    }

    /// Fills the maps for a node and clears all counters.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn prepare(&mut self, node: &Node) -> Result<()> {
        self.tables.reset(&[UNDERLAY_SLOT, TUNNEL_SLOT, OTHER_SLOT])?;
        self.tables.set_config(&node.config)?;
        self.tables.set_peers(&node.peers, &node.blocks)?;
        self.tables.set_device(&node.device)?;
        Ok(())
    }

    /// One of the programs.
    ///
    /// # Errors
    /// There is no program of that name.
    pub fn program(&self, name: &str) -> Result<&Program> {
        self.programs.ebpf.program(name).with_context(|| format!("Observer has no program {name}"))
    }

    /// Packets counted in `slot`, `direction` and `class`.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn packets(&self, slot: u16, direction: Direction, class: Class) -> Result<u64> {
        let totals = self.tables.totals(slot, direction, class)?;
        Ok(totals.counters[observer_common::counters::Total::Packets as usize])
    }
}

/// Runs a program on a packet `repeat` times, and repeats samples that were disturbed ([`noise`]).
///
/// # Errors
/// The kernel refused.
pub fn run(program: &Program, packet: &Packet, repeat: u32) -> Result<Cost> {
    in_samples(repeat, SAMPLE_RUNS, |repeat| once(program, packet, repeat))
}

/// Runs something `repeat` times in samples of `size`, and repeats samples that were disturbed.
///
/// # Errors
/// Those of `once`, which gets the number of runs.
pub fn in_samples(repeat: u32, size: u32, once: impl Fn(u32) -> Result<Cost>) -> Result<Cost> {
    let mut sum = Cost { cpu: 0.0, kernel: 0.0, runs: 0 };
    let mut left = repeat;
    while left > 0 {
        let now = left.min(size);
        let mut dropped = 0;
        let cost = noise::measure(|| once(now), |cost| dropped += cost.runs)?;
        let share = f64::from(now) / f64::from(repeat);
        sum.cpu += cost.cpu * share;
        sum.kernel += cost.kernel * share;
        sum.runs += dropped + cost.runs;
        left -= now;
    }
    Ok(sum)
}

/// Runs a program on a packet `repeat` times, without checking for disturbances.
///
/// # Errors
/// The kernel refused.
pub fn once(program: &Program, packet: &Packet, repeat: u32) -> Result<Cost> {
    let mut options = TestRunOptions::new();
    options.data_in = Some(&packet.bytes);
    options.ctx_in = packet.context.as_deref();
    options.repeat = repeat;
    let start = thread_time();
    let result = match program {
        Program::SchedClassifier(program) => program.test_run(options),
        Program::Xdp(program) => program.test_run(options),
        _ => bail!("cannot run a program that is neither for TC nor for XDP"),
    };
    let time = thread_time() - start;
    let result = result.context("cannot run the program on the packet")?;
    let (cpu, kernel) = (time as f64 / f64::from(repeat), result.duration.as_nanos() as f64);
    Ok(Cost { cpu, kernel, runs: u64::from(repeat) })
}

/// Warms up `count` programs, then runs them interleaved in an order that rotates from round to round, so
/// that other load on the machine affects all of them equally.
///
/// # Errors
/// Those of `run`, which gets an index and the number of runs.
pub fn interleaved(
    count: usize,
    effort: Effort,
    mut run: impl FnMut(usize, u32) -> Result<Cost>,
) -> Result<Costs> {
    let mut costs = Costs::of(count);
    for index in 0..count {
        costs.runs[index] += run(index, WARM_UP)?.runs;
    }
    for round in 0..effort.rounds {
        costs.add_round(round, effort.repeat, &mut run)?;
    }
    Ok(costs)
}
