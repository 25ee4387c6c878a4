//! Cost of the programs of `observer trace`, without packets to report and at the rate limit.

use anyhow::{Context as _, Result, bail};
use aya::programs::{Program, RawTracePointRunOptions, TestRun as _};
use observer::kernel::btf::Btf;
use observer::kernel::symbols::Symbols;
use observer::kernel::{Capacities, Drops, Tally, configure, entry, tallies};
use observer_common::drops::REASONS;
use observer_common::event::{SNAP, TraceConfig, WHYS, Why};
use observer_common::kind::Direction;
use serde_json::json;

use crate::baselines::{Baseline, Baselines, FLOOR_RAW};
use crate::bench::{Cost, Effort, Hook, Ours, Packet, in_samples, interleaved, run};
use crate::classes::{self, Budget, PacketClass};
use crate::clock::thread_time;
use crate::noise;
use crate::report::{Section, grouped, ns, verdict};

/// Packets per second of each reason: the default of `observer trace`.
const RATE: u32 = 100;
/// Size of the ring buffer, which is not read here.
const RING: u32 = 1 << 20;
/// A common drop reason, which is not reported.
const COMMON: &str = "NO_SOCKET";
/// A drop without a reason.
const UNSPECIFIED: &str = "NOT_SPECIFIED";
/// An address outside every function.
const NOWHERE: u64 = 1;
/// Runs per sample at a tracepoint, where each run is a system call.
const RAW_SAMPLE_RUNS: u32 = 500;

/// One row.
struct Measured {
    program: &'static str,
    what: String,
    floor: f64,
    ours: f64,
    reference: f64,
    /// Highest allowed R; `None` if packets of the class are reported.
    budget: Option<f64>,
    tally: Tally,
}

impl Measured {
    fn ratio(&self) -> f64 {
        self.ours / self.reference
    }
}

/// Measures the TC programs on every class of packets, and the one at `kfree_skb` on reasons that are not
/// reported.
///
/// # Errors
/// The kernel refused, or a program reported an unexpected packet.
pub fn measure(effort: Effort) -> Result<Section> {
    let baselines = Baselines::load()?;
    let mut ours = Ours::load(Capacities { trace: RING, ..Capacities::default() })?;
    for name in [entry::TRACE_INGRESS, entry::TRACE_EGRESS] {
        ours.programs.classifier(name)?;
    }
    let why = Why::ALL.iter().fold(0, |set, why| set | why.bit());
    let every = 1_000_000_000 / u64::from(RATE);
    let wanted = TraceConfig { why, snap: SNAP as u32, every, burst: RATE, steps: 0 };
    configure(&mut ours.programs.ebpf, wanted, &[])?;
    let reference = Packet::new(classes::native(observer_testing::node::FAR_POD));
    let mut all = Vec::new();
    let mut add = |one: Measured| {
        eprintln!(
            "bench: {:<10} {:<40} {:>6.1} ns above the floor, R {:.2}",
            one.program,
            one.what,
            one.ours,
            one.ratio()
        );
        all.push(one);
    };
    for class in classes::all().into_iter().filter(|class| class.hooks.contains(&Hook::Tc)) {
        add(at_tc(&baselines, &mut ours, &class, &reference, effort)?);
    }
    let mut missing = Vec::new();
    match load_drop(&mut ours) {
        Ok((name, drops)) => {
            for (what, reason) in reasons(&drops) {
                add(at_drop(&baselines, &ours, (name, what, reason), &reference, effort)?);
            }
        }
        Err(error) => missing.push(format!("kfree_skb: {error:#}")),
    }
    Ok(section(&all, missing, effort))
}

fn at_tc(
    baselines: &Baselines,
    ours: &mut Ours,
    class: &PacketClass,
    reference: &Packet,
    effort: Effort,
) -> Result<Measured> {
    ours.prepare(&class.node)?;
    noise::pin_to_quietest()?;
    let name = match class.direction {
        Direction::Ingress => entry::TRACE_INGRESS,
        Direction::Egress => entry::TRACE_EGRESS,
    };
    let floor = baselines.program(Hook::Tc, Baseline::Floor)?;
    let what = [
        (floor, &class.packet),
        (ours.program(name)?, &class.packet),
        (floor, reference),
        (baselines.program(Hook::Tc, Baseline::Reference)?, reference),
    ];
    let before = tallied(ours)?;
    let costs = interleaved(what.len(), effort, |index, repeat| run(what[index].0, what[index].1, repeat))?;
    let tally = since(before, tallied(ours)?);
    let runs = costs.runs(1);
    let reported = tally.sent + tally.suppressed + tally.lost;
    if reported != 0 && reported != runs {
        bail!("{}: {reported} of {runs} packets were reported, expected none or all", class.name);
    }
    Ok(Measured {
        program: name,
        what: format!("{} {}", class.letter, class.name),
        floor: costs.median(0).cpu,
        ours: costs.above(1, 0),
        reference: costs.above(3, 2),
        budget: (reported == 0).then_some(class.budget.at(Hook::Tc)),
        tally,
    })
}

fn load_drop(ours: &mut Ours) -> Result<(&'static str, Drops)> {
    let mut drops = Drops::default();
    let name = drops.load(&mut ours.programs, &Btf::running()?, Symbols::running())?;
    Ok((name, drops))
}

/// Names and numbers of reasons that are not reported.
fn reasons(drops: &Drops) -> Vec<(String, u64)> {
    let number = |name: &str| (0..REASONS as u32).find(|number| drops.reason(*number) == Some(name));
    let named: Vec<(String, u64)> = [COMMON, UNSPECIFIED]
        .into_iter()
        .filter_map(|name| Some((format!("a drop, {name}"), u64::from(number(name)?))))
        .collect();
    // Kernels without drop reasons have a single case.
    if named.is_empty() { vec![("a drop elsewhere".to_owned(), 0)] } else { named }
}

/// The kernel runs programs at tracepoints once per call, so the floor includes a system call.
fn at_drop(
    baselines: &Baselines,
    ours: &Ours,
    (name, what, reason): (&'static str, String, u64),
    reference: &Packet,
    effort: Effort,
) -> Result<Measured> {
    let (floor, program) = (baselines.named(FLOOR_RAW)?, ours.program(name)?);
    let tc = [Baseline::Floor, Baseline::Reference].map(|baseline| baselines.program(Hook::Tc, baseline));
    let [floor_tc, reference_tc] = tc;
    let (floor_tc, reference_tc) = (floor_tc?, reference_tc?);
    let arguments = [0, NOWHERE, reason];
    noise::pin_to_quietest()?;
    let before = tallied(ours)?;
    let costs = interleaved(4, effort, |index, repeat| match index {
        0 => in_samples(repeat, RAW_SAMPLE_RUNS, |repeat| run_raw(floor, arguments, repeat)),
        1 => in_samples(repeat, RAW_SAMPLE_RUNS, |repeat| run_raw(program, arguments, repeat)),
        2 => run(floor_tc, reference, repeat),
        _ => run(reference_tc, reference, repeat),
    })?;
    let tally = since(before, tallied(ours)?);
    if tally != Tally::default() {
        bail!("{what}: expected no reported packets: {tally:?}");
    }
    Ok(Measured {
        program: name,
        what,
        floor: costs.median(0).cpu,
        ours: costs.above(1, 0),
        reference: costs.above(3, 2),
        budget: Some(Budget::External.at(Hook::Tc)),
        tally,
    })
}

fn run_raw(program: &Program, arguments: [u64; 3], repeat: u32) -> Result<Cost> {
    let Program::RawTracePoint(program) = program else { bail!("the program is not for a raw tracepoint") };
    let start = thread_time();
    for _ in 0..repeat {
        let mut options = RawTracePointRunOptions::new();
        options.args[..arguments.len()].copy_from_slice(&arguments);
        program.test_run(options).context("cannot run the program")?;
    }
    let time = (thread_time() - start) as f64 / f64::from(repeat);
    Ok(Cost { cpu: time, kernel: f64::NAN, runs: u64::from(repeat) })
}

fn tallied(ours: &Ours) -> Result<[(Why, Tally); WHYS]> {
    Ok(tallies(&ours.programs.ebpf)?)
}

fn since(before: [(Why, Tally); WHYS], after: [(Why, Tally); WHYS]) -> Tally {
    let mut sum = Tally::default();
    for ((_, before), (_, after)) in before.iter().zip(after) {
        sum.sent += after.sent - before.sent;
        sum.suppressed += after.suppressed - before.suppressed;
        sum.lost += after.lost - before.lost;
    }
    sum
}

fn section(measured: &[Measured], missing: Vec<String>, effort: Effort) -> Section {
    let about = format!(
        "The programs of `observer trace`, which are loaded only while it runs, with all reasons selected and {RATE} \
         packets a second; measured and rated as above, {} rounds of {} runs. {} Packets of a class without a budget \
         are reported: all but {RATE} a second are suppressed. At `kfree_skb`, a run is a system call, which is \
         included in the floor; the budget is that of external traffic.",
        effort.rounds,
        grouped(u64::from(effort.repeat)),
        noise::describe(),
    );
    let rows = measured
        .iter()
        .map(|m| {
            let reported = m.tally.sent + m.tally.suppressed + m.tally.lost != 0;
            vec![
                m.program.to_owned(),
                m.what.clone(),
                ns(m.floor),
                ns(m.reference),
                ns(m.ours),
                format!("{:.2}", m.ratio()),
                m.budget.map_or_else(|| "–".to_owned(), |budget| format!("≤ {budget:.1}")),
                m.budget.map_or_else(|| "–".to_owned(), |budget| verdict(m.ratio(), budget)),
                if reported {
                    format!("{}, {} suppressed", grouped(m.tally.sent), grouped(m.tally.suppressed))
                } else {
                    "none".to_owned()
                },
            ]
        })
        .collect();
    let data = measured
        .iter()
        .map(|m| {
            json!({
                "program": m.program, "packet": m.what, "floor_ns": m.floor,
                "reference_above_floor_ns": m.reference, "above_floor_ns": m.ours, "ratio": m.ratio(),
                "budget": m.budget, "sent": m.tally.sent, "suppressed": m.tally.suppressed, "lost": m.tally.lost,
            })
        })
        .collect();
    Section {
        name: "trace",
        title: "Single packets",
        about,
        columns: &["program", "packet", "floor", "REF +", "ours +", "R", "budget", "verdict", "sent"],
        rows,
        data,
        bars: Vec::new(),
        missing,
    }
}
