//! Packets over a veth: live frames.

use anyhow::{Context as _, Result, bail};
use aya::programs::TcAttachType;
use observer::kernel::{Capacities, entry};
use observer_common::abi::DeviceFacts;
use observer_common::kind::{Class, Direction};
use observer_testing::node::{FAR_POD, NODE, Node, POD, ROUTER, UNDERLAY_SLOT};
use serde_json::json;

use crate::baselines::{Baseline, Baselines, Senders};
use crate::bench::{Hook, Ours};
use crate::classes;
use crate::clock::{median, paired};
use crate::frames::{FAR, Pair, Sent, attach_tc, attach_xdp};
use crate::report::{Section, grouped, verdict_at_least};

/// Lowest allowed share of the rate without programs.
const BUDGET: f64 = 0.70;

/// Programs at the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// Only the empty XDP program that makes a veth poll.
    None,
    /// Also an empty program at TC.
    Empty,
    /// Also Observer at TC.
    Tc,
    /// Observer at XDP instead of the empty program.
    Xdp,
}

const VARIANTS: [Variant; 4] = [Variant::None, Variant::Empty, Variant::Tc, Variant::Xdp];

impl Variant {
    const fn label(self) -> &'static str {
        match self {
            Self::None => "no program",
            Self::Empty => "an empty program at TC",
            Self::Tc => "Observer at TC",
            Self::Xdp => "Observer at XDP",
        }
    }
}

/// Number of measurements.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// Frames per call.
    pub frames: u32,
}

/// Measures all variants, interleaved.
///
/// # Errors
/// The kernel refused, or packets were not counted.
pub fn measure(effort: Effort) -> Result<Section> {
    let (mut baselines, mut ours) = (Baselines::load()?, Ours::load(Capacities::default())?);
    let pair = Pair::new(&mut baselines)?;
    let mut rows = Vec::new();
    let mut data = Vec::new();
    let traffic = [
        ("pods' TCP 64 B", classes::small(FAR_POD, POD), FAR_POD, Class::None),
        ("external TCP 64 B", classes::small(ROUTER, NODE), ROUTER, Class::External),
    ];
    for (name, frame, sender, class) in traffic {
        baselines.set_senders(Senders::new(sender, 1, 1))?;
        let node = Node::underlay(Class::None);
        let device = DeviceFacts { ifindex: pair.far, ..node.device };
        ours.prepare(&node.with_device(device))?;
        let mut sent: Vec<Vec<Sent>> = vec![Vec::new(); VARIANTS.len()];
        for round in 0..=effort.rounds {
            for turn in 0..VARIANTS.len() {
                let index = (round + turn) % VARIANTS.len();
                let before = ours.packets(UNDERLAY_SLOT, Direction::Ingress, class)?;
                let one = pass(&pair, &mut baselines, &mut ours, VARIANTS[index], &frame, effort.frames)?;
                let counted = ours.packets(UNDERLAY_SLOT, Direction::Ingress, class)? - before;
                let expected = if index < 2 { 0 } else { one.received };
                if counted != expected {
                    bail!(
                        "{}: expected {expected} counted packets, found {counted}",
                        VARIANTS[index].label()
                    );
                }
                // The first round warms up.
                if round != 0 {
                    sent[index].push(one);
                }
            }
        }
        ours.tables.remove_device(pair.far)?;
        let rates: Vec<Vec<f64>> = sent.iter().map(|sent| sent.iter().map(Sent::rate).collect()).collect();
        let kernels: Vec<Vec<f64>> =
            sent.iter().map(|sent| sent.iter().map(|sent| sent.kernel).collect()).collect();
        for (index, variant) in VARIANTS.into_iter().enumerate() {
            let (rate, kernel) = (median(&rates[index]), median(&kernels[index]));
            let (low, ratio, high) = paired(&rates[index], &rates[0]);
            let (_, by_kernel, _) = paired(&kernels[0], &kernels[index]);
            let count = |of: fn(&Sent) -> u64| sent[index].iter().map(of).sum::<u64>();
            let (all, arrived) = (count(|sent| sent.sent), count(|sent| sent.received));
            let rated = matches!(variant, Variant::Tc | Variant::Xdp);
            let dash = || "–".to_owned();
            rows.push(vec![
                name.to_owned(),
                variant.label().to_owned(),
                format!("{:.2} M/s", rate / 1e6),
                format!("{kernel:.0} ns"),
                format!("{ratio:.3}"),
                if index == 0 { dash() } else { format!("{low:.3} to {high:.3}") },
                if rated { format!("≥ {BUDGET:.2}") } else { dash() },
                if rated { verdict_at_least(ratio, BUDGET) } else { dash() },
                format!("{by_kernel:.3}"),
                grouped(all - arrived),
            ]);
            data.push(json!({
                "frames": name, "variant": variant.label(), "packets_per_second": rate, "low": low, "high": high,
                "kernel_ns": kernel, "ratio": ratio, "ratio_kernel_clock": by_kernel, "sent": all, "received": arrived,
                "budget": rated.then_some(BUDGET),
            }));
        }
    }
    Ok(section(rows, data.into(), effort))
}

fn section(rows: Vec<Vec<String>>, data: serde_json::Value, effort: Effort) -> Section {
    let about = format!(
        "Live frames (`BPF_F_TEST_XDP_LIVE_FRAMES`, batches of 64) that an XDP program redirects into a veth. Its other \
         end has an XDP program, which makes it poll, and passes the frames to the stack. {} interleaved rounds of {} \
         frames after one of warm-up; medians of the frames that arrive per second. Ratio: the median of the ratios \
         within each round, with its 95 % confidence interval. Sender and receiver share one CPU. Every frame that \
         arrives must have been counted. The kernel's clock stops while other tasks use the CPU and does not include \
         the work of ksoftirqd.",
        effort.rounds,
        grouped(u64::from(effort.frames)),
    );
    Section {
        name: "veth",
        title: "Packets over a veth",
        about,
        columns: &[
            "frames",
            "at the far end",
            "rate",
            "per frame",
            "ratio",
            "95 %",
            "budget",
            "verdict",
            "by kernel's clock",
            "lost",
        ],
        rows,
        data,
        bars: Vec::new(),
        missing: Vec::new(),
    }
}

/// Sends frames to the far end with a variant attached.
fn pass(
    pair: &Pair,
    baselines: &mut Baselines,
    ours: &mut Ours,
    variant: Variant,
    frame: &[u8],
    count: u32,
) -> Result<Sent> {
    let at_xdp = match variant {
        Variant::Xdp => ours.program(entry::XDP)?,
        _ => baselines.program(Hook::Xdp, Baseline::Floor)?,
    };
    let xdp = pair.netns.run(|| attach_xdp(at_xdp, pair.far))?;
    let at_tc = match variant {
        Variant::None | Variant::Xdp => None,
        Variant::Empty => baselines.ebpf.program_mut(Baseline::Floor.at(Hook::Tc)),
        Variant::Tc => ours.programs.ebpf.program_mut(entry::INGRESS),
    };
    let tc = match at_tc {
        None => None,
        Some(program) => Some(pair.netns.run(|| attach_tc(program, FAR, TcAttachType::Ingress))?),
    };
    let sent = pair.send(baselines, frame, count).with_context(|| variant.label().to_owned())?;
    pair.netns.run(move || {
        drop(tc);
        drop(xdp);
        Ok(())
    })?;
    Ok(sent)
}
