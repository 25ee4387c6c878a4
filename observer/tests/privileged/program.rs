//! The packet table through the loaded programs, with `BPF_PROG_TEST_RUN`: XDP and TC must count the same as user
//! space and pass every packet on.

mod size;

use aya::programs::{TestRun as _, TestRunOptions};
use observer::kernel::{Capacities, Programs, Tables, entry};
use observer_common::abi::{events_index, totals_index};
use observer_common::kind::{Class, Direction};
use observer_testing::memory::size_class_table;
use observer_testing::{Case, Counted, node, table};

/// `TC_ACT_UNSPEC` as the kernel returns it.
const NEXT: u32 = u32::MAX;
const XDP_PASS: u32 = 2;
const SLOTS: [u16; 3] = [node::UNDERLAY_SLOT, node::TUNNEL_SLOT, node::OTHER_SLOT];

/// Size and field offsets of `struct __sk_buff` (include/uapi/linux/bpf.h).
const SK_BUFF: usize = 192;
const GSO_SEGS: usize = 164;
const GSO_SIZE: usize = 176;

struct Kernel {
    programs: Programs,
    tables: Tables,
}

impl Kernel {
    fn load() -> Self {
        let mut programs = Programs::load(Capacities::default()).expect("load the programs");
        let mut tables = Tables::take(&mut programs.ebpf).expect("open the maps");
        tables.set_size_classes(&size_class_table()).expect("set the size classes");
        Self { programs, tables }
    }

    fn prepare(&mut self, case: &Case) {
        let node = &case.input.node;
        self.tables.reset(&SLOTS).expect("reset");
        self.tables.set_config(&node.config).expect("set the configuration");
        self.tables.set_peers(&node.peers, &node.blocks).expect("set peers and blocks");
        self.tables.set_device(&node.device).expect("set the device");
    }

    fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        for slot in SLOTS {
            for direction in Direction::ALL {
                counted.add_events(
                    events_index(slot, direction),
                    &self.tables.events(slot, direction).expect("read events"),
                );
                for class in Class::ALL {
                    counted.add_totals(
                        totals_index(slot, direction, class),
                        &self.tables.totals(slot, direction, class).expect("read totals"),
                    );
                }
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

    fn tc(&mut self, case: &Case) -> u32 {
        let name = match case.input.direction {
            Direction::Ingress => entry::INGRESS,
            Direction::Egress => entry::EGRESS,
        };
        let mut context = [0; SK_BUFF];
        if case.input.frame.gso_size != 0 {
            context[GSO_SEGS..][..4].copy_from_slice(&case.input.frame.gso_segs.to_ne_bytes());
            context[GSO_SIZE..][..4].copy_from_slice(&case.input.frame.gso_size.to_ne_bytes());
        }
        let mut options = TestRunOptions::new();
        options.data_in = Some(&case.input.bytes);
        options.ctx_in = Some(&context);
        let program = self.programs.classifier(name).expect("load");
        match program.test_run(options) {
            Ok(result) => result.return_value,
            Err(error) => panic!("{}: refused at TC: {error}", case.name),
        }
    }

    fn xdp(&mut self, case: &Case, name: &'static str) -> u32 {
        let mut options = TestRunOptions::new();
        options.data_in = Some(&case.input.bytes);
        let program = self.programs.xdp(name).expect("load");
        match program.test_run(options) {
            Ok(result) => result.return_value,
            Err(error) => panic!("{}: refused at XDP: {error}", case.name),
        }
    }
}

/// Runs every case that `fits` through `run`, and compares verdict and tables with the expectation.
fn check(hook: &str, passes: u32, fits: impl Fn(&Case) -> bool, run: impl Fn(&mut Kernel, &Case) -> u32) {
    let mut kernel = Kernel::load();
    let mut wrong = Vec::new();
    let cases: Vec<Case> = table::all().into_iter().filter(|case| fits(case)).collect();
    assert!(cases.len() > 50, "only {} cases fit {hook}", cases.len());
    for case in &cases {
        kernel.prepare(case);
        // Twice: the first run adds the path, so that the second may take the fast path.
        let verdicts = [run(&mut kernel, case), run(&mut kernel, case)];
        let difference = kernel.counted().difference(&case.expected().twice());
        if verdicts != [passes; 2] {
            wrong.push(format!("{}: returned {verdicts:?}", case.name));
        }
        if !difference.is_empty() {
            wrong.push(format!("{}:\n{difference}", case.name));
        }
    }
    println!("{hook}: {} cases", cases.len());
    assert!(wrong.is_empty(), "{} of {} cases at {hook}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn tc_counts_the_packet_table_like_user_space() {
    check("TC", NEXT, |case| case.hooks().tc, Kernel::tc);
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn xdp_counts_the_packet_table_like_user_space() {
    check("XDP", XDP_PASS, |case| case.hooks().xdp, |kernel, case| kernel.xdp(case, entry::XDP));
}
