//! What is measured, and how: Observer's programs, run by `BPF_PROG_TEST_RUN`, by turns with others.

use anyhow::{Context as _, Result, bail};
use aya::programs::{Program, TestRun as _, TestRunOptions};
use observer::kernel::{Capacities, Programs, Tables, entry};
use observer_common::kind::{Class, Direction};
use observer_testing::memory::size_class_table;
use observer_testing::node::{Node, OTHER_SLOT, TUNNEL_SLOT, UNDERLAY_SLOT};

use crate::clock::{median, thread_time};
use crate::noise;

/// Runs before anything is measured.
pub const WARM_UP: u32 = 20_000;
/// Runs in one piece: some tenths of a millisecond.
const PIECE: u32 = 5_000;

/// `struct __sk_buff` where the fields stand that a run may set (include/uapi/linux/bpf.h).
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
    /// A plain one.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, context: None }
    }

    /// As a super-packet: `gso_segs` and `gso_size`, which only TC knows.
    pub fn segments(mut self, segs: u32, size: u32) -> Self {
        let mut context = vec![0; SK_BUFF];
        context[GSO_SEGS..][..4].copy_from_slice(&segs.to_ne_bytes());
        context[GSO_SIZE..][..4].copy_from_slice(&size.to_ne_bytes());
        self.context = Some(context);
        self
    }
}

/// Nanoseconds a packet.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// By this thread's CPU time around the call.
    pub cpu: f64,
    /// By the kernel's own clock inside.
    pub kernel: f64,
    /// How often the program ran for that, pieces that were thrown away included.
    pub runs: u64,
}

/// Medians of what several programs cost.
pub struct Costs {
    rounds: Vec<Vec<Cost>>,
    runs: Vec<u64>,
}

impl Costs {
    /// Nothing measured yet of `count` programs.
    pub fn of(count: usize) -> Self {
        Self { rounds: vec![Vec::new(); count], runs: vec![0; count] }
    }

    /// Runs each once more, in an order that is the round's.
    ///
    /// # Errors
    /// What `run`, which is given an index and how often to repeat, says.
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

    /// How often the program at `index` ran in all.
    pub fn runs(&self, index: usize) -> u64 {
        self.runs[index]
    }

    /// Of the program at `index`.
    pub fn median(&self, index: usize) -> Cost {
        let of = |value: fn(&Cost) -> f64| median(&self.rounds[index].iter().map(value).collect::<Vec<_>>());
        Cost { cpu: of(|cost| cost.cpu), kernel: of(|cost| cost.kernel), runs: self.runs[index] }
    }

    /// What one program costs above another, by CPU time.
    pub fn above(&self, index: usize, floor: usize) -> f64 {
        self.median(index).cpu - self.median(floor).cpu
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// Runs of each program a round.
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

    /// Makes the maps fit a node, and forgets what was counted.
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
    /// There is none of that name.
    pub fn program(&self, name: &str) -> Result<&Program> {
        self.programs.ebpf.program(name).with_context(|| format!("Observer has no program {name}"))
    }

    /// Packets that were counted in `slot`, `direction` and `class`.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn packets(&self, slot: u16, direction: Direction, class: Class) -> Result<u64> {
        let totals = self.tables.totals(slot, direction, class)?;
        Ok(totals.counters[observer_common::counters::Total::Packets as usize])
    }
}

/// Runs a program on a packet `repeat` times, and again where the processor was not ours ([`quiet`]).
///
/// # Errors
/// The kernel refused.
pub fn run(program: &Program, packet: &Packet, repeat: u32) -> Result<Cost> {
    in_pieces(repeat, PIECE, |repeat| once(program, packet, repeat))
}

/// Runs something `repeat` times, `piece` at once, and pieces again where the processor was not ours.
///
/// # Errors
/// Those of `once`, which is given how often to repeat.
pub fn in_pieces(repeat: u32, piece: u32, once: impl Fn(u32) -> Result<Cost>) -> Result<Cost> {
    let mut sum = Cost { cpu: 0.0, kernel: 0.0, runs: 0 };
    let mut left = repeat;
    while left > 0 {
        let now = left.min(piece);
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

/// Runs a program on a packet `repeat` times, whatever else the processor does.
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
        _ => bail!("only programs for TC and XDP can be run"),
    };
    let time = thread_time() - start;
    let result = result.context("the kernel cannot run the program on the packet")?;
    let (cpu, kernel) = (time as f64 / f64::from(repeat), result.duration.as_nanos() as f64);
    Ok(Cost { cpu, kernel, runs: u64::from(repeat) })
}

/// Warms each of `count` programs up, then runs them by turns in an order that rotates from round to
/// round, so that whatever the machine does meanwhile befalls all of them.
///
/// # Errors
/// What `run`, which is given an index and how often to repeat, says.
pub fn by_turns(
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
