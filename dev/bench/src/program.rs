//! Cost of the programs for every class of packets: R = (ours − floor) / (REF − floor).

use anyhow::{Result, bail};
use observer::kernel::{Capacities, entry};
use serde_json::json;

use crate::baselines::{Baseline, Baselines};
use crate::bench::{Costs, Effort, Hook, Ours, Packet, WARM_UP, once, run};
use crate::classes::{self, PacketClass};
use crate::dispatcher_pin::DispatcherPin;
use crate::noise;
use crate::report::{Bar, Section, grouped, ns, verdict};

/// Cost of one class at one hook, in nanoseconds above the floor.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Letter of the budget.
    pub letter: &'static str,
    /// The class.
    pub name: &'static str,
    /// The hook.
    pub hook: Hook,
    /// The floor itself.
    pub floor: f64,
    /// The reference on class a.
    pub reference: f64,
    /// Ours.
    pub ours: f64,
    /// R by the thread's CPU time.
    pub ratio: f64,
    /// R by the kernel's clock.
    pub ratio_kernel: f64,
    /// Highest allowed R.
    pub budget: f64,
}

impl Measured {
    fn of(class: &PacketClass, hook: Hook, costs: &Costs) -> Self {
        let [floor, ours, floor_a, reference] = [0, 1, 2, 3].map(|index| costs.median(index));
        Self {
            letter: class.letter,
            name: class.name,
            hook,
            floor: floor.cpu,
            reference: reference.cpu - floor_a.cpu,
            ours: ours.cpu - floor.cpu,
            ratio: (ours.cpu - floor.cpu) / (reference.cpu - floor_a.cpu),
            ratio_kernel: (ours.kernel - floor.kernel) / (reference.kernel - floor_a.kernel),
            budget: class.budget.at(hook),
        }
    }

    /// Its name in ceilings and charts.
    pub fn label(&self) -> String {
        format!("{} {} {}", self.hook.label(), self.letter, self.name)
    }
}

/// Programs that are run interleaved: floor and ours, floor and reference.
const PROGRAMS: usize = 4;
/// Index of ours.
const OURS: usize = 1;

/// Measures every class at every hook that can process it.
///
/// Each round covers all classes. If the machine is busy for seconds, that affects one round of many classes,
/// which the medians ignore, and not most rounds of one class.
///
/// # Errors
/// The kernel refused, or a program did not count every packet.
pub fn measure(effort: Effort, only: &[String]) -> Result<Vec<Measured>> {
    let (baselines, mut ours) = (Baselines::load()?, Ours::load(Capacities::default())?);
    let xdp = [Baseline::Floor, Baseline::Reference].map(|it| baselines.program(Hook::Xdp, it));
    let [floor, reference] = xdp;
    let _pin = DispatcherPin::new([floor?, reference?, ours.program(entry::XDP)?])?;
    let reference = Packet::new(classes::native(observer_testing::node::FAR_POD));
    let mut classes = classes::all();
    classes.retain(|class| only.is_empty() || only.iter().any(|letter| letter == class.letter));
    let places = classes.iter().flat_map(|class| class.hooks.iter().map(move |hook| (class, *hook)));
    let mut all: Vec<_> = places.map(|(class, hook)| (class, hook, Costs::of(PROGRAMS))).collect();
    for round in 0..effort.rounds {
        eprintln!("bench: round {} of {}, {} classes of packets", round + 1, effort.rounds, all.len());
        for (class, hook, costs) in &mut all {
            add_round(&baselines, &mut ours, class, *hook, &reference, (round, effort.repeat), costs)?;
        }
    }
    Ok(all.iter().map(|(class, hook, costs)| Measured::of(class, *hook, costs)).collect())
}

/// Keeps the measurement with the lower R of each class.
pub fn keep_lowest(measured: &mut [Measured], again: Vec<Measured>) {
    for (one, other) in measured.iter_mut().zip(again) {
        if other.ratio < one.ratio {
            *one = other;
        }
    }
}

/// Runs each program once more on a class, and checks that ours counted every packet.
fn add_round(
    baselines: &Baselines,
    ours: &mut Ours,
    class: &PacketClass,
    hook: Hook,
    reference: &Packet,
    (round, repeat): (usize, u32),
    costs: &mut Costs,
) -> Result<()> {
    ours.prepare(&class.node)?;
    noise::pin_to_quietest()?;
    let floor = baselines.program(hook, Baseline::Floor)?;
    let what: [_; PROGRAMS] = [
        (floor, &class.packet),
        (ours.program(hook.ours(class.direction))?, &class.packet),
        (floor, reference),
        (baselines.program(hook, Baseline::Reference)?, reference),
    ];
    for (program, packet) in what {
        once(program, packet, WARM_UP)?;
    }
    let before = costs.runs(OURS);
    costs.add_round(round, repeat, |index, repeat| run(what[index].0, what[index].1, repeat))?;
    let (slot, counted) = class.counted;
    let runs = u64::from(WARM_UP) + costs.runs(OURS) - before;
    let (is, should) = (ours.packets(slot, class.direction, counted)?, runs * u64::from(class.segments));
    if is != should {
        bail!(
            "{} at {}: {should} packets of class {} were run, but {is} were counted",
            class.name,
            hook.label(),
            counted.label()
        );
    }
    Ok(())
}

/// Their table.
pub fn section(measured: &[Measured], effort: Effort) -> Section {
    let about = format!(
        "`BPF_PROG_TEST_RUN` on one CPU: {} interleaved rounds of {} runs each, after a warm-up of {WARM_UP}, each round \
         over all classes; medians of the thread's CPU time. {} Floor: an empty program. REF: parse to the ports and \
         one update of a per-CPU hash with a 16-byte key, always on the packet of class a. \
         R = (ours − floor) / (REF − floor). The last column is R by the kernel's own clock, which has a resolution \
         of one nanosecond.",
        effort.rounds,
        grouped(u64::from(effort.repeat)),
        noise::describe(),
    );
    let rows = measured
        .iter()
        .map(|m| {
            vec![
                m.hook.label().to_owned(),
                format!("{} {}", m.letter, m.name),
                ns(m.floor),
                ns(m.reference),
                ns(m.ours),
                format!("{:.2}", m.ratio),
                format!("≤ {:.1}", m.budget),
                verdict(m.ratio, m.budget),
                format!("{:.2}", m.ratio_kernel),
            ]
        })
        .collect();
    let data = measured
        .iter()
        .map(|m| {
            json!({
                "hook": m.hook.label(), "class": m.letter, "packet": m.name,
                "floor_ns": m.floor, "reference_above_floor_ns": m.reference,
                "above_floor_ns": m.ours, "ratio": m.ratio, "ratio_kernel_clock": m.ratio_kernel,
                "budget": m.budget,
            })
        })
        .collect();
    let bars = measured.iter().map(|m| Bar { label: m.label(), value: m.ratio, budget: m.budget }).collect();
    Section {
        name: "program",
        title: "Programs",
        about,
        columns: &[
            "hook",
            "packet",
            "floor",
            "REF +",
            "ours +",
            "R",
            "budget",
            "verdict",
            "R, kernel's clock",
        ],
        rows,
        data,
        bars,
        missing: Vec::new(),
    }
}
