//! Measures what encapsulation costs, where it is asked for: raw tracepoints on every kernel that has
//! BTF, loaded from an object of their own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, MapData, MapError, PerCpuArray};
use aya::programs::{Program, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use observer_common::kind::{Class, Direction};
use observer_common::price::{
    AtWork, Discarded as RawDiscarded, PRICE_SLOTS, PriceConfig, SpanStats, TcpStats, lower_bound,
};

use super::btf::Btf;
use super::error::{KernelError, chain};
use super::load::{explain, verifier_log_level};
use super::sys;
use super::tables::{Shared, failed};
use crate::price::{Discarded, Price, Softirq, Span, TcpPath};
use crate::topology::{Role, Topology, convert};

/// The object that `build.rs` made.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-price"));

/// Programs, their tracepoints, and what is not known without them.
const PROGRAMS: [(&str, &str, &str); 9] = [
    ("price_queue", "net_dev_queue", "encapsulation"),
    ("price_send", "net_dev_start_xmit", "encapsulation"),
    ("price_arrive", "napi_gro_receive_entry", "decapsulation"),
    ("price_arrive_rx", "netif_rx", "decapsulation"),
    ("price_receive", "netif_receive_skb", "decapsulation"),
    ("price_soft_out", "softirq_exit", "time in softirqs"),
    ("price_soft_in", "softirq_entry", "time in softirqs"),
    ("price_probe", "tcp_probe", "round-trip times"),
    ("price_again", "tcp_retransmit_skb", "retransmissions"),
];
/// The event at which the measurement measures itself: no other than test runs bring it about.
const TEST_EVENT: &str = "bpf_test_finish";
/// How often.
const CALIBRATIONS: u32 = 400;
/// TCP paths that fit: a kilobyte each on every CPU.
const TCP_PATHS: u32 = 512;

/// The measurement at work; dropped, it is detached.
pub struct Meter {
    ebpf: Ebpf,
    started: Instant,
    sample: u32,
    probe: u64,
    config: PriceConfig,
    /// Slots of tunnel devices by name, with their encapsulation; a slot is never given twice.
    slots: BTreeMap<String, (u32, Class)>,
    /// Entered interface indices and their slots.
    tunnels: BTreeMap<u32, u32>,
    /// Entered prefixes and their places.
    remotes: BTreeMap<Prefix, u32>,
    /// TCP paths by place.
    places: Vec<(std::net::IpAddr, Class)>,
    missing: Vec<String>,
}

/// An address as maps hold it and the bits of it that count.
type Prefix = ([u32; 4], u32);

impl Meter {
    /// Loads and attaches what this kernel allows.
    ///
    /// # Errors
    /// The kernel has no BTF or refuses the maps. Single programs that it refuses are told of with the
    /// figures.
    pub fn start(sample: u32, topology: &Topology) -> Result<Self, KernelError> {
        let config = offsets(&Btf::running()?, sample)?;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("TCP_PATHS", TCP_PATHS)
            .verifier_log_level(verifier_log_level())
            .load(OBJECT)
            .map_err(|error| explain("create", "the maps of the price", &error, None))?;
        let mut missing = Vec::new();
        let probe = match calibrate(&mut ebpf) {
            Some(probe) => probe,
            None => {
                missing.push("the measurement's own time is not known, and is in the figures".to_owned());
                0
            }
        };
        let mut meter = Self {
            ebpf,
            started: Instant::now(),
            sample: sample.max(1),
            probe,
            config: PriceConfig { probe: u32::try_from(probe).unwrap_or(0), ..config },
            slots: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            remotes: BTreeMap::new(),
            places: Vec::new(),
            missing,
        };
        meter.follow(topology)?;
        for (name, event, unknown) in PROGRAMS {
            if let Err(cause) = attach(&mut meter.ebpf, name, event) {
                meter
                    .missing
                    .push(format!("{unknown}: this kernel does not let {event} be watched ({cause})"));
            }
        }
        Ok(meter)
    }

    /// Makes the tables fit a node that has changed.
    ///
    /// # Errors
    /// A table is full or cannot be written.
    pub fn follow(&mut self, topology: &Topology) -> Result<(), KernelError> {
        for (place, port) in self.config.ports.iter_mut().zip(
            topology
                .vxlan_ports
                .iter()
                .chain(&topology.geneve_ports)
                .map(|port| port.to_be())
                .chain(std::iter::repeat(0)),
        ) {
            *place = port;
        }
        let config = map(&mut self.ebpf, "PRICE_CONFIG")?;
        let mut config =
            Array::<_, Shared<PriceConfig>>::try_from(config).map_err(failed("open", "PRICE_CONFIG"))?;
        config.set(0, Shared(self.config), 0).map_err(failed("write", "PRICE_CONFIG"))?;
        self.follow_tunnels(topology)?;
        self.follow_remotes(topology)
    }

    fn follow_tunnels(&mut self, topology: &Topology) -> Result<(), KernelError> {
        let mut wanted = BTreeMap::new();
        for watched in topology.watched.iter().filter(|watched| watched.role == Role::Tunnel) {
            let name = &watched.device.name;
            if watched.class == Class::Wireguard {
                self.note(format!("{name}: WireGuard encrypts in other contexts, which is not measured"));
                continue;
            }
            let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            if next >= PRICE_SLOTS && !self.slots.contains_key(name) {
                self.note(format!("{name}: only {PRICE_SLOTS} tunnel devices are measured"));
                continue;
            }
            let (slot, class) = self.slots.entry(name.clone()).or_insert((next, watched.class));
            *class = watched.class;
            wanted.insert(watched.device.ifindex, *slot);
        }
        let tunnels = map(&mut self.ebpf, "PRICE_TUNNELS")?;
        let mut tunnels =
            HashMap::<_, u32, u32>::try_from(tunnels).map_err(failed("open", "PRICE_TUNNELS"))?;
        for gone in self.tunnels.keys().filter(|ifindex| !wanted.contains_key(ifindex)) {
            tunnels.remove(gone).map_err(failed("write", "PRICE_TUNNELS"))?;
        }
        for (ifindex, slot) in &wanted {
            tunnels.insert(ifindex, slot, 0).map_err(failed("write", "PRICE_TUNNELS"))?;
        }
        self.tunnels = wanted;
        Ok(())
    }

    fn follow_remotes(&mut self, topology: &Topology) -> Result<(), KernelError> {
        let peers = topology.peers.iter().map(|peer| (peer.address, 128, peer.address, Class::None));
        let blocks =
            topology.blocks.iter().map(|block| (block.address, block.prefix_len, block.peer, block.class));
        let mut wanted = BTreeMap::new();
        for (address, length, peer, class) in peers.chain(blocks) {
            let Some(place) = self.place(peer, class) else { continue };
            let length = if length == 128 { 128 } else { convert::bits(address, length) };
            wanted.insert((convert::to_wire(address).0, u32::from(length)), place);
        }
        let remotes = map(&mut self.ebpf, "REMOTES")?;
        let mut remotes =
            LpmTrie::<_, [u32; 4], u32>::try_from(remotes).map_err(failed("open", "REMOTES"))?;
        for (address, bits) in self.remotes.keys().filter(|prefix| !wanted.contains_key(prefix)) {
            remotes.remove(&Key::new(*bits, *address)).map_err(failed("write", "REMOTES"))?;
        }
        for (prefix, place) in wanted.iter().filter(|(prefix, place)| self.remotes.get(prefix) != Some(place))
        {
            remotes.insert(&Key::new(prefix.1, prefix.0), *place, 0).map_err(failed("write", "REMOTES"))?;
        }
        self.remotes = wanted;
        Ok(())
    }

    /// The place of a TCP path; `None` where no more fit.
    fn place(&mut self, peer: std::net::IpAddr, class: Class) -> Option<u32> {
        let known = self.places.iter().position(|place| *place == (peer, class));
        let place = known.unwrap_or(self.places.len());
        if place >= TCP_PATHS as usize {
            self.note(format!("round-trip times: only {TCP_PATHS} peers and encapsulations fit"));
            return None;
        }
        if known.is_none() {
            self.places.push((peer, class));
        }
        u32::try_from(place).ok()
    }

    /// Its programs.
    pub(super) const fn ebpf(&self) -> &Ebpf {
        &self.ebpf
    }

    fn note(&mut self, note: String) {
        if !self.missing.contains(&note) {
            self.missing.push(note);
        }
    }

    /// What was measured up to now.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn read(&self) -> Result<Price, KernelError> {
        let (discarded, softirqs) = self.cpus()?;
        Ok(Price {
            sample: self.sample,
            measuring: self.started.elapsed(),
            probe: Duration::from_nanos(self.probe),
            spans: self.spans()?,
            discarded,
            softirqs,
            tcp: self.tcp()?,
            missing: self.missing.clone(),
        })
    }

    fn spans(&self) -> Result<Vec<Span>, KernelError> {
        let map = per_cpu::<SpanStats>(&self.ebpf, "SPANS")?;
        let mut spans = Vec::new();
        for (name, (slot, class)) in &self.slots {
            for direction in Direction::ALL {
                let index = slot * 2 + direction as u32;
                let values = map.get(&index, 0).map_err(failed("read", "SPANS"))?;
                let mut sum = SpanStats::ZERO;
                for Shared(value) in values.iter() {
                    sum.skbs += value.skbs;
                    sum.packets += value.packets;
                    sum.time += value.time;
                    sum.gaps += value.gaps;
                    for (sum, count) in sum.buckets.iter_mut().zip(value.buckets) {
                        *sum += count;
                    }
                }
                let own = (sum.gaps * self.probe).min(sum.time);
                spans.push(Span {
                    device: name.clone(),
                    direction,
                    class: *class,
                    skbs: sum.skbs,
                    packets: sum.packets,
                    time: Duration::from_nanos(sum.time - own),
                    own: Duration::from_nanos(own),
                    buckets: sum.buckets.to_vec(),
                });
            }
        }
        Ok(spans)
    }

    fn cpus(&self) -> Result<(Discarded, Vec<Softirq>), KernelError> {
        let map = per_cpu::<RawDiscarded>(&self.ebpf, "DISCARDED")?;
        let mut discarded = Discarded::default();
        for Shared(value) in map.get(&0, 0).map_err(failed("read", "DISCARDED"))?.iter() {
            discarded.unsent += value.unsent;
            discarded.undelivered += value.undelivered;
            discarded.interrupted += value.interrupted;
            discarded.unreadable += value.unreadable;
        }
        if self.missing.iter().any(|text| text.starts_with("time in softirqs")) {
            return Ok((discarded, Vec::new()));
        }
        let map = per_cpu::<AtWork>(&self.ebpf, "AT_WORK")?;
        let values = map.get(&0, 0).map_err(failed("read", "AT_WORK"))?;
        let row = |(cpu, Shared(value)): (u32, &Shared<AtWork>)| Softirq {
            cpu,
            transmit: Duration::from_nanos(value.softirqs[0]),
            receive: Duration::from_nanos(value.softirqs[1]),
        };
        Ok((discarded, (0..).zip(values.iter()).map(row).collect()))
    }

    fn tcp(&self) -> Result<Vec<TcpPath>, KernelError> {
        let map = per_cpu::<TcpStats>(&self.ebpf, "TCP_PATHS")?;
        let mut paths = Vec::new();
        for (place, (peer, class)) in (0..).zip(&self.places) {
            let values = map.get(&place, 0).map_err(failed("read", "TCP_PATHS"))?;
            let mut path = TcpPath {
                peer: *peer,
                class: *class,
                samples: 0,
                sum: Duration::ZERO,
                retransmits: 0,
                buckets: vec![0; TcpStats::ZERO.buckets.len()],
            };
            for Shared(value) in values.iter() {
                path.samples += value.samples;
                path.sum += Duration::from_micros(value.sum);
                path.retransmits += value.retransmits;
                for (sum, count) in path.buckets.iter_mut().zip(value.buckets) {
                    *sum += u64::from(count);
                }
            }
            paths.push(path);
        }
        Ok(paths)
    }
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut aya::maps::Map, KernelError> {
    ebpf.map_mut(name).ok_or_else(|| failed("find", name)(MapError::InvalidName { name: name.to_owned() }))
}

fn per_cpu<'a, T: Copy + 'static>(
    ebpf: &'a Ebpf,
    name: &'static str,
) -> Result<PerCpuArray<&'a MapData, Shared<T>>, KernelError> {
    let map = ebpf
        .map(name)
        .ok_or_else(|| failed("find", name)(MapError::InvalidName { name: name.to_owned() }))?;
    let map: &'a aya::maps::Map = map;
    PerCpuArray::try_from(map).map_err(failed("open", name))
}

/// Loads a program and attaches it; why not, where it cannot.
fn attach(
    ebpf: &mut Ebpf,
    name: &str,
    event: &str,
) -> Result<aya::programs::raw_trace_point::RawTracePointLinkId, String> {
    let Some(Program::RawTracePoint(program)) = ebpf.program_mut(name) else {
        return Err(format!("the object has no {name}"));
    };
    if program.fd().is_err() {
        program.load().map_err(|error| {
            log::debug!("{name}: {error}");
            chain(&error)
        })?;
    }
    program.attach(event).map_err(|error| chain(&error))
}

/// What a gap between two programs costs by itself, in ns: the median of two programs at one event.
fn calibrate(ebpf: &mut Ebpf) -> Option<u64> {
    let mut links = Vec::new();
    for name in ["price_gap_begin", "price_gap_end"] {
        match attach(ebpf, name, TEST_EVENT) {
            Ok(link) => links.push((name, link)),
            Err(cause) => log::debug!("{name}: {cause}"),
        }
    }
    let ran = links.len() == 2 && bring_about(ebpf).is_some();
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

/// Brings the event about.
fn bring_about(ebpf: &mut Ebpf) -> Option<()> {
    let Some(Program::Xdp(program)) = ebpf.program_mut("price_event") else { return None };
    program.load().inspect_err(|error| log::debug!("price_event: {error}")).ok()?;
    for _ in 0..CALIBRATIONS {
        let mut options = TestRunOptions::new();
        options.data_in = Some(&[0; 64]);
        program.test_run(options).inspect_err(|error| log::debug!("price_event: {error}")).ok()?;
    }
    Some(())
}

/// Where this kernel keeps what the programs read.
fn offsets(btf: &Btf, sample: u32) -> Result<PriceConfig, KernelError> {
    let of = |structure: &str, field: &str| btf.field(structure, field, "measure without --price");
    let sock = |field: &str| of("sock", &format!("__sk_common.{field}"));
    Ok(PriceConfig {
        skb_dev: of("sk_buff", "dev")?,
        skb_head: of("sk_buff", "head")?,
        skb_data: of("sk_buff", "data")?,
        skb_end: of("sk_buff", "end")?,
        skb_len: of("sk_buff", "len")?,
        gso_size: of("skb_shared_info", "gso_size")?,
        gso_segs: of("skb_shared_info", "gso_segs")?,
        dev_ifindex: of("net_device", "ifindex")?,
        dev_net: of("net_device", "nd_net")?,
        net_inum: of("net", "ns.inum")?,
        sk_family: sock("skc_family")?,
        sk_remote4: sock("skc_daddr")?,
        sk_local4: sock("skc_rcv_saddr")?,
        sk_remote6: sock("skc_v6_daddr")?,
        sk_local6: sock("skc_v6_rcv_saddr")?,
        tcp_srtt: of("tcp_sock", "srtt_us")?,
        netns: u32::try_from(sys::netns()?).unwrap_or(0),
        sample: sample.max(1),
        ..PriceConfig::default()
    })
}
