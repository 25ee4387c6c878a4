//! Floods from spoofed sources through the loaded program: known peers and totals stay exact, and no table
//! grows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{Map, MapData, MapInfo, PerCpuArray};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp};
use observer::kernel::{Capacities, Options, Programs, Tables, entry, sys};
use observer::model::Report;
use observer::snapshot::{Device, Hook, Snapshot};
use observer::topology::Role;
use observer_common::abi::{Events, PeerFacts, Totals, UNKNOWN_PEER_SLOTS, events_index, totals_index};
use observer_common::address::{Address, Mask};
use observer_common::counters::{Event, PathCounter, Total};
use observer_common::kind::{Class, Direction};
use observer_common::path::{PathKey, PathStats, UnknownPeer, VNI_NONE, VNI_UNKNOWN};
use observer_testing::memory::{size_class, size_class_table};
use observer_testing::node::{self, FAR_POD, NODE, PEER, POD, ROUTER, UNDERLAY_SLOT, VNI};
use observer_testing::packets::{Ip4, ethernet_ip, payload, ptb4, tcp, udp, vxlan};
use observer_testing::{Counted, node::Node};

use crate::lab::{Lab, wait_for};
use crate::watch::Watch;

/// Distinct senders of each flood.
const SENDERS: u32 = 1_000_000;
/// Senders on an emulated machine, where a million would take minutes.
const FEWER: u32 = 200_000;
/// Time limit for a million packets, which take 1 to 2 s on a normal machine.
const TIME_LIMIT: Duration = Duration::from_secs(8);
/// Packets after which nothing may grow.
const WARM_UP: u32 = 5_000;
/// Packets of the flood between two packets of a known peer.
const KNOWN_EVERY: u32 = 8;
/// Offsets of the outer source address and the VNI in a frame without options.
const SOURCE: usize = 14 + 12;
const VXLAN_VNI: usize = 14 + 20 + 8 + 4;
/// Offset of the quoted packet in a router's message.
const QUOTED: usize = 14 + 20 + 8;
/// Normal variation of the process's memory, mostly its threads' arenas. A table that grew with 1,000,000
/// senders would take many times that.
const NOISE: u64 = 4 << 20;

/// A frame and how it must be counted.
#[derive(Clone)]
struct Packet {
    bytes: Vec<u8>,
    class: Class,
    l3: u64,
    inner: u64,
}

impl Packet {
    fn new(packet: &[u8], class: Class, inner: usize) -> Self {
        Self { bytes: ethernet_ip(packet), class, l3: packet.len() as u64, inner: inner as u64 }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes a VNI without changing the byte after it.
    fn put_vni(&mut self, at: usize, vni: u32) {
        self.put(at, &vni.to_be_bytes()[1..]);
    }

    /// Adds `packets` of it to a row of totals.
    fn count(&self, totals: &mut Totals, packets: u64) {
        let mut add = |counter: Total, value: u64| totals.counters[counter as usize] += value * packets;
        add(Total::Packets, 1);
        add(Total::WireBytes, self.bytes.len() as u64);
        add(Total::L3Bytes, self.l3);
        add(Total::InnerBytes, self.inner);
        if packets != 0 {
            let largest = &mut totals.counters[Total::Largest as usize];
            *largest = self.l3.max(*largest);
            totals.sizes[size_class(self.l3 as u32)] += packets;
        }
    }

    fn path(&self, packets: u64) -> PathStats {
        let mut stats = PathStats::ZERO;
        let mut put = |counter: PathCounter, value: u64| stats.0[counter as usize] = value;
        put(PathCounter::Packets, packets);
        put(PathCounter::WireBytes, self.bytes.len() as u64 * packets);
        put(PathCounter::L3Bytes, self.l3 * packets);
        put(PathCounter::InnerBytes, self.inner * packets);
        put(PathCounter::Largest, self.l3);
        stats
    }
}

fn pod_packet(size: usize) -> Vec<u8> {
    Ip4::new(FAR_POD, POD, 6).dont_fragment().around(&tcp(0, &payload(size)))
}

/// Packets of known peers: native, IPIP and VXLAN, with their paths.
fn known() -> Vec<(Packet, PathKey)> {
    let (native, inner) = (pod_packet(40), pod_packet(1200));
    let ipip = Ip4::new(PEER, NODE, 4).around(&inner);
    let in_vxlan = Ip4::new(PEER, NODE, 17).around(&vxlan(VNI, &ethernet_ip(&inner)));
    vec![
        (Packet::new(&native, Class::None, native.len()), from_far_block()),
        (Packet::new(&ipip, Class::Ipip, inner.len()), from_peer(Class::Ipip, VNI_NONE)),
        (Packet::new(&in_vxlan, Class::Vxlan, inner.len()), from_peer(Class::Vxlan, VNI)),
    ]
}

fn from_peer(class: Class, vni: u32) -> PathKey {
    key(Direction::Ingress, class, vni, PEER)
}

/// The path of native packets: the pod block with its prefix length.
fn from_far_block() -> PathKey {
    const BLOCK: u32 = 96 + 26;
    let peer = Address::from_v4(FAR_POD).masked(&Mask::of(BLOCK as u8));
    PathKey { peer, ..from_peer(Class::None, BLOCK) }
}

fn key(direction: Direction, class: Class, vni: u32, peer: [u8; 4]) -> PathKey {
    let peer = Address::from_v4(peer);
    PathKey { peer, vni, slot: UNDERLAY_SLOT, direction: direction as u8, class: class as u8 }
}

/// A pseudo-random permutation of all 32-bit numbers: multiplication by an odd factor is a bijection.
fn scattered(nth: u32) -> u32 {
    nth.wrapping_mul(0x9e37_79b1) ^ 0x5bd1_e995
}

/// The source of the flood's n-th packet. All are different, and none is a known node or pod.
fn source(nth: u32) -> [u8; 4] {
    let known = |address: [u8; 4]| address == PEER || (address[..3] == FAR_POD[..3] && address[3] < 64);
    let address = scattered(nth).to_be_bytes();
    // No flood has more than 2^31 packets.
    if known(address) { scattered(nth + (1 << 31)).to_be_bytes() } else { address }
}

/// A VNI that none of the node's devices uses.
fn unknown_vni(nth: u32) -> u32 {
    let vni = scattered(nth) >> 8;
    if matches!(vni, 0 | VNI | 0x00ca_11c0) { 7 } else { vni }
}

/// The loaded programs with the tables of a node.
struct Kernel {
    programs: Programs,
    tables: Tables,
}

/// A flood: a frame, and a function that turns it into the n-th packet.
struct Flood {
    packet: Packet,
    vary: fn(&mut Packet, u32),
}

/// The result of a flood.
struct Run {
    /// Packets of the flood.
    sent: u64,
    /// Packets sent for each of [`known`].
    of_known: u64,
    counted: Counted,
}

impl Kernel {
    fn load(capacities: Capacities, node: &Node) -> Self {
        let mut programs = Programs::load(capacities).expect("load the programs");
        let mut tables = Tables::take(&mut programs.ebpf).expect("open the maps");
        tables.set_size_classes(&size_class_table()).expect("set the size classes");
        tables.set_config(&node.config).expect("set the configuration");
        tables.set_peers(&node.peers, &node.blocks).expect("set peers and blocks");
        tables.set_device(&node.device).expect("set the device");
        let mut kernel = Self { programs, tables };
        kernel.program();
        kernel
    }

    /// The program under test.
    fn program(&mut self) -> Flooded<'_> {
        if sys::version().is_some_and(|version| version < ONE_XDP_RUN_IS_CHEAP) {
            Flooded::Tc(self.programs.classifier(entry::INGRESS).expect("load the TC program"))
        } else {
            Flooded::Xdp(self.programs.xdp(entry::XDP).expect("load the XDP program"))
        }
    }

    fn send(&mut self, packet: &Packet, times: u64) {
        let program = self.program();
        for _ in 0..times {
            run(program, &packet.bytes);
        }
    }

    fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        for direction in Direction::ALL {
            let events = self.tables.events(UNDERLAY_SLOT, direction).expect("read events");
            counted.add_events(events_index(UNDERLAY_SLOT, direction), &events);
            for class in Class::ALL {
                let totals = self.tables.totals(UNDERLAY_SLOT, direction, class).expect("read totals");
                counted.add_totals(totals_index(UNDERLAY_SLOT, direction, class), &totals);
            }
        }
        for (key, stats) in self.tables.paths().expect("read paths") {
            counted.add_path(&key, &stats);
        }
        for peer in self.tables.unknown_peers().expect("read unknown peers") {
            counted.add_unknown_peer(&peer);
        }
        counted
    }

    /// Sends a flood on all CPUs, mixed with packets of known peers, and checks that no table's memory
    /// grows.
    fn flood(&mut self, name: &str, flood: &Flood) -> Run {
        self.tables.reset(&[UNDERLAY_SLOT]).expect("reset");
        let known = known();
        let start = Instant::now();
        let mut of_known = self.send_range(flood, &known, 0..WARM_UP);
        let (maps, memory) = (own_maps(), resident());
        of_known += self.send_range(flood, &known, WARM_UP..FEWER);
        let slow = start.elapsed() * (SENDERS / FEWER) > TIME_LIMIT;
        let senders = if slow { FEWER } else { SENDERS };
        of_known += self.send_range(flood, &known, FEWER..senders);
        let took = start.elapsed();
        let (maps_after, memory_after) = (own_maps(), resident());
        assert_eq!(maps, maps_after, "{name}: sizes and memory of the maps");
        let grown = memory_after.saturating_sub(memory);
        assert!(grown <= NOISE, "{name}: the process grew by {grown} bytes");
        let counted = self.counted();
        let packets = senders + (of_known * known.len() as u64) as u32;
        println!(
            "flood {name}: {senders} senders on {} CPUs, {packets} packets in {:.1} s ({:.2} µs each), {} per known path; {} paths, {} unknown peers in {} slots per CPU; maps {} KiB, process {:+} KiB",
            cpus().len(),
            took.as_secs_f64(),
            took.as_secs_f64() * 1e6 / f64::from(packets),
            of_known,
            counted.paths.len(),
            counted.unknown_peers.len(),
            UNKNOWN_PEER_SLOTS,
            maps_after.iter().map(|map| map.memory).sum::<u64>() / 1024,
            i64::try_from(memory_after).unwrap_or(0) / 1024 - i64::try_from(memory).unwrap_or(0) / 1024,
        );
        Run { sent: senders.into(), of_known, counted }
    }

    /// Sends a part of a flood, divided among the CPUs. Returns the packets sent for each known path.
    fn send_range(&mut self, flood: &Flood, known: &[(Packet, PathKey)], range: Range<u32>) -> u64 {
        let program = self.program();
        let cpus = cpus();
        let share = (range.end - range.start).div_ceil(cpus.len() as u32);
        thread::scope(|scope| {
            let parts: Vec<_> = cpus
                .iter()
                .enumerate()
                .map(|(nth, cpu)| {
                    let from = (range.start + share * nth as u32).min(range.end);
                    let to = (from + share).min(range.end);
                    scope.spawn(move || {
                        pin(*cpu);
                        let mut packet = flood.packet.clone();
                        let mut of_known = 0;
                        for nth in from..to {
                            (flood.vary)(&mut packet, nth);
                            run(program, &packet.bytes);
                            if nth % KNOWN_EVERY == 0 {
                                known.iter().for_each(|(packet, _)| run(program, &packet.bytes));
                                of_known += 1;
                            }
                        }
                        of_known
                    })
                })
                .collect();
            parts.into_iter().map(|part| part.join().expect("no panic")).sum()
        })
    }
}

/// On older kernels every test run of an XDP program patches the XDP dispatcher twice and waits for all CPUs, a
/// millisecond or more. There the TC program is tested, which has the same rule and maps.
const ONE_XDP_RUN_IS_CHEAP: (u32, u32) = (6, 1);

/// The program that packets are sent through.
#[derive(Clone, Copy)]
enum Flooded<'a> {
    Xdp(&'a Xdp),
    Tc(&'a SchedClassifier),
}

fn run(program: Flooded<'_>, frame: &[u8]) {
    const XDP_PASS: u32 = 2;
    const TC_NEXT: u32 = u32::MAX;
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    let (result, pass) = match program {
        Flooded::Xdp(program) => (program.test_run(options), XDP_PASS),
        Flooded::Tc(program) => (program.test_run(options), TC_NEXT),
    };
    assert_eq!(result.expect("run the program").return_value, pass, "the packet passes");
}

/// Up to four CPUs that this process may use.
fn cpus() -> Vec<usize> {
    // SAFETY: zero is an empty set, and the kernel writes at most the given size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &raw mut set), 0);
        set
    };
    // SAFETY: the set is initialised and the numbers are below its size.
    (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).take(4).collect()
}

fn pin(cpu: usize) {
    // SAFETY: as above; only this thread stays on the CPU.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &raw const set), 0);
    }
}

/// A map that this process has open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OwnMap {
    name: String,
    id: u32,
    entries: u32,
    /// Bytes in the kernel, from `memlock`.
    memory: u64,
}

fn own_maps() -> BTreeSet<OwnMap> {
    let mut maps = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo").expect("fdinfo") {
        // The descriptor of the folder itself is closed already.
        let Ok(text) = std::fs::read_to_string(entry.expect("an entry").path()) else { continue };
        let field = |name: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
        };
        let Some(id) = field("map_id") else { continue };
        let id = id as u32;
        let info = MapInfo::from_id(id).expect("the map's info");
        maps.insert(OwnMap {
            name: info.name_as_str().expect("a name").to_owned(),
            id,
            entries: field("max_entries").expect("max_entries") as u32,
            memory: field("memlock").expect("memlock"),
        });
    }
    assert!(maps.len() >= 10, "only {} maps", maps.len());
    maps
}

/// Anonymous memory of this process, in bytes. File pages are excluded, because they are loaded on first
/// use.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// Used slots in the table of unknown peers by CPU, read directly from the map.
fn unknown_peers_by_cpu() -> Vec<usize> {
    const SIZE: usize = size_of::<UnknownPeer>();
    let maps = own_maps();
    // The kernel truncates names to 15 bytes.
    let id = maps.iter().find(|map| "UNKNOWN_PEERS".starts_with(&map.name)).expect("the map").id;
    let data = MapData::from_id(id).expect("open the map");
    let map = PerCpuArray::<_, [u8; SIZE]>::try_from(Map::PerCpuArray(data)).expect("a per-CPU array");
    assert_eq!(map.len(), UNKNOWN_PEER_SLOTS);
    let mut taken: Vec<usize> = Vec::new();
    for index in 0..UNKNOWN_PEER_SLOTS {
        let values = map.get(&index, 0).expect("read");
        taken.resize(values.len(), 0);
        for (cpu, value) in values.iter().enumerate() {
            let packets = u64::from_ne_bytes(value[24..32].try_into().expect("eight bytes"));
            taken[cpu] += usize::from(packets != 0);
        }
    }
    taken
}

/// The expected counters: packets and paths of known peers, and a row for the flood.
fn expected(run: &Run, flood: &Packet, flags: &[Total]) -> Counted {
    let mut counted = Counted::default();
    for (packet, key) in known() {
        let mut totals = Totals::ZERO;
        packet.count(&mut totals, run.of_known);
        counted.add_totals(totals_index(UNDERLAY_SLOT, Direction::Ingress, packet.class), &totals);
        counted.add_path(&key, &packet.path(run.of_known));
    }
    let mut totals = Totals::ZERO;
    flood.count(&mut totals, run.sent);
    for flag in flags {
        totals.counters[*flag as usize] += run.sent;
    }
    counted.add_totals(totals_index(UNDERLAY_SLOT, Direction::Ingress, flood.class), &totals);
    counted
}

fn ingress_event(counted: &Counted, event: Event) -> u64 {
    counted.events.get(&events_index(UNDERLAY_SLOT, Direction::Ingress)).map_or(0, |e| e.0[event as usize])
}

/// Checks unknown peers and their overflow, and removes them from what was counted.
fn unknown_peers(name: &str, run: &mut Run, flood: &Packet, many: bool) {
    let counted = &mut run.counted;
    let overflow = ingress_event(counted, Event::UnknownPeerOverflow);
    let (packets, bytes) =
        counted.unknown_peers.values().fold((0, 0), |sum, (packets, bytes)| (sum.0 + packets, sum.1 + bytes));
    assert_eq!(packets + overflow, run.sent, "{name}: unknown peers' packets and their overflow");
    assert_eq!(bytes, packets * flood.bytes.len() as u64, "{name}: unknown peers' bytes");
    let taken = unknown_peers_by_cpu();
    assert!(taken.iter().all(|slots| *slots <= UNKNOWN_PEER_SLOTS as usize), "{name}: {taken:?}");
    assert!(!many || taken.contains(&(UNKNOWN_PEER_SLOTS as usize)), "{name}: {taken:?}");
    assert!(counted.unknown_peers.keys().all(|key| key.class == flood.class as u8), "{name}");
    println!("flood {name}: unknown peers' packets {packets} + overflow {overflow} = {}", run.sent);
    let events = counted.events.get_mut(&events_index(UNDERLAY_SLOT, Direction::Ingress)).expect("events");
    events.0[Event::UnknownPeerOverflow as usize] = 0;
    if *events == Events::ZERO {
        counted.events.clear();
    }
    counted.unknown_peers.clear();
}

fn same(name: &str, counted: &Counted, expected: &Counted) {
    let difference = counted.difference(expected);
    assert!(difference.is_empty(), "{name}:\n{difference}");
}

fn kernel() -> Kernel {
    Kernel::load(Capacities::default(), &Node::underlay(Class::Vxlan))
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn native_flood_adds_no_entries() {
    let packet = Ip4::new([0; 4], NODE, 17).around(&udp(40_000, 53, &payload(24)));
    let flood = Flood {
        packet: Packet::new(&packet, Class::External, packet.len()),
        vary: |packet, nth| packet.put(SOURCE, &source(nth)),
    };
    let run = kernel().flood("native", &flood);
    same("native", &run.counted, &expected(&run, &flood.packet, &[]));
}

/// The sources are pod addresses in blocks that do not exist.
#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn flood_from_unknown_pods_adds_no_entries() {
    let packet = Ip4::new([10, 244, 0, 0], NODE, 17).around(&udp(40_000, 53, &payload(24)));
    let flood = Flood {
        packet: Packet::new(&packet, Class::External, packet.len()),
        vary: |packet, nth| {
            let low = (nth & 0xffff) as u16;
            let known = low.to_be_bytes()[0] == FAR_POD[2] && low & 0xff < 64;
            packet.put(SOURCE + 2, &if known { 0 } else { low }.to_be_bytes());
        },
    };
    let run = kernel().flood("unknown pods", &flood);
    same("unknown pods", &run.counted, &expected(&run, &flood.packet, &[]));
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn ipip_flood_fills_only_the_unknown_peer_slots() {
    let inner = pod_packet(40);
    let packet = Ip4::new([0; 4], NODE, 4).around(&inner);
    let flood = Flood {
        packet: Packet::new(&packet, Class::Ipip, inner.len()),
        vary: |packet, nth| packet.put(SOURCE, &source(nth)),
    };
    let mut kernel = kernel();
    let mut run = kernel.flood("IPIP", &flood);
    unknown_peers("IPIP", &mut run, &flood.packet, true);
    same("IPIP", &run.counted, &expected(&run, &flood.packet, &[Total::UnknownPeer]));
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn vxlan_flood_fills_only_the_unknown_peer_slots() {
    let inner = pod_packet(40);
    let packet = Ip4::new([0; 4], NODE, 17).around(&vxlan(0, &ethernet_ip(&inner)));
    let flood = Flood {
        packet: Packet::new(&packet, Class::Vxlan, inner.len()),
        vary: |packet, nth| {
            packet.put(SOURCE, &source(nth));
            // In a different order than the sources.
            packet.put_vni(VXLAN_VNI, unknown_vni(nth ^ 0x0055_5555));
        },
    };
    let mut kernel = kernel();
    let mut run = kernel.flood("VXLAN", &flood);
    unknown_peers("VXLAN", &mut run, &flood.packet, true);
    let flags = [Total::UnknownPeer, Total::UnknownVni];
    same("VXLAN", &run.counted, &expected(&run, &flood.packet, &flags));
}

/// A node's address can be spoofed; all unknown VNIs from it are one path.
#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn flood_of_vnis_from_a_known_peer_adds_one_path() {
    let inner = pod_packet(40);
    let packet = Ip4::new(PEER, NODE, 17).around(&vxlan(0, &ethernet_ip(&inner)));
    let flood = Flood {
        packet: Packet::new(&packet, Class::Vxlan, inner.len()),
        vary: |packet, nth| packet.put_vni(VXLAN_VNI, unknown_vni(nth)),
    };
    let mut kernel = kernel();
    let mut run = kernel.flood("VNIs of a known peer", &flood);
    unknown_peers("VNIs of a known peer", &mut run, &flood.packet, true);
    let mut expected = expected(&run, &flood.packet, &[Total::UnknownVni]);
    expected.add_path(&from_peer(Class::Vxlan, VNI_UNKNOWN), &flood.packet.path(run.sent));
    same("VNIs of a known peer", &run.counted, &expected);
}

/// A PTB message for a flood.
fn message(quoted: &[u8]) -> Packet {
    let packet = Ip4::new(ROUTER, NODE, 1).around(&ptb4(1300, quoted));
    Packet::new(&packet, Class::External, packet.len())
}

fn with_messages(mut expected: Counted, run: &Run) -> Counted {
    let mut events = Events::ZERO;
    events.0[Event::PtbV4 as usize] = run.sent;
    expected.add_events(events_index(UNDERLAY_SLOT, Direction::Ingress), &events);
    expected
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn ptb_flood_about_unknown_peers_adds_no_path() {
    let inner = pod_packet(0);
    let quotes = [
        ("PTB, native", Ip4::new(NODE, [0; 4], 6).around(&tcp(0, &[]))),
        ("PTB, IPIP", Ip4::new(NODE, [0; 4], 4).around(&inner)),
        ("PTB, VXLAN", Ip4::new(NODE, [0; 4], 17).around(&vxlan(VNI, &ethernet_ip(&inner)))),
    ];
    for (name, quoted) in quotes {
        let flood =
            Flood { packet: message(&quoted), vary: |packet, nth| packet.put(QUOTED + 16, &source(nth)) };
        let run = kernel().flood(name, &flood);
        same(name, &run.counted, &with_messages(expected(&run, &flood.packet, &[]), &run));
    }
}

/// Messages about tunnels of any kind and VNI to a known peer: one path per encapsulation.
#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn ptb_flood_about_a_known_peer_adds_one_path_per_encapsulation() {
    const KINDS: [(Class, u8, u16); 6] = [
        (Class::Vxlan, 17, 4789),
        (Class::Geneve, 17, 6081),
        (Class::Wireguard, 17, 51_820),
        (Class::Ipip, 4, 0),
        (Class::Ip6In4, 41, 0),
        (Class::Gre, 47, 0),
    ];
    let quoted = Ip4::new(NODE, PEER, 17).around(&vxlan(0, &ethernet_ip(&pod_packet(0))));
    let flood = Flood {
        packet: message(&quoted),
        vary: |packet, nth| {
            let (_, protocol, port) = KINDS[nth as usize % KINDS.len()];
            packet.put(QUOTED + 9, &[protocol]);
            packet.put(QUOTED + 20 + 2, &port.to_be_bytes());
            packet.put_vni(QUOTED + 20 + 8 + 4, unknown_vni(nth));
        },
    };
    let name = "PTB, tunnels to a known peer";
    let run = kernel().flood(name, &flood);
    let mut expected = with_messages(expected(&run, &flood.packet, &[]), &run);
    for (nth, (class, ..)) in KINDS.into_iter().enumerate() {
        let has_vni = matches!(class, Class::Vxlan | Class::Geneve);
        let mut stats = PathStats::ZERO;
        stats.0[PathCounter::Ptb as usize] = (run.sent - nth as u64).div_ceil(KINDS.len() as u64);
        stats.0[PathCounter::PtbMtu as usize] = 1300;
        let vni = if has_vni { VNI_UNKNOWN } else { VNI_NONE };
        expected.add_path(&key(Direction::Egress, class, vni, PEER), &stats);
    }
    same(name, &run.counted, &expected);
}

/// More peers than path entries: the first ones keep their paths, the packets of the others are counted as overflow,
/// and the report has a note on it.
#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn path_overflow_is_counted_and_reported() {
    const CAPACITY: u32 = 4;
    let peers: Vec<[u8; 4]> = (0..10).map(|nth| [192, 0, 2, 10 + nth]).collect();
    let mut node = Node::underlay(Class::Ipip);
    node.peers = peers.iter().map(|peer| (Address::from_v4(*peer), PeerFacts::default())).collect();
    let mut kernel = Kernel::load(Capacities { paths: CAPACITY, ..Capacities::default() }, &node);
    let inner = pod_packet(100);
    let mut sent: BTreeMap<[u8; 4], u64> = BTreeMap::new();
    let mut packet = Packet::new(&Ip4::new([0; 4], NODE, 4).around(&inner), Class::Ipip, inner.len());
    for round in 1..=50_u64 {
        for (nth, peer) in peers.iter().enumerate() {
            packet.put(SOURCE, peer);
            let times = round * (nth as u64 + 1);
            kernel.send(&packet, times);
            *sent.entry(*peer).or_default() += times;
        }
    }
    let all: u64 = sent.values().sum();
    let mut expected = Counted::default();
    let mut totals = Totals::ZERO;
    packet.count(&mut totals, all);
    expected.add_totals(totals_index(UNDERLAY_SLOT, Direction::Ingress, Class::Ipip), &totals);
    for peer in &peers[..CAPACITY as usize] {
        let path = key(Direction::Ingress, Class::Ipip, VNI_NONE, *peer);
        expected.add_path(&path, &packet.path(sent[peer]));
    }
    let overflow: u64 = peers[CAPACITY as usize..].iter().map(|peer| sent[peer]).sum();
    let mut events = Events::ZERO;
    events.0[Event::PathOverflow as usize] = overflow;
    expected.add_events(events_index(UNDERLAY_SLOT, Direction::Ingress), &events);
    let counted = kernel.counted();
    same("full table of paths", &counted, &expected);
    println!(
        "flood full table of paths: {all} packets of 10 peers, {CAPACITY} path entries, overflow {overflow}"
    );
    let report = Report::total(&snapshot(&counted));
    let note = format!("{overflow} packets at eth0 ingress belong to paths that did not fit into the table");
    assert!(report.notes.iter().any(|n| n.starts_with(&note)), "{:?}", report.notes);
}

/// A snapshot of one device with the events of the underlay.
fn snapshot(counted: &Counted) -> Snapshot {
    let events = Direction::ALL
        .map(|d| counted.events.get(&events_index(node::UNDERLAY_SLOT, d)).map_or(Events::ZERO, |e| *e).0);
    let device = Device {
        name: "eth0".to_owned(),
        kind: String::new(),
        role: Role::Underlay,
        mtu: 1500,
        tunnel: None,
        hooks: [Hook::Tcx; 2],
        losses: [0; 2],
        totals: Vec::new(),
        events,
    };
    Snapshot { devices: vec![device], ..Snapshot::default() }
}

/// The same on a node whose native pod traffic has more paths than entries.
#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn live_report_has_a_note_on_path_overflow() {
    let lab = Lab::up_named("observer-flood", "bgp", &["--no-offloads"]);
    let capacities = Capacities { paths: 4, ..Capacities::default() };
    let watch =
        Watch::start(&lab.netns("node-a"), Options { capacities, ..Options::default() }).expect("attach");
    for to in ["b1", "c1"] {
        for family in ["4", "6"] {
            lab.traffic(&["--kind", "rr", "--from", "a1", "--to", to, "--family", family, "--count", "20"]);
        }
    }
    let snapshot = wait_for("a consistent snapshot", || {
        let snapshot = watch.snapshot();
        let fits = Direction::ALL.iter().all(|direction| {
            let device = snapshot.devices.iter().find(|d| d.name == "eth0").expect("eth0");
            let packets: u64 = device
                .totals
                .iter()
                .filter(|t| t.direction == *direction && t.class == Class::None)
                .map(|t| t.counters[Total::Packets as usize])
                .sum();
            let on_paths: u64 = snapshot
                .paths
                .iter()
                .filter(|p| p.id.direction == *direction)
                .map(|p| p.counters[PathCounter::Packets as usize])
                .sum();
            let overflow = device.events[*direction as usize][Event::PathOverflow as usize];
            packets != 0 && overflow != 0 && packets == on_paths + overflow
        });
        fits.then_some(snapshot)
    });
    assert_eq!((snapshot.fill.paths, snapshot.fill.paths_capacity), (4, 4));
    let report = Report::total(&snapshot);
    for direction in Direction::ALL {
        let device = &snapshot.devices[0];
        let overflow = device.events[direction as usize][Event::PathOverflow as usize];
        println!("flood in the lab: {} {}: overflow {overflow}", device.name, direction.label());
        let note = format!(
            "{overflow} packets at {} {} belong to paths that did not fit into the table",
            device.name,
            direction.label()
        );
        assert!(report.notes.iter().any(|n| n.starts_with(&note)), "{:?}", report.notes);
    }
}
