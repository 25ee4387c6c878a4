//! Growth of the programs' cost with live paths, senders of a flood, devices and CPUs.

use std::sync::Barrier;

use anyhow::{Context as _, Result, bail};
use observer::kernel::Capacities;
use observer_common::abi::{BlockFacts, BlockKey, Coarse, DEVICE_TABLE, DeviceFacts};
use observer_common::address::{Address, Mask};
use observer_common::kind::{Class, Direction};
use observer_testing::node::{FAR_POD, Node, PEER, UNDERLAY_SLOT, UNKNOWN_PEER};
use serde_json::{Value, json};

use crate::baselines::{Baseline, Baselines, Senders, fd};
use crate::bench::{Effort, Hook, Ours, Packet, interleaved, once, run};
use crate::classes;
use crate::clock::{self, median};
use crate::dispatcher_pin::DispatcherPin;
use crate::noise;
use crate::report::{Section, grouped, ns, verdict};

/// Live paths.
const PATHS: [u32; 5] = [1, 1_024, 2_048, 4_096, 16_000];
/// Peers that the node knows in a flood.
const KNOWN: u32 = 1_024;
/// Distinct senders of a flood.
const FLOOD: u32 = 1_000_000;
/// Highest allowed growth from one path to 16,000.
const PATHS_BUDGET: f64 = 1.5;
/// Highest allowed growth from one sender to a flood.
const FLOOD_BUDGET: f64 = 1.1;

/// First of many node addresses.
const NODES: [u8; 4] = [172, 16, 0, 0];
/// First of many pod addresses.
const PODS: [u8; 4] = [10, 0, 0, 0];
/// Addresses of a pod block.
const BLOCK: u32 = 64;

/// Map sizes for many nodes.
const CAPACITIES: fn() -> Capacities =
    || Capacities { paths: 16_384, peers: 32_768, blocks: 32_768, ..Capacities::default() };

/// Cost of ours and the reference above the floor.
#[derive(Clone, Copy)]
struct Above {
    ours: f64,
    /// NaN if it was not measured.
    reference: f64,
}

/// One row.
struct Row {
    hook: Hook,
    packet: &'static str,
    number: u32,
    unit: &'static str,
    above: Above,
    growth: f64,
    budget: Option<f64>,
}

/// A node with this many peers, each with one pod block.
fn with_peers(class: Class, peers: u32) -> Node {
    let mut node = Node::underlay(class);
    node.config.coarse4[0] =
        Coarse { net: u32::from_ne_bytes([10, 0, 0, 0]), mask: u32::from_ne_bytes([255, 0, 0, 0]) };
    let facts = node.peers[&Address::from_v4(PEER)];
    let like: Vec<BlockFacts> = node.blocks.values().copied().collect();
    for n in 0..peers {
        let peer = Address::from_v4((u32::from_be_bytes(NODES) + n).to_be_bytes());
        let pods = Address::from_v4((u32::from_be_bytes(PODS) + n * BLOCK).to_be_bytes());
        node.peers.insert(peer, facts);
        for like in &like {
            let key = BlockKey { address: pods.masked(&Mask::of(122)), bits: 122 };
            node.blocks.insert(key, BlockFacts { peer, ..*like });
        }
    }
    node
}

/// Programs that run after the driver for each set of senders: floor, reference, ours.
const KINDS: usize = 3;

/// Cost of ours and the reference above the floor for several sets of senders, all after the same driver.
fn above_floor(
    ours: &[Ours],
    hook: Hook,
    packet: &Packet,
    senders: &[Senders],
    effort: Effort,
) -> Result<Vec<Above>> {
    // Load it again, so that the reference has no flows yet.
    let mut baselines = Baselines::load()?;
    let _pin = DispatcherPin::new([baselines.program(hook, Baseline::Driver)?])?;
    for (target, baseline) in [(0, Baseline::Floor), (1, Baseline::Reference)] {
        let program = fd(baselines.program(hook, baseline)?)?;
        baselines.set_target(hook, target, &program)?;
    }
    for (target, ours) in (2..).zip(ours) {
        let program = fd(ours.program(hook.ours(Direction::Ingress))?)?;
        baselines.set_target(hook, target, &program)?;
    }
    let target = |index: usize| match index % KINDS {
        2 => (index / KINDS) as u32 + 2,
        kind => kind as u32,
    };
    noise::pin_to_quietest()?;
    // Run every sender once ahead of measuring, in a different order.
    for index in 0..KINDS * senders.len() {
        baselines.set_senders(senders[index / KINDS].in_order().towards(target(index)))?;
        once(baselines.program(hook, Baseline::Driver)?, packet, senders[index / KINDS].count())?;
    }
    let costs = interleaved(KINDS * senders.len(), effort, |index, repeat| {
        baselines.set_senders(senders[index / KINDS].towards(target(index)))?;
        run(baselines.program(hook, Baseline::Driver)?, packet, repeat)
    })?;
    for (n, (ours, senders)) in ours.iter().zip(senders).enumerate() {
        check(ours, u64::from(senders.count()) + costs.runs(n * KINDS + 2))?;
    }
    let above = |n: usize| {
        let [floor, reference, ours] = [0, 1, 2].map(|kind| n * KINDS + kind);
        Above { ours: costs.above(ours, floor), reference: costs.above(reference, floor) }
    };
    Ok((0..senders.len()).map(above).collect())
}

/// Every packet must have been counted, in any class.
fn check(ours: &Ours, should: u64) -> Result<()> {
    let mut is = 0;
    for class in Class::ALL {
        is += ours.packets(UNDERLAY_SLOT, Direction::Ingress, class)?;
    }
    if is != should {
        bail!("{should} packets were run after the driver, but {is} were counted");
    }
    Ok(())
}

/// Growth from 1 live path to 16,000, and with devices and CPUs.
///
/// # Errors
/// The kernel refused, or something was not counted.
pub fn scale(effort: Effort) -> Result<Section> {
    let mut ours = PATHS.iter().map(|_| Ours::load(CAPACITIES())).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    let pods = [PODS[0], PODS[1], PODS[2], 5];
    for (name, class, bytes, base, stride) in [
        ("a native TCP 66 B", Class::None, classes::native(FAR_POD), pods, BLOCK),
        ("b IPIP TCP 1514 B", Class::Ipip, classes::ipip(PEER), NODES, 1),
        ("c VXLAN TCP 1514 B", Class::Vxlan, classes::vxlan4(PEER, 1514), NODES, 1),
    ] {
        let senders = PATHS.map(|count| Senders::new(base, stride, count));
        for hook in Hook::ALL {
            for (ours, count) in ours.iter_mut().zip(PATHS) {
                ours.prepare(&with_peers(class, count))?;
            }
            let packet = Packet::new(bytes.clone());
            let above = above_floor(&ours, hook, &packet, &senders, effort)?;
            for (ours, count) in ours.iter().zip(PATHS) {
                let paths = ours.tables.paths()?.len();
                if paths != count as usize {
                    bail!("{name}: expected {count} paths, found {paths}");
                }
            }
            rows.extend(grown(hook, name, "paths", &PATHS, &above, Some(PATHS_BUDGET)));
        }
    }
    rows.extend(devices(&mut ours, effort)?);
    rows.extend(cpus(&mut ours[0], effort)?);
    let about = format!(
        "A driver program gives each run another sender, in an order that caches cannot foresee, and continues with a \
         tail call. Floor and REF run after the same driver, so REF + shows what the same number of flows costs a \
         program with one hash. Growth: nanoseconds above the floor relative to the first row. Devices: the measured \
         device is in the last slot that a lookup probes. CPUs: the same path on all of them at once. {}",
        noise::describe(),
    );
    Ok(section("scale", "Growth", about, &rows))
}

/// Growth from one spoofed sender to a million, on a node that knows other peers.
///
/// # Errors
/// The kernel refused, or something was not counted.
pub fn flood(effort: Effort) -> Result<Section> {
    let mut ours = [Ours::load(Capacities::default())?, Ours::load(Capacities::default())?];
    let mut rows = Vec::new();
    let (anywhere, pods) = ([1, 0, 0, 0], [10, 128, 0, 0]);
    for (name, class, bytes, base) in [
        ("external TCP 66 B", Class::None, classes::external(UNKNOWN_PEER), anywhere),
        ("TCP 66 B from spoofed pods", Class::None, classes::native(FAR_POD), pods),
        ("IPIP 1514 B", Class::Ipip, classes::ipip(UNKNOWN_PEER), anywhere),
        ("VXLAN 1514 B", Class::Vxlan, classes::vxlan4(UNKNOWN_PEER, 1514), anywhere),
    ] {
        let node = with_peers(class, KNOWN);
        let counts = [1, FLOOD];
        let senders = counts.map(|count| Senders::new(base, 1, count));
        for hook in Hook::ALL {
            for ours in &mut ours {
                ours.prepare(&node)?;
            }
            let packet = Packet::new(bytes.clone());
            let above = above_floor(&ours, hook, &packet, &senders, effort)?;
            for ours in &ours {
                let paths = ours.tables.paths()?.len();
                if paths != 0 {
                    bail!("{name}: spoofed senders created {paths} paths");
                }
            }
            rows.extend(grown(hook, name, "senders", &counts, &above, Some(FLOOD_BUDGET)));
        }
    }
    let about = format!(
        "{} distinct spoofed senders compared with one, on a node that knows {} peers; with the driver of the previous \
         section. None of the senders may become a path. {}",
        grouped(u64::from(FLOOD)),
        grouped(u64::from(KNOWN)),
        noise::describe(),
    );
    Ok(section("flood", "Flood", about, &rows))
}

/// One device, compared with a device whose lookup probes occupied slots first.
fn devices(ours: &mut [Ours], effort: Effort) -> Result<Vec<Row>> {
    let node = with_peers(Class::Vxlan, 1);
    let ours = &mut ours[..2];
    for ours in ours.iter_mut() {
        ours.prepare(&node)?;
    }
    let tables = &mut ours[1].tables;
    // The loopback device has index 1; slots 1 to 3 are filled with devices whose indices collide.
    tables.remove_device(1)?;
    let others = [1, 2, 3].into_iter().chain(5..13);
    for index in others {
        let facts = DeviceFacts { ifindex: DEVICE_TABLE + index, ..node.device };
        tables.set_device(&facts)?;
    }
    tables.set_device(&node.device)?;
    let senders = [Senders::new(NODES, 1, 1); 2];
    let packet = Packet::new(classes::vxlan4(PEER, 1514));
    let above = above_floor(ours, Hook::Tc, &packet, &senders, effort)?;
    for ours in ours.iter_mut() {
        for index in 1..13 {
            ours.tables.remove_device(DEVICE_TABLE + index)?;
        }
        ours.tables.remove_device(1)?;
    }
    Ok(grown(Hook::Tc, "c VXLAN TCP 1514 B", "devices", &[1, 12], &above, None))
}

/// One CPU, compared with all of them at once.
fn cpus(ours: &mut Ours, effort: Effort) -> Result<Vec<Row>> {
    let baselines = Baselines::load()?;
    ours.prepare(&Node::underlay(Class::Vxlan))?;
    let packet = Packet::new(classes::vxlan4(PEER, 1514));
    let floor = baselines.program(Hook::Tc, Baseline::Floor)?;
    let program = ours.program(Hook::Tc.ours(Direction::Ingress))?;
    let cpus = clock::all_cpus();
    let mut above = Vec::new();
    let counts: Vec<u32> = if cpus.len() > 1 { vec![1, cpus.len() as u32] } else { vec![1] };
    for count in &counts {
        let cpus = &cpus[cpus.len() - *count as usize..];
        let barrier = Barrier::new(cpus.len());
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = cpus
                .iter()
                .map(|cpu| {
                    scope.spawn(|| -> Result<f64> {
                        clock::pin(&[*cpu])?;
                        barrier.wait();
                        let what = [floor, program];
                        let costs =
                            interleaved(2, effort, |index, repeat| run(what[index], &packet, repeat))?;
                        Ok(costs.above(1, 0))
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().ok().context("a thread of the benchmark panicked")?)
                .collect::<Result<Vec<f64>>>()
        })?;
        above.push(Above { ours: median(&results), reference: f64::NAN });
    }
    Ok(grown(Hook::Tc, "c VXLAN TCP 1514 B", "CPUs", &counts, &above, None))
}

impl Row {
    fn ratio(&self) -> f64 {
        self.above.ours / self.above.reference
    }
}

/// A cell, or a dash if the value was not measured.
fn measured(cell: String, value: f64) -> String {
    if value.is_nan() { "–".to_owned() } else { cell }
}

fn number(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}

fn grown(
    hook: Hook,
    packet: &'static str,
    unit: &'static str,
    numbers: &[u32],
    above: &[Above],
    budget: Option<f64>,
) -> Vec<Row> {
    let row = |(number, above_floor): (&u32, &Above)| {
        let (value, growth) = (above_floor.ours, above_floor.ours / above[0].ours);
        eprintln!(
            "bench: {:<3} {packet:<28} {number:>9} {unit:<8} {value:>6.1} ns above the floor, × {growth:.2}",
            hook.label()
        );
        Row { hook, packet, number: *number, unit, above: *above_floor, growth, budget }
    };
    numbers.iter().zip(above).map(row).collect()
}

fn section(name: &'static str, title: &'static str, about: String, rows: &[Row]) -> Section {
    let cells = |row: &Row| {
        vec![
            row.hook.label().to_owned(),
            row.packet.to_owned(),
            format!("{} {}", grouped(u64::from(row.number)), row.unit),
            ns(row.above.ours),
            measured(ns(row.above.reference), row.above.reference),
            measured(format!("{:.2}", row.ratio()), row.ratio()),
            format!("× {:.2}", row.growth),
            row.budget.map_or_else(|| "–".to_owned(), |budget| format!("≤ {budget:.1}")),
            row.budget.map_or_else(|| "–".to_owned(), |budget| verdict(row.growth, budget)),
        ]
    };
    let data = |row: &Row| {
        json!({
            "hook": row.hook.label(), "packet": row.packet, "number": row.number, "of": row.unit,
            "above_floor_ns": row.above.ours, "reference_above_floor_ns": number(row.above.reference),
            "ratio": number(row.ratio()), "growth": row.growth, "budget": row.budget,
        })
    };
    Section {
        name,
        title,
        about,
        columns: &["hook", "packet", "number", "ours +", "REF +", "R", "growth", "budget", "verdict"],
        rows: rows.iter().map(cells).collect(),
        data: rows.iter().map(data).collect::<Vec<Value>>().into(),
        bars: Vec::new(),
        missing: Vec::new(),
    }
}
