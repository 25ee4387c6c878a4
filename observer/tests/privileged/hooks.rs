//! Hooks: other programs are not affected, nothing is left behind, and no counts are lost when devices come and go.

use std::process::{Command, Stdio};

use aya::maps::{MapData, PerCpuHashMap};
use aya::programs::tc::{self, SchedClassifierLink};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, Xdp, XdpMode};
use observer::kernel::{Ingress, Options, sys};
use observer::snapshot::{Hook, Snapshot};
use observer_common::kind::Direction;

use crate::lab::{Lab, enter, output, wait_for, within};
use crate::watch::{Watch, counted};

/// Programs that represent those of other software.
static OTHERS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-bench"));

fn has_tcx() -> bool {
    sys::version().is_some_and(|version| version >= (6, 6))
}

fn hooks(snapshot: &Snapshot, device: &str) -> [Hook; 2] {
    snapshot.devices.iter().find(|d| d.name == device).map_or([Hook::None; 2], |d| d.hooks)
}

/// Another program, last on a device's ingress; detached on drop.
struct Other {
    ebpf: aya::Ebpf,
    _link: SchedClassifierLink,
}

impl Other {
    /// Attaches in the namespace of this thread.
    fn attach(device: &str) -> Self {
        let mut ebpf = aya::Ebpf::load(OTHERS).expect("load");
        let program: &mut SchedClassifier =
            ebpf.program_mut("reference_tc").expect("it").try_into().expect("TC");
        program.load().expect("load");
        let options = if has_tcx() {
            tc::TcAttachOptions::TcxOrder(LinkOrder::last())
        } else {
            let _ = tc::qdisc_add_clsact(device);
            tc::TcAttachOptions::Netlink(tc::NlOptions { priority: 100, ..Default::default() })
        };
        let id = program.attach_with_options(device, TcAttachType::Ingress, options).expect("attach");
        let link = program.take_link(id).expect("the link");
        Self { ebpf, _link: link }
    }

    /// Packets it has seen.
    fn packets(&self) -> u64 {
        let map = self.ebpf.map("FLOWS").expect("its map");
        let map: PerCpuHashMap<&MapData, [u32; 4], [u64; 2]> = map.try_into().expect("a hash");
        map.iter().filter_map(Result::ok).flat_map(|(_, v)| v.iter().map(|c| c[0]).collect::<Vec<_>>()).sum()
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn later_programs_on_the_hook_see_every_packet() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let netns = lab.netns("node-a");
    let (ready, started) = std::sync::mpsc::channel();
    let (done, finish) = std::sync::mpsc::channel::<()>();
    let inside = netns.clone();
    let other = std::thread::spawn(move || {
        enter(&inside);
        let other = Other::attach("eth0");
        ready.send(()).expect("the test is waiting");
        finish.recv().expect("the signal to finish");
        other.packets()
    });
    started.recv().expect("attached");
    let watch = Watch::start(&netns, Options::default()).expect("attach ahead of it");
    let before = counted(&watch.snapshot(), "eth0")[0].0;
    lab.traffic(&["--kind", "udp", "--from", "c1", "--to", "a1", "--count", "200", "--size", "200"]);
    wait_for("the packets", || (counted(&watch.snapshot(), "eth0")[0].0 - before >= 200).then_some(()));
    done.send(()).expect("the thread is waiting");
    let seen = other.join().expect("no panic");
    assert!(seen >= 200, "the later program saw {seen} of 200 packets");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn recreated_device_keeps_its_totals() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let node = lab.node("node-a").clone();
    let netns = lab.netns("node-a");
    let watch = Watch::start(&netns, Options::default()).expect("attach");
    lab.traffic(&["--kind", "udp", "--from", "a1", "--to", "c1", "--count", "50", "--size", "200"]);
    let before = wait_for("packets in the tunnel", || {
        let counted = counted(&watch.snapshot(), "vxlan.calico")[1].0;
        (counted >= 50).then_some(counted)
    });
    output(Command::new("ip").args(["-n", &netns, "link", "delete", "vxlan.calico"]));
    wait_for("the device to be reported as gone", || {
        let snapshot = watch.snapshot();
        (hooks(&snapshot, "vxlan.calico") == [Hook::Gone; 2]).then_some(())
    });
    assert_eq!(counted(&watch.snapshot(), "vxlan.calico")[1].0, before, "totals are kept");
    let address = node["address"].as_str().expect("address");
    let add = [
        "-n",
        &netns,
        "link",
        "add",
        "vxlan.calico",
        "type",
        "vxlan",
        "id",
        "4096",
        "dstport",
        "4789",
        "local",
        address,
        "dev",
        "eth0",
        "nolearning",
    ];
    output(Command::new("ip").args(add));
    output(Command::new("ip").args(["-n", &netns, "link", "set", "vxlan.calico", "up"]));
    wait_for("the hooks to be attached again", || {
        let snapshot = watch.snapshot();
        hooks(&snapshot, "vxlan.calico")
            .iter()
            .all(|hook| matches!(hook, Hook::Tcx | Hook::Clsact))
            .then_some(())
    });
    let after = counted(&watch.snapshot(), "vxlan.calico")[1].0;
    assert!(after >= before, "{after} after {before}: totals never decrease");
}

/// Number of TCX programs and filters on eth0's hooks.
fn present(netns: &str) -> usize {
    let tcx = within(netns, || {
        let of = |side| SchedClassifier::query_tcx("eth0", side).map_or(0, |(_, programs)| programs.len());
        if has_tcx() { of(TcAttachType::Ingress) + of(TcAttachType::Egress) } else { 0 }
    });
    tcx + filters(netns).iter().map(|shown| shown.matches("handle ").count()).sum::<usize>()
}

/// What tc shows of the filters in both directions, including the programs' ids. tc may fail without a clsact.
fn filters(netns: &str) -> [String; 2] {
    ["ingress", "egress"].map(|side| {
        let mut tc = Command::new("tc");
        let output = tc.args(["-n", netns, "filter", "show", "dev", "eth0", side]).output().expect("tc");
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

fn observer(lab: &Lab, arguments: &[&str]) -> std::process::Child {
    let command = [&[env!("CARGO_BIN_EXE_observer")], arguments].concat();
    lab.command("node-a", &command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("observer")
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn exit_leaves_no_hooks_and_a_restart_replaces_leftover_ones() {
    let lab = Lab::up("bgp", &["--no-offloads"]);
    let netns = lab.netns("node-a");
    assert_eq!(present(&netns), 0, "the new lab has hooks already");
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut child = observer(&lab, &["stat", "--interval", "60"]);
        wait_for("the hooks", || (present(&netns) == 2).then_some(()));
        // SAFETY: the child is ours and not yet waited for.
        unsafe { libc::kill(child.id().cast_signed(), signal) };
        assert!(child.wait().expect("wait").success(), "signal {signal} is not a failure");
        assert_eq!(present(&netns), 0, "signal {signal} left a hook");
    }
    let mut killed = observer(&lab, &["stat", "--interval", "60"]);
    wait_for("the hooks", || (present(&netns) == 2).then_some(()));
    killed.kill().expect("SIGKILL");
    killed.wait().expect("wait");
    if has_tcx() {
        wait_for("the kernel to remove the links", || (present(&netns) == 0).then_some(()));
    }
    // On older kernels the filters remain; the next process must replace them. Before it has, it may not handle
    // signals yet.
    let leftover = filters(&netns);
    let mut next = observer(&lab, &["stat", "--interval", "60"]);
    wait_for("the hooks of the next process", || {
        let replaced = filters(&netns).iter().zip(&leftover).all(|(now, old)| old.is_empty() || now != old);
        (replaced && present(&netns) == 2).then_some(())
    });
    assert_eq!(present(&netns), 2, "the restart added filters instead of replacing them");
    // SAFETY: as above.
    unsafe { libc::kill(next.id().cast_signed(), libc::SIGTERM) };
    next.wait().expect("wait");
    assert_eq!(present(&netns), 0, "a hook is left after the next process");
    let qdiscs = output(Command::new("tc").args(["-n", &netns, "qdisc", "show", "dev", "eth0"]));
    assert!(!qdiscs.contains("clsact"), "our clsact is left: {qdiscs}");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn xdp_counts_ingress_once_and_never_replaces_another_program() {
    let lab = Lab::up("vxlan-always", &["--no-offloads"]);
    let netns = lab.netns("node-a");
    let options = Options { ingress: Ingress::Xdp, ..Options::default() };
    {
        let watch = Watch::start(&netns, options.clone()).expect("attach at XDP");
        assert_eq!(hooks(&watch.snapshot(), "eth0")[Direction::Ingress as usize], Hook::Xdp);
        let before = counted(&watch.snapshot(), "eth0")[0].0;
        lab.traffic(&["--kind", "udp", "--from", "c1", "--to", "a1", "--count", "100", "--size", "200"]);
        let after = wait_for("the packets", || {
            let after = counted(&watch.snapshot(), "eth0")[0].0;
            (after - before >= 100).then_some(after)
        });
        assert!(after - before < 150, "{} packets for 100: counted twice", after - before);
    }
    let inside = netns.clone();
    let refused = std::thread::spawn(move || {
        enter(&inside);
        let mut ebpf = aya::Ebpf::load(OTHERS).expect("load");
        let program: &mut Xdp = ebpf.program_mut("floor_xdp").expect("it").try_into().expect("XDP");
        program.load().expect("load");
        program.attach("eth0", XdpMode::Driver).expect("attach");
        Watch::start(&inside, options).map(drop).expect_err("the hook is in use").to_string()
    });
    let refused = refused.join().expect("no panic");
    assert!(
        refused.contains("floor_xdp") && refused.contains("eth0"),
        "the error must name the owner: {refused}"
    );
    assert_eq!(present(&netns), 0, "something is attached after the refusal");
}
