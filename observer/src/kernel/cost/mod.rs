//! Measures what encapsulation costs, on request: raw tracepoints, on every kernel with BTF, from a separate object.

mod calibrate;
mod hook_rtt;
mod object;
mod offsets;
mod read;
mod windows;

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::time::Instant;

use aya::maps::lpm_trie::Key;
use aya::maps::{HashMap, LpmTrie, MapData, PerCpuArray, PerCpuValues};
use aya::{Ebpf, EbpfLoader};
use observer_common::address::Address;
use observer_common::cost::{COST_SLOTS, CostConfig, CpuState, stage};
use observer_common::kind::Class;
use observer_common::path::PEER_WORDS;
use observer_common::remotes::{self, RemoteFilter};

use self::calibrate::calibrate;
use self::hook_rtt::HookRtt;
use self::object::{attach, map, watch};
use self::offsets::offsets;
use self::windows::Windows;
use super::btf::Btf;
use super::drop_reasons::{at_sockets, reasons};
use super::error::{KernelError, missing};
use super::load::{explain, verifier_log_level};
use super::maps::{self, Shared, failed};
use super::options::Measure;
use crate::topology::{Role, Topology, convert};

/// The object that `build.rs` compiled.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-cost"));

/// Programs that run for every packet or segment, their tracepoints, and what is unknown without them. Those that
/// end a measurement come before those that begin it.
const IN_WINDOWS: [(&str, &str, &str); 9] = [
    ("cost_consume", "consume_skb", "segmentation in software"),
    ("cost_queue", "net_dev_queue", "encapsulation"),
    ("cost_send", "net_dev_start_xmit", "encapsulation"),
    ("cost_arrive", "napi_gro_receive_entry", "decapsulation"),
    ("cost_arrive_rx", "netif_rx", "decapsulation"),
    ("cost_receive", "netif_receive_skb", "decapsulation"),
    ("cost_soft_out", "softirq_exit", "time in softirqs"),
    ("cost_soft_in", "softirq_entry", "time in softirqs"),
    ("cost_probe", "tcp_probe", "round-trip times"),
];
/// The same for a rare event that is counted all the time.
const AGAIN: (&str, &str, &str) = ("cost_again", "tcp_retransmit_skb", "retransmissions");
/// Every drop passes here; the program depends on whether the kernel has drop reasons.
const DROP_EVENT: &str = "kfree_skb";
/// Maximum number of TCP paths: one kilobyte per path per CPU.
const TCP_PATHS: u32 = 512;

/// The running measurement; dropping it detaches it.
pub struct Meter {
    /// Dropped first.
    windows: Option<Windows>,
    ebpf: Ebpf,
    started: Instant,
    sample: u32,
    probe: u64,
    config: CostConfig,
    /// Slots of tunnel devices by name, with their encapsulation; slots are never reused.
    slots: BTreeMap<String, (u32, Class)>,
    /// Slots by interface index, as in the map.
    tunnels: BTreeMap<u32, u32>,
    /// TCP paths by prefix, as in the map.
    remotes: BTreeMap<Prefix, u32>,
    /// The filter ahead of them.
    filter: Box<RemoteFilter>,
    /// Names of drop reasons; `None` if the kernel has none.
    reasons: Option<BTreeMap<u32, String>>,
    /// TCP paths by index.
    places: Vec<(std::net::IpAddr, Class)>,
    missing: Vec<String>,
    /// Devices with round-trip hooks.
    hook_rtt: HookRtt,
}

/// An address as in the maps, and its prefix length.
type Prefix = ([u32; 4], u32);

impl Meter {
    /// Loads and attaches what this kernel allows.
    ///
    /// # Errors
    /// The kernel has no BTF or refuses the maps. Programs that it refuses are reported with the figures.
    pub fn start(Measure { sample, hooks }: Measure, topology: &Topology) -> Result<Self, KernelError> {
        let btf = Btf::running()?;
        let config = offsets(&btf, sample)?;
        let reasons = reasons(&btf);
        let ignored = reasons.as_ref().map(at_sockets).unwrap_or_default();
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("TCP_PATHS", TCP_PATHS)
            // One megabyte if round trips are timed, and one unused entry otherwise.
            .map_max_entries("RTT_PATHS", if hooks { TCP_PATHS } else { 1 })
            .verifier_log_level(verifier_log_level())
            .load(OBJECT)
            .map_err(|error| explain("create", "the maps of the cost measurement", &error, None))?;
        let mut missing = Vec::new();
        let probe = match calibrate(&mut ebpf) {
            Some(probe) => probe,
            None => {
                missing.push(
                    "the time of the measurement itself is unknown and included in the figures".to_owned(),
                );
                0
            }
        };
        let mut meter = Self {
            windows: None,
            ebpf,
            started: Instant::now(),
            sample: sample.max(1),
            probe,
            config: CostConfig { probe: u32::try_from(probe).unwrap_or(0), ignored, ..config },
            slots: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            remotes: BTreeMap::new(),
            filter: Box::new([0; PEER_WORDS]),
            reasons,
            places: Vec::new(),
            missing,
            hook_rtt: HookRtt::default(),
        };
        if hooks {
            meter.load_hook_rtt();
        }
        meter.follow(topology)?;
        let (name, event, unknown) = AGAIN;
        if let Err(cause) = attach(&mut meter.ebpf, name, event) {
            meter.cannot(unknown, event, &cause);
        }
        let drop = if meter.reasons.is_some() { "cost_drop" } else { "cost_drop_old" };
        if let Err(cause) = attach(&mut meter.ebpf, drop, DROP_EVENT) {
            meter.cannot("drops", DROP_EVENT, &cause);
        }
        let mut programs = Vec::new();
        for (name, event, unknown) in IN_WINDOWS {
            match watch(&mut meter.ebpf, name, event) {
                Ok(watch) => programs.push(watch),
                Err(cause) => meter.cannot(unknown, event, &cause),
            }
        }
        let forget = forget(&meter.ebpf)?;
        meter.windows = Some(Windows::start(programs, meter.sample, forget).map_err(|error| {
            KernelError::new("start", "the cost measurement", error.to_string(), "try again")
        })?);
        Ok(meter)
    }

    /// Makes the tables match the topology.
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
        maps::write(&mut self.ebpf, "COST_CONFIG", self.config)?;
        self.follow_tunnels(topology)?;
        self.follow_remotes(topology)?;
        self.follow_devices(topology)
    }

    fn follow_tunnels(&mut self, topology: &Topology) -> Result<(), KernelError> {
        let mut wanted = BTreeMap::new();
        for watched in topology.watched.iter().filter(|watched| watched.role == Role::Tunnel) {
            let name = &watched.device.name;
            if watched.class == Class::Wireguard {
                self.note(format!("{name}: WireGuard encrypts in other contexts, which are not measured"));
                continue;
            }
            let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            if next >= COST_SLOTS && !self.slots.contains_key(name) {
                self.note(format!("{name}: only {COST_SLOTS} tunnel devices are measured"));
                continue;
            }
            let (slot, class) = self.slots.entry(name.clone()).or_insert((next, watched.class));
            *class = watched.class;
            wanted.insert(watched.device.ifindex, *slot);
        }
        let tunnels = map(&mut self.ebpf, "COST_TUNNELS")?;
        let mut tunnels =
            HashMap::<_, u32, u32>::try_from(tunnels).map_err(failed("open", "COST_TUNNELS"))?;
        for gone in self.tunnels.keys().filter(|ifindex| !wanted.contains_key(ifindex)) {
            tunnels.remove(gone).map_err(failed("write", "COST_TUNNELS"))?;
        }
        for (ifindex, slot) in &wanted {
            tunnels.insert(ifindex, slot, 0).map_err(failed("write", "COST_TUNNELS"))?;
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
        self.follow_filter()
    }

    /// The kernel writes whole words, so bits that stay are never cleared meanwhile.
    fn follow_filter(&mut self) -> Result<(), KernelError> {
        let mut wanted = Box::new([0; PEER_WORDS]);
        for (address, bits) in self.remotes.keys() {
            remotes::enter(&mut wanted, Address(*address), *bits);
        }
        if wanted != self.filter {
            maps::write(&mut self.ebpf, "REMOTE_FILTER", *wanted)?;
            self.filter = wanted;
        }
        Ok(())
    }

    /// The index of a TCP path; `None` if the table is full.
    fn place(&mut self, peer: std::net::IpAddr, class: Class) -> Option<u32> {
        let known = self.places.iter().position(|place| *place == (peer, class));
        let place = known.unwrap_or(self.places.len());
        if place >= TCP_PATHS as usize {
            self.note(format!(
                "round-trip times: limited to {TCP_PATHS} combinations of peer and encapsulation"
            ));
            return None;
        }
        if known.is_none() {
            self.places.push((peer, class));
        }
        u32::try_from(place).ok()
    }

    /// The programs.
    pub(super) const fn ebpf(&self) -> &Ebpf {
        &self.ebpf
    }

    /// The programs, for loading and attaching.
    pub(super) const fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    fn cannot(&mut self, unknown: &str, event: &str, cause: &str) {
        self.missing.push(format!("{unknown}: cannot attach to {event} on this kernel ({cause})"));
    }

    fn note(&mut self, note: String) {
        if !self.missing.contains(&note) {
            self.missing.push(note);
        }
    }
}

/// Clears what each CPU was measuring: what did not end in the previous window never will. Finished work that is
/// not yet counted stays. Called while no program runs.
fn forget(ebpf: &Ebpf) -> Result<impl FnMut() + Send + 'static, KernelError> {
    let Some(aya::maps::Map::PerCpuArray(map)) = ebpf.map("CPU_STATE") else {
        return Err(missing("map", "CPU_STATE"));
    };
    let fd = map.fd().as_fd().try_clone_to_owned().map_err(|error| {
        KernelError::new(
            "open",
            "map CPU_STATE",
            error.to_string(),
            "raise the limit on open files (`ulimit -n`)",
        )
    })?;
    let map = aya::maps::Map::PerCpuArray(MapData::from_fd(fd).map_err(failed("open", "CPU_STATE"))?);
    let mut map = PerCpuArray::<_, Shared<CpuState>>::try_from(map).map_err(failed("open", "CPU_STATE"))?;
    Ok(move || {
        let cleared = map.get(&0, 0).and_then(|values| {
            let left = |Shared(work): &Shared<CpuState>| {
                // A buffer that was passed on is counted with the next one.
                let given = matches!(work.held_stage, stage::SEGMENTS_PASSED_ON | stage::CHECKSUM_PASSED_ON);
                Shared(CpuState {
                    softirqs: work.softirqs,
                    held_slot: work.held_slot,
                    held_stage: if given { work.held_stage } else { stage::NONE },
                    ..CpuState::default()
                })
            };
            let values = values.iter().map(left).collect::<Vec<_>>();
            map.set(0, PerCpuValues::try_from(values)?, 0)
        });
        if let Err(error) = cleared {
            log::debug!("CPU_STATE: {error}");
        }
    })
}
