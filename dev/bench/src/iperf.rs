//! Throughput: iperf3 between two namespaces, with Observer on the receiver.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aya::programs::TcAttachType;
use aya::programs::tc::SchedClassifierLink;
use observer::kernel::{Capacities, entry};
use observer_common::abi::{BlockFacts, BlockKey, Coarse, DeviceFacts, PeerFacts, link, role};
use observer_common::address::{Address, Mask};
use observer_common::kind::{Class, Direction};
use observer_testing::node::{Node, TUNNEL_SLOT, UNDERLAY_SLOT, VNI};
use serde_json::{Value, json};

use crate::baselines::{Baseline, Baselines};
use crate::bench::{Hook, Ours};
use crate::clock::{self, median, paired};
use crate::frames::attach_tc;
use crate::netns::{Netns, Running};
use crate::report::{Section, verdict_at_least};

/// Lowest allowed share of the throughput without programs.
const BUDGET: f64 = 0.97;
/// Length of each run, the shortest of iperf3: anything that slows the machine down for longer affects a whole round.
const SECONDS: u32 = 1;
const SENDER: [u8; 4] = [10, 77, 0, 1];
/// Underlay device of both nodes.
pub const UNDERLAY: &str = "underlay";
/// Their VXLAN device.
pub const TUNNEL: &str = "tunnel";

/// Traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    Tcp,
    Vxlan,
    Udp,
}

impl Traffic {
    const ALL: [Self; 3] = [Self::Tcp, Self::Vxlan, Self::Udp];

    const fn label(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Vxlan => "TCP through VXLAN",
            Self::Udp => "UDP 64 B",
        }
    }

    const fn options(self) -> &'static str {
        match self {
            Self::Tcp => "-c 10.77.0.2",
            Self::Vxlan => "-c 10.78.0.2",
            // Payload of a frame of 64 bytes.
            Self::Udp => "-c 10.77.0.2 -u -b 0 -l 22",
        }
    }
}

const VARIANTS: [&str; 3] = ["no program", "empty programs", "Observer"];

/// Number of measurements.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
}

/// Two nodes; the second is observed.
pub struct Nodes {
    /// The one that sends.
    pub sender: Netns,
    /// The one that is observed.
    pub receiver: Netns,
}

impl Nodes {
    /// Creates them.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn new() -> Result<Self> {
        let (sender, receiver) = (Netns::new()?, Netns::new()?);
        let other = receiver.path();
        sender.ip(&format!("link add {UNDERLAY} type veth peer name {UNDERLAY} netns {other}"))?;
        for (node, own, far) in [(&sender, 1, 2), (&receiver, 2, 1)] {
            node.ip(&format!("addr add 10.77.0.{own}/24 dev {UNDERLAY}"))?;
            node.ip(&format!("link set {UNDERLAY} up"))?;
            node.ip(&format!(
                "link add {TUNNEL} type vxlan id {VNI} dstport 4789 remote 10.77.0.{far} local 10.77.0.{own} \
                 dev {UNDERLAY}"
            ))?;
            node.ip(&format!("addr add 10.78.0.{own}/24 dev {TUNNEL}"))?;
            node.ip(&format!("link set {TUNNEL} up"))?;
        }
        Ok(Self { sender, receiver })
    }

    /// Fills Observer's maps for the receiver.
    fn fill_maps(&self, ours: &mut Ours) -> Result<()> {
        let mut node = Node::underlay(Class::Vxlan);
        let peer = Address::from_v4(SENDER);
        node.config.coarse4[0] =
            Coarse { net: u32::from_ne_bytes([10, 77, 0, 0]), mask: u32::from_ne_bytes([255, 255, 0, 0]) };
        node.peers = [(peer, PeerFacts { udp_class: Class::Vxlan as u32, vni: VNI })].into();
        let block = BlockKey { address: peer.masked(&Mask::of(122)), bits: 122 };
        node.blocks = [(block, BlockFacts { peer, vni: 0, class: Class::None as u32 })].into();
        let ifindex = self.receiver.ifindex(UNDERLAY)?;
        let underlay = DeviceFacts { ifindex, ..node.device };
        ours.prepare(&node.with_device(underlay))?;
        ours.tables.set_device(&DeviceFacts {
            ifindex: self.receiver.ifindex(TUNNEL)?,
            mtu: 1450,
            underlay_mtu: 1500,
            overhead: 50,
            vni: VNI,
            slot: TUNNEL_SLOT,
            underlay_slot: UNDERLAY_SLOT,
            role: role::TUNNEL,
            ingress_link: link::ETHERNET,
            egress_link: link::ETHERNET,
            class: Class::Vxlan as u8,
            ..DeviceFacts::default()
        })?;
        Ok(())
    }

    /// One run: bits per second, or for UDP packets per second, that arrived.
    fn run(&self, traffic: Traffic) -> Result<f64> {
        let mut client = self.sender.command("iperf3");
        client.args(traffic.options().split(' ')).args(["-J", "-t", &SECONDS.to_string()]);
        if let [first, .., last] = clock::all_cpus() {
            client.arg("-A").arg(format!("{last},{first}"));
        }
        let output = client.stdin(Stdio::null()).output().context("cannot start iperf3")?;
        let report: Value =
            serde_json::from_slice(&output.stdout).context("cannot parse the output of iperf3")?;
        if let Some(error) = report["error"].as_str() {
            bail!("iperf3: {error}");
        }
        let end = &report["end"];
        let rate = if traffic == Traffic::Udp {
            let sum = &end["sum"];
            let (all, lost) = (sum["packets"].as_f64(), sum["lost_packets"].as_f64());
            all.zip(lost).zip(sum["seconds"].as_f64()).map(|((all, lost), s)| (all - lost) / s)
        } else {
            end["sum_received"]["bits_per_second"].as_f64()
        };
        rate.context("iperf3 reports no throughput")
    }
}

/// Measures all variants, interleaved.
///
/// # Errors
/// iperf3 is missing, the kernel refused, or nothing was counted.
pub fn measure(effort: Effort) -> Result<Section> {
    let (mut baselines, mut ours) = (Baselines::load()?, Ours::load(Capacities::default())?);
    let nodes = Nodes::new()?;
    nodes.fill_maps(&mut ours)?;
    // iperf3 sets its own CPU affinity.
    clock::pin(clock::all_cpus())?;
    let server = nodes
        .receiver
        .command("iperf3")
        .arg("-s")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start iperf3; install it")?;
    let _server = Running(server);
    std::thread::sleep(Duration::from_millis(500));
    let mut rates = vec![vec![Vec::new(); VARIANTS.len()]; Traffic::ALL.len()];
    for round in 0..effort.rounds {
        for (traffic, rates) in Traffic::ALL.into_iter().zip(&mut rates) {
            for turn in 0..VARIANTS.len() {
                let variant = (round + turn) % VARIANTS.len();
                let links = attach(&nodes, &mut baselines, &mut ours, variant)?;
                let rate = nodes.run(traffic);
                nodes.receiver.run(move || {
                    drop(links);
                    Ok(())
                })?;
                let rate = rate?;
                eprintln!("bench: {:<18} {:<15} {:.3e}/s", traffic.label(), VARIANTS[variant], rate);
                rates[variant].push(rate);
            }
        }
    }
    clock::pin_to_one()?;
    for class in [Class::None, Class::Vxlan] {
        if ours.packets(UNDERLAY_SLOT, Direction::Ingress, class)? == 0 {
            bail!("Observer counted no packet of class {}", class.label());
        }
    }
    Ok(section(&rates, effort))
}

/// Attaches a variant to both directions of both devices.
fn attach(
    nodes: &Nodes,
    baselines: &mut Baselines,
    ours: &mut Ours,
    variant: usize,
) -> Result<Vec<SchedClassifierLink>> {
    let mut links = Vec::new();
    for device in [UNDERLAY, TUNNEL] {
        for (at, name) in [(TcAttachType::Ingress, entry::INGRESS), (TcAttachType::Egress, entry::EGRESS)] {
            let program = match variant {
                0 => continue,
                1 => baselines.ebpf.program_mut(Baseline::Floor.at(Hook::Tc)),
                _ => ours.programs.ebpf.program_mut(name),
            };
            let program = program.context("a program is missing")?;
            links.push(nodes.receiver.run(|| attach_tc(program, device, at))?);
        }
    }
    Ok(links)
}

fn section(rates: &[Vec<Vec<f64>>], effort: Effort) -> Section {
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for (traffic, rates) in Traffic::ALL.into_iter().zip(rates) {
        for (index, variant) in VARIANTS.into_iter().enumerate() {
            let (rate, (low, ratio, high)) = (median(&rates[index]), paired(&rates[index], &rates[0]));
            let rated = index == 2;
            let throughput = if traffic == Traffic::Udp {
                format!("{:.0} k packets/s", rate / 1e3)
            } else {
                format!("{:.2} Gbit/s", rate / 1e9)
            };
            let dash = || "–".to_owned();
            rows.push(vec![
                traffic.label().to_owned(),
                variant.to_owned(),
                throughput,
                format!("{ratio:.3}"),
                if index == 0 { dash() } else { format!("{low:.3} to {high:.3}") },
                if rated { format!("≥ {BUDGET:.2}") } else { dash() },
                if rated { verdict_at_least(ratio, BUDGET) } else { dash() },
            ]);
            let unit = if traffic == Traffic::Udp { "packets_per_second" } else { "bits_per_second" };
            data.push(json!({
                "traffic": traffic.label(), "variant": variant, unit: rate, "ratio": ratio, "low": low, "high": high,
                "rounds": rates[index], "budget": rated.then_some(BUDGET),
            }));
        }
    }
    let about = format!(
        "iperf3 over a veth pair between two namespaces, with default offloads; programs at ingress and egress of the \
         receiver's underlay and VXLAN device. {} interleaved rounds of {} s; medians of the data that arrives. Ratio: \
         the median of the ratios within each round, with its 95 % confidence interval. To Observer, address \
         {}.{}.{}.{} is a pod's, so plain TCP is accounted to a path.",
        effort.rounds, SECONDS, SENDER[0], SENDER[1], SENDER[2], SENDER[3],
    );
    Section {
        name: "iperf",
        title: "Throughput",
        about,
        columns: &["traffic", "at the receiver", "throughput", "ratio", "95 %", "budget", "verdict"],
        rows,
        data: data.into(),
        bars: Vec::new(),
        missing: Vec::new(),
    }
}
