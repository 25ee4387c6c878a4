//! Cost of the programs that time round trips at the hooks.

use anyhow::{Context as _, Result, bail};
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, LpmTrie, MapData};
use aya::programs::Program;
use aya::{Ebpf, Pod};
use observer::kernel::entry;
use observer_common::abi::link;
use observer_common::address::Address;
use observer_common::cost::CostConfig;
use observer_common::hook_rtt::{RTT_SLOTS, RttDevice, RttFlow, RttSlot, RttStats};
use observer_common::path::PEER_WORDS;
use observer_common::remotes;
use observer_testing::node::{FAR_POD, PEER, POD};
use observer_testing::packets::{Ip4, ethernet_ip};
use serde_json::{Value, json};

use crate::baselines::{Baseline, Baselines};
use crate::bench::{Effort, Hook, Packet, interleaved, run};
use crate::classes;
use crate::noise;
use crate::report::{Section, grouped, ns};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-cost"));

/// One of this many segments is selected: the default.
const SAMPLE: u32 = 64;
/// Index of the device in test runs.
const LOOPBACK: u32 = 1;
const PATH_INDEX: u32 = 0;
/// Ports of the flow.
const PORTS: (u16, u16) = (40_000, 80);
/// NOP, NOP, timestamps.
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Shared<T>(T);

// SAFETY: the shared structs hold integers only, with explicit padding.
unsafe impl<T: Copy + 'static> Pod for Shared<T> {}

/// State of the flow's slot ahead of each run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Free,
    /// Selected, and the packet has no later timestamp.
    Armed,
    /// Being timed, and the packet does not stop the clock.
    Running,
}

/// A packet, the program that handles it, and the slot's state.
struct Case {
    what: &'static str,
    program: &'static str,
    packet: Vec<u8>,
    slot: Slot,
}

fn segment(from: [u8; 4], to: [u8; 4], ports: (u16, u16), (stamp, echo): (u32, u32), data: usize) -> Vec<u8> {
    let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x10, 1, 0, 0, 0, 0, 0]);
    bytes.extend(TIMESTAMPS);
    bytes.extend(stamp.to_be_bytes());
    bytes.extend(echo.to_be_bytes());
    bytes.resize(bytes.len() + data, 0);
    ethernet_ip(&Ip4::new(from, to, 6).around(&bytes))
}

fn cases() -> Vec<Case> {
    let sent = || segment(POD, FAR_POD, PORTS, (100, 7), 1_000);
    let acknowledgement = || segment(FAR_POD, POD, (PORTS.1, PORTS.0), (7, 99), 0);
    let case = |what, program, packet, slot| Case { what, program, packet, slot };
    vec![
        case("a VXLAN packet leaves", entry::COST_EGRESS, classes::vxlan4(PEER, 1_514), Slot::Free),
        case("an IPIP packet enters", entry::COST_INGRESS, classes::ipip(PEER), Slot::Free),
        case(
            "a segment leaves, one of 64 is selected without effect",
            entry::COST_EGRESS,
            external(),
            Slot::Free,
        ),
        case(
            "a segment of a selected flow leaves, its clock starts later",
            entry::COST_EGRESS,
            sent(),
            Slot::Armed,
        ),
        case("a segment of a flow that is timed leaves", entry::COST_EGRESS, sent(), Slot::Running),
        case(
            "an acknowledgement enters, nothing is timed",
            entry::COST_INGRESS,
            acknowledgement(),
            Slot::Free,
        ),
        case(
            "an earlier acknowledgement of a flow that is timed enters",
            entry::COST_INGRESS,
            acknowledgement(),
            Slot::Running,
        ),
    ]
}

/// To an address that is not a peer's.
fn external() -> Vec<u8> {
    segment(POD, [203, 0, 113, 9], PORTS, (100, 7), 1_000)
}

struct Timers(Ebpf);

impl Timers {
    fn load() -> Result<Self> {
        let mut timers = Self(Ebpf::load(OBJECT)?);
        for name in [entry::COST_INGRESS, entry::COST_EGRESS] {
            let Some(Program::SchedClassifier(program)) = timers.0.program_mut(name) else {
                bail!("the object has no {name}");
            };
            program.load()?;
        }
        timers.array("COST_CONFIG")?.set(
            0,
            Shared(CostConfig { sample: SAMPLE, ..CostConfig::default() }),
            0,
        )?;
        let (ingress_link, egress_link) = (link::ETHERNET, link::ETHERNET);
        let device = RttDevice { ifindex: LOOPBACK, ingress_link, egress_link, reserved: 0 };
        timers.array("RTT_DEVICES")?.set(LOOPBACK, Shared(device), 0)?;
        let map = timers.0.map_mut("REMOTES").context("no map REMOTES")?;
        let remote = Key::new(128, Address::from_v4(FAR_POD).0);
        LpmTrie::<_, [u32; 4], u32>::try_from(map)?.insert(&remote, PATH_INDEX, 0)?;
        let mut filter = [0; PEER_WORDS];
        remotes::enter(&mut filter, Address::from_v4(FAR_POD), 128);
        timers.array("REMOTE_FILTER")?.set(0, Shared(filter), 0)?;
        Ok(timers)
    }

    fn array<T: Copy + 'static>(&mut self, name: &str) -> Result<Array<&mut MapData, Shared<T>>> {
        Ok(Array::try_from(self.0.map_mut(name).with_context(|| format!("no map {name}"))?)?)
    }

    fn prepare(&mut self, slot: Slot) -> Result<()> {
        let (local, remote) = (Address::from_v4(POD), Address::from_v4(FAR_POD));
        let ports = u32::from(PORTS.0.to_be()) | u32::from(PORTS.1.to_be()) << 16;
        let flow = RttFlow { local, remote, ports };
        // The clock that the programs use.
        let now = u64::try_from(observer::kernel::sys::monotonic().as_nanos())?;
        let state = match slot {
            Slot::Free => RttSlot::default(),
            Slot::Armed => RttSlot::armed(flow, PATH_INDEX, 100, now),
            Slot::Running => RttSlot::armed(flow, PATH_INDEX, 99, now).moved(100, true, now),
        };
        let mut slots = self.array("RTT_SLOTS_TABLE")?;
        for index in 0..RTT_SLOTS {
            slots.set(index, Shared(RttSlot::default()), 0)?;
        }
        slots.set(flow.slot(), Shared(state), 0)?;
        Ok(())
    }

    fn samples(&mut self) -> Result<u64> {
        let Shared(stats) = self.array::<RttStats>("RTT_PATHS")?.get(&PATH_INDEX, 0)?;
        Ok(stats.samples)
    }
}

/// Measures each case.
///
/// # Errors
/// The kernel refused, or a round trip was timed unexpectedly.
pub fn measure(effort: Effort) -> Result<Section> {
    let baselines = Baselines::load()?;
    let mut timers = Timers::load()?;
    let reference = Packet::new(classes::native(FAR_POD));
    let (mut rows, mut data) = (Vec::new(), Vec::<Value>::new());
    for case in cases() {
        timers.prepare(case.slot)?;
        let floor = baselines.program(Hook::Tc, Baseline::Floor)?;
        let packet = Packet::new(case.packet);
        let ours = timers.0.program(case.program).with_context(|| format!("no {}", case.program))?;
        let what = [
            (floor, &packet),
            (ours, &packet),
            (floor, &reference),
            (baselines.program(Hook::Tc, Baseline::Reference)?, &reference),
        ];
        noise::pin_to_quietest()?;
        let costs =
            interleaved(what.len(), effort, |index, repeat| run(what[index].0, what[index].1, repeat))?;
        if timers.samples()? != 0 {
            bail!("{}: a round trip was timed", case.what);
        }
        let (floor, ours, reference) = (costs.median(0).cpu, costs.above(1, 0), costs.above(3, 2));
        let ratio = ours / reference;
        eprintln!(
            "bench: {:<10} {:<50} {ours:>6.1} ns above the floor, R {ratio:.2}",
            case.program, case.what
        );
        rows.push(vec![
            case.program.to_owned(),
            case.what.to_owned(),
            ns(floor),
            ns(reference),
            ns(ours),
            format!("{ratio:.2}"),
        ]);
        data.push(json!({
            "program": case.program, "packet": case.what, "floor_ns": floor,
            "reference_above_floor_ns": reference, "above_floor_ns": ours, "ratio": ratio,
        }));
    }
    let about = format!(
        "The two programs that time round trips at the hooks. They are attached only with `--cost-rtt-at-hooks`, in \
         addition to those that count; measured as above, {} rounds of {} runs. {} One of {SAMPLE} segments is selected. \
         Starting and stopping a clock is excluded: it happens at most three times in a round trip of a selected flow.",
        effort.rounds,
        grouped(u64::from(effort.repeat)),
        noise::describe(),
    );
    Ok(Section {
        name: "hook-rtt",
        title: "Round trips at the hooks",
        about,
        columns: &["program", "packet", "floor", "REF +", "ours +", "R"],
        rows,
        data: data.into(),
        bars: Vec::new(),
        missing: Vec::new(),
    })
}
