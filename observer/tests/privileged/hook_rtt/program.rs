//! The two programs with `BPF_PROG_TEST_RUN`: what they time, what they ignore, and that every packet passes.

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, LpmTrie, MapData};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, Pod};
use observer::kernel::entry;
use observer_common::abi::link;
use observer_common::address::Address;
use observer_common::cost::CostConfig;
use observer_common::hook_rtt::{RTT_SLOTS, RttDevice, RttSlot, RttStats};
use observer_common::kind::Direction;
use observer_common::path::PEER_WORDS;
use observer_common::remotes;
use observer_testing::{node, packets, table};

use super::segment::{ACK, Segment};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-cost"));

/// `TC_ACT_UNSPEC` as the kernel returns it.
const NEXT: u32 = u32::MAX;
/// The device of test runs.
const LOOPBACK: u32 = 1;
/// Index of the path to the remote pod.
const PATH: u32 = 5;
const PORTS: (u16, u16) = (40_000, 80);

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Shared<T>(T);

// SAFETY: the shared structs hold integers only, with explicit padding.
unsafe impl<T: Copy + 'static> Pod for Shared<T> {}

struct Programs(Ebpf);

impl Programs {
    fn load() -> Self {
        observer::kernel::sys::raise_memlock();
        let mut programs = Self(Ebpf::load(OBJECT).expect("create the maps"));
        let config = CostConfig { sample: 1, ..CostConfig::default() };
        programs.array("COST_CONFIG").set(0, Shared(config), 0).expect("write");
        programs.link(link::ETHERNET);
        let map = programs.0.map_mut("REMOTES").expect("it");
        let mut trie = LpmTrie::<_, [u32; 4], u32>::try_from(map).expect("a trie");
        let mut filter = [0; PEER_WORDS];
        for address in [Address::from_v4(node::FAR_POD), Address::from_v6(node::FAR_POD6)] {
            trie.insert(&Key::new(120, address.0), PATH, 0).expect("write");
            remotes::enter(&mut filter, address, 120);
        }
        programs.array("REMOTE_FILTER").set(0, Shared(filter), 0).expect("write");
        for name in [entry::COST_INGRESS, entry::COST_EGRESS] {
            programs.program(name).load().expect("load");
        }
        programs
    }

    fn array<T: Copy + 'static>(&mut self, name: &str) -> Array<&mut MapData, Shared<T>> {
        Array::try_from(self.0.map_mut(name).expect("it")).expect("an array")
    }

    fn program(&mut self, name: &str) -> &mut SchedClassifier {
        self.0.program_mut(name).expect("it").try_into().expect("a classifier")
    }

    /// Sets what the packets of the test's device start with.
    fn link(&mut self, link: u8) {
        let device =
            RttDevice { ifindex: LOOPBACK, ingress_link: link, egress_link: link, ..RttDevice::default() };
        self.array("RTT_DEVICES").set(LOOPBACK, Shared(device), 0).expect("write");
    }

    fn run(&mut self, direction: Direction, packet: &[u8]) -> u32 {
        let name = match direction {
            Direction::Ingress => entry::COST_INGRESS,
            Direction::Egress => entry::COST_EGRESS,
        };
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        self.program(name).test_run(options).expect("run").return_value
    }

    /// Forgets every flow.
    fn forget(&mut self) {
        let mut slots = self.array("RTT_SLOTS_TABLE");
        (0..RTT_SLOTS).for_each(|slot| slots.set(slot, Shared(RttSlot::default()), 0).expect("write"));
    }

    /// Round trips measured on the path so far.
    fn samples(&mut self) -> u64 {
        let Shared(stats) = self.array::<RttStats>("RTT_PATHS").get(&PATH, 0).expect("read");
        assert_eq!(stats.buckets.iter().sum::<u64>(), stats.samples, "every sample is in a bucket");
        stats.samples
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_passes_every_packet() {
    let mut programs = Programs::load();
    let mut ran = 0;
    for case in table::all().into_iter().filter(|case| case.hooks().tc) {
        let device = &case.input.node.device;
        for direction in Direction::ALL {
            programs.link(match direction {
                Direction::Ingress => device.ingress_link,
                Direction::Egress => device.egress_link,
            });
            let verdict = programs.run(direction, &case.input.bytes);
            assert_eq!(verdict, NEXT, "{} {}", case.name, direction.label());
            ran += 1;
        }
    }
    assert!(ran > 100, "only {ran} runs");
}

/// Segments to the remote pod (`true`) or from it, in order, and the number of round trips to measure.
type Sequence = (&'static str, Vec<(bool, Segment)>, u64);

fn sequences() -> Vec<Sequence> {
    const fn out(stamp: u32) -> (bool, Segment) {
        (true, Segment::data(PORTS, stamp))
    }
    const fn back(echo: u32) -> (bool, Segment) {
        (false, Segment::answer(PORTS, echo))
    }
    fn with(of: (bool, Segment), change: impl FnOnce(&mut Segment)) -> (bool, Segment) {
        let (egress, mut segment) = of;
        change(&mut segment);
        (egress, segment)
    }
    let bare = |stamp| with(out(stamp), |segment| segment.data = 0);
    vec![
        ("a later timestamp is timed", vec![out(100), out(101), back(101)], 1),
        ("the sampled segment is not timed", vec![out(100), back(100)], 0),
        ("nor is another segment with its timestamp", vec![out(100), out(100), back(100)], 0),
        ("an answer to an earlier segment is ignored", vec![out(100), out(101), back(100), back(101)], 1),
        ("a repeated answer is ignored", vec![out(100), out(101), back(101), back(101)], 1),
        (
            "an answer to a later segment ends the measurement",
            vec![out(100), out(101), out(102), back(102), back(101)],
            0,
        ),
        ("the first segment with a timestamp is timed", vec![out(100), out(101), out(101), back(101)], 1),
        (
            "a timestamp first sent without data is skipped",
            vec![out(100), bare(101), out(101), back(101), out(102), back(102)],
            1,
        ),
        ("an old timestamp is not timed", vec![out(100), out(99), back(99)], 0),
        ("timestamps wrap around", vec![out(u32::MAX), out(0), back(u32::MAX), back(0)], 1),
        ("several round trips", vec![out(1), out(2), back(2), out(3), out(4), back(4)], 2),
        ("an answer needs ACK", vec![out(100), out(101), with(back(101), |s| s.flags = 0)], 0),
        ("SYN is not an answer", vec![out(100), out(101), with(back(101), |s| s.flags = ACK | 2)], 0),
        ("RST is not an answer", vec![out(100), out(101), with(back(101), |s| s.flags = ACK | 4)], 0),
        ("an answer may have data", vec![out(100), out(101), with(back(101), |s| s.data = 9)], 1),
        (
            "other TCP options are ignored",
            vec![out(100), out(101), with(back(101), |s| s.options = 0x0103_0307)],
            0,
        ),
        ("another connection is ignored", vec![out(100), out(101), with(back(101), |s| s.ports.0 = 81)], 0),
        ("segments without data are not sampled", vec![bare(100), bare(101), back(101)], 0),
    ]
}

/// The packet with the link-layer header of the device.
fn framed(link: u8, packet: &[u8]) -> Vec<u8> {
    if link == link::IP { packet.to_vec() } else { packets::ethernet_ip(packet) }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_times_the_first_segment_with_a_timestamp() {
    let links = [link::ETHERNET, link::IP, link::NETWORK_HEADER];
    for (link, v6) in links.into_iter().flat_map(|link| [(link, false), (link, true)]) {
        let mut programs = Programs::load();
        programs.link(link);
        for (name, segments, expected) in sequences() {
            programs.forget();
            let before = programs.samples();
            for (egress, segment) in segments {
                let packet = match (v6, egress) {
                    (false, true) => segment.v4(node::POD, node::FAR_POD),
                    (false, false) => segment.v4(node::FAR_POD, node::POD),
                    (true, true) => segment.v6(node::POD6, node::FAR_POD6),
                    (true, false) => segment.v6(node::FAR_POD6, node::POD6),
                };
                let direction = if egress { Direction::Egress } else { Direction::Ingress };
                assert_eq!(programs.run(direction, &framed(link, &packet)), NEXT);
            }
            assert_eq!(programs.samples() - before, expected, "link {link}, IPv6 {v6}: {name}");
        }
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_measures_only_traffic_with_remote_pods() {
    let timed = |from: [u8; 4], to: [u8; 4]| {
        let mut programs = Programs::load();
        for stamp in [100, 101] {
            let packet = packets::ethernet_ip(&Segment::data(PORTS, stamp).v4(from, to));
            programs.run(Direction::Egress, &packet);
        }
        let answer = packets::ethernet_ip(&Segment::answer(PORTS, 101).v4(to, from));
        programs.run(Direction::Ingress, &answer);
        programs.samples()
    };
    let [a, b, c, d] = node::FAR_POD;
    assert_eq!(timed(node::POD, node::FAR_POD), 1);
    assert_eq!(timed(node::UNKNOWN_PEER, node::FAR_POD), 1, "a host that is not a pod, through this node");
    assert_eq!(timed(node::POD, node::UNKNOWN_PEER), 0, "external traffic");
    assert_eq!(timed([a, b, c, d ^ 1], node::FAR_POD), 0, "between other nodes' pods");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn hook_rtt_samples_one_segment_in_many() {
    let mut programs = Programs::load();
    let config = CostConfig { sample: 1_000, ..CostConfig::default() };
    programs.array("COST_CONFIG").set(0, Shared(config), 0).expect("write");
    for stamp in 0..1_000 {
        let out = packets::ethernet_ip(&Segment::data(PORTS, stamp).v4(node::POD, node::FAR_POD));
        programs.run(Direction::Egress, &out);
        let back = packets::ethernet_ip(&Segment::answer(PORTS, stamp).v4(node::FAR_POD, node::POD));
        programs.run(Direction::Ingress, &back);
    }
    // The first segment is sampled on each CPU used.
    let samples = programs.samples();
    let cpus = u64::from(observer::kernel::possible_cpus().expect("CPUs"));
    assert!((1..=cpus).contains(&samples), "{samples} round trips of 1,000 segments");
}
