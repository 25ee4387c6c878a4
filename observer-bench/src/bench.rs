//! What is measured: Observer's programs beside the yardsticks, run by `BPF_PROG_TEST_RUN`.

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::programs::{Program, TestRun as _, TestRunOptions};
use observer::kernel::{Capacities, Programs, Tables, entry};
use observer_common::kind::{Class, Direction};
use observer_testing::memory::size_class_table;
use observer_testing::node::{Node, OTHER_SLOT, TUNNEL_SLOT, UNDERLAY_SLOT};

use crate::clock::{median, thread_time};

/// The object with the yardsticks that `build.rs` made.
static YARDSTICKS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-bench"));

/// Runs before anything is measured.
pub const WARM_UP: u32 = 20_000;

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

    /// The yardstick of that kind here.
    pub const fn yardstick(self, yardstick: Yardstick) -> &'static str {
        match (self, yardstick) {
            (Self::Tc, Yardstick::Floor) => "floor_tc",
            (Self::Tc, Yardstick::Reference) => "reference_tc",
            (Self::Tc, Yardstick::Driver) => "driver_tc",
            (Self::Xdp, Yardstick::Floor) => "floor_xdp",
            (Self::Xdp, Yardstick::Reference) => "reference_xdp",
            (Self::Xdp, Yardstick::Driver) => "driver_xdp",
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

/// What Observer's programs are held against (observer-ebpf/src/bin/observer-bench.rs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yardstick {
    /// An empty program.
    Floor,
    /// Parse to the ports, one update of a per-CPU hash.
    Reference,
    /// Writes another sender into the packet each time, then goes on to one of the others.
    Driver,
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
}

/// Medians of what several programs cost.
pub struct Costs(Vec<Vec<Cost>>);

impl Costs {
    /// Of the program at `index`.
    pub fn median(&self, index: usize) -> Cost {
        let of = |value: fn(&Cost) -> f64| median(&self.0[index].iter().map(value).collect::<Vec<_>>());
        Cost { cpu: of(|cost| cost.cpu), kernel: of(|cost| cost.kernel) }
    }

    /// The median of what one program cost above another in the same round.
    pub fn above(&self, index: usize, floor: usize) -> f64 {
        let pairs = self.0[index].iter().zip(&self.0[floor]);
        median(&pairs.map(|(cost, floor)| cost.cpu - floor.cpu).collect::<Vec<_>>())
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

/// Observer's programs and the yardsticks, loaded.
pub struct Bench {
    /// The yardsticks.
    pub yardsticks: Ebpf,
    /// Observer's.
    pub programs: Programs,
    /// Observer's maps.
    pub tables: Tables,
}

impl Bench {
    /// Loads all of them.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn load(capacities: Capacities) -> Result<Self> {
        let mut yardsticks = Ebpf::load(YARDSTICKS).context("cannot create the yardsticks' maps")?;
        for (name, program) in yardsticks.programs_mut() {
            match program {
                Program::SchedClassifier(program) => program.load(),
                Program::Xdp(program) => program.load(),
                _ => bail!("the yardstick {name} is neither for TC nor for XDP"),
            }
            .with_context(|| format!("cannot load the yardstick {name}"))?;
        }
        let mut programs = Programs::load(capacities)?;
        for name in [entry::INGRESS, entry::EGRESS] {
            programs.classifier(name)?;
        }
        programs.xdp(entry::XDP)?;
        let mut tables = Tables::take(&mut programs.ebpf)?;
        tables.set_size_classes(&size_class_table())?;
        Ok(Self { yardsticks, programs, tables })
    }

    /// Makes the maps fit a node.
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

    /// A yardstick.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn yardstick(&self, name: &str) -> Result<&Program> {
        self.yardsticks.program(name).with_context(|| format!("there is no yardstick {name}"))
    }

    /// One of Observer's programs.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn ours(&self, name: &str) -> Result<&Program> {
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

/// Runs a program on a packet `repeat` times.
///
/// # Errors
/// The kernel refused.
pub fn run(program: &Program, packet: &Packet, repeat: u32) -> Result<Cost> {
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
    Ok(Cost { cpu: time as f64 / f64::from(repeat), kernel: result.duration.as_nanos() as f64 })
}

/// Warms each of the programs up, then runs them by turns in an order that rotates from round to
/// round, so that whatever the machine does meanwhile befalls all of them.
///
/// # Errors
/// The kernel refused.
pub fn by_turns(what: &[(&Program, &Packet)], effort: Effort) -> Result<Costs> {
    for (program, packet) in what {
        run(program, packet, WARM_UP)?;
    }
    let mut costs = vec![Vec::with_capacity(effort.rounds); what.len()];
    for round in 0..effort.rounds {
        for turn in 0..what.len() {
            let index = (round + turn) % what.len();
            let (program, packet) = what[index];
            costs[index].push(run(program, packet, effort.repeat)?);
        }
    }
    Ok(Costs(costs))
}
