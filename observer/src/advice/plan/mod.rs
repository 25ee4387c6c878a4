//! Predicts what a switch to another mode would change: overhead, fragments, packets that would not fit, MTUs
//! to set, peers that need routes first, and the steps. Pure.

mod cpu;
mod fit;
mod paths;
mod steps;
mod traffic;

pub use cpu::Cpu;
pub use fit::{Fit, NewMtu};
pub use paths::TcpPath;
pub use steps::{Step, reach};
pub use traffic::{Group, Placement, Traffic};

use observer_common::kind::Class;

use super::View;
use crate::model::{Mode, SpanRow};
use crate::topology::Scope;

/// The target of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Native inside a subnet, the current tunnel across subnets.
    CrossSubnet,
    /// No encapsulation.
    Native,
    /// VXLAN between all nodes.
    Vxlan,
    /// IPIP between all nodes.
    Ipip,
}

impl Target {
    /// The new mode of a family that has one and uses `tunnel` now. Calico does not support IPIP for IPv6, so
    /// that family stays as it is.
    #[must_use]
    pub fn mode(self, now: Option<Mode>, tunnel: Option<Class>, ipv6: bool) -> Option<Mode> {
        let now = now?;
        Some(match (self, tunnel) {
            (Self::CrossSubnet, Some(class)) => Mode::CrossSubnet(class),
            // There is no tunnel to keep: IPIP is the one that BGP clusters can use at once.
            (Self::CrossSubnet, None) if !ipv6 => Mode::CrossSubnet(Class::Ipip),
            (Self::Native, _) => Mode::Native,
            (Self::Vxlan, _) => Mode::Always(Class::Vxlan),
            (Self::Ipip, _) if !ipv6 => Mode::Always(Class::Ipip),
            (Self::Ipip | Self::CrossSubnet, _) => now,
        })
    }
}

/// The encapsulation in a mode of packets that now have `now`, to a peer of a scope.
#[must_use]
pub fn carried(mode: Mode, now: Class, scope: Scope) -> Class {
    match (mode, scope) {
        (Mode::Native, _) | (Mode::CrossSubnet(_), Scope::SameSubnet) => Class::None,
        (Mode::Always(class) | Mode::Tunnelled(class), _)
        | (Mode::CrossSubnet(class), Scope::CrossSubnet) => class,
        // Unknown scope: no change.
        _ => now,
    }
}

/// The same for the planned modes of the families. A family without a mode does not change.
fn carried_then(then: &dyn Fn(bool) -> Option<Mode>, ipv6: bool, now: Class, scope: Scope) -> Class {
    then(ipv6).map_or(now, |mode| carried(mode, now, scope))
}

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The target.
    pub target: Target,
    /// By family: whether it is IPv6, the mode now and then.
    pub modes: Vec<(bool, Option<Mode>, Option<Mode>)>,
    /// The traffic, now and then; `None` if nothing was measured.
    pub traffic: Option<Traffic>,
    /// What would not fit; `None` if nothing was measured.
    pub fit: Option<Fit>,
    /// MTUs to set.
    pub mtus: Vec<NewMtu>,
    /// CPU time that encapsulation would save, or why it is unknown.
    pub cpu: Result<Cpu, String>,
    /// Tunnel devices that traffic would leave and for which the kernel did a NIC's work; empty if not measured.
    pub in_software: Vec<SpanRow>,
    /// Current TCP measurements by peer, first those that would change; empty if not measured.
    pub tcp: Vec<TcpPath>,
    /// Peers that must be reachable without a tunnel first, and what they need.
    pub reach: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Peers whose traffic would gain from being in this subnet, the largest gain first.
    pub placement: Vec<Placement>,
    /// The assumptions.
    pub assumptions: Vec<String>,
}

/// Plans a switch. `underlay_mtu` is the underlay's MTU after it; `None` if unchanged.
#[must_use]
pub fn plan(view: &View<'_>, target: Target, underlay_mtu: Option<u32>) -> Plan {
    let modes: Vec<_> = view
        .modes
        .iter()
        .map(|mode| {
            let tunnel = tunnel(view, mode.ipv6);
            (mode.ipv6, mode.routes, target.mode(mode.routes, tunnel, mode.ipv6))
        })
        .collect();
    let then = |ipv6: bool| modes.iter().find(|mode| mode.0 == ipv6).and_then(|mode| mode.2);
    let observed = view.facts.observed.as_ref();
    let cost = observed.and_then(|report| report.cost.as_ref());
    let mtus = fit::mtus(view, &then, underlay_mtu);
    let reach = steps::reach(view, &then);
    Plan {
        target,
        fit: observed.map(|report| fit::of(report, &then, underlay_mtu)),
        traffic: observed.map(|report| traffic::of(report, &then)),
        placement: observed.map(|report| traffic::placement(view, report)).unwrap_or_default(),
        steps: steps::of(view, &modes, &mtus, &reach),
        cpu: observed.ok_or_else(|| "not measured".to_owned()).and_then(|report| cpu::of(report, &then)),
        in_software: cost.map(|cost| paths::in_software(view, cost, &then)).unwrap_or_default(),
        tcp: cost.map(|cost| paths::tcp(view, cost, &then)).unwrap_or_default(),
        assumptions: assumptions(view, target, underlay_mtu),
        modes,
        mtus,
        reach,
    }
}

/// The tunnel that a family uses.
fn tunnel(view: &View<'_>, ipv6: bool) -> Option<Class> {
    let family = view.facts.topology.blocks.iter().filter(|block| block.address.is_ipv6() == ipv6);
    family.map(|block| block.class).find(|class| class.is_tunnel())
}

fn assumptions(view: &View<'_>, target: Target, underlay_mtu: Option<u32>) -> Vec<String> {
    let mut lines = Vec::new();
    match &view.facts.observed {
        None => lines.push("nothing was measured; omit --no-measurement to include traffic".to_owned()),
        Some(report) => lines.push(format!(
            "traffic stays as measured over {:.0} s: the same packets with the same inner sizes",
            report.interval.as_secs_f64()
        )),
    }
    if let Some(mtu) = underlay_mtu {
        lines.push(format!("the underlay MTU is {mtu} on every node and in the network between them"));
    }
    if target == Target::CrossSubnet {
        for mode in view.modes.iter().filter(|mode| tunnel(view, mode.ipv6).is_none()) {
            lines.push(match mode.ipv6 {
                false => "IPv4 uses no tunnel now: IPIP is assumed".to_owned(),
                true => "IPv6 uses no tunnel now: it stays native".to_owned(),
            });
        }
    }
    if target == Target::Ipip && view.modes.iter().any(|mode| mode.ipv6) {
        lines.push("Calico does not support IPIP for IPv6, which stays as it is".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::testing::{facts, node, observed};
    use super::*;

    const B: &str = "10.10.1.12";
    const C: &str = "10.10.2.13";

    fn planned(
        mode: &str,
        paths: &[(observer_common::kind::Direction, Class, &str, u64)],
        target: Target,
    ) -> Plan {
        let mut facts = facts(node(mode));
        if !paths.is_empty() {
            facts.observed = Some(observed(&facts, paths));
        }
        plan(&View::new(&facts), target, None)
    }

    #[test]
    fn overhead_follows_the_encapsulation() {
        // Each packet has 1,000 bytes and 50 of them are overhead; half goes to b, half to c.
        let both = [(Egress, Class::Vxlan, B, 100), (Ingress, Class::Vxlan, C, 100)];
        for (target, then, share) in [
            (Target::CrossSubnet, 5_000, 1_000.0 / 1_950.0),
            (Target::Native, 0, 0.0),
            (Target::Ipip, 4_000, 1.0),
            (Target::Vxlan, 10_000, 1.0),
        ] {
            let traffic = planned("vxlan-always", &both, target).traffic.expect("it was measured");
            assert_eq!(traffic.overhead(), (10_000, then), "{target:?}");
            let (before, after) = traffic.encapsulated().expect("traffic");
            assert!((before - 1.0).abs() < 1e-9 && (after - share).abs() < 1e-9, "{target:?}: {after}");
            assert_eq!(traffic.l3_bytes(), (200_000, 190_000 + then), "{target:?}");
        }
    }

    #[test]
    fn more_encapsulation_adds_overhead_and_packets_that_do_not_fit() {
        let mut facts = facts(node("bgp"));
        let router = "10.10.1.1";
        let mut report = observed(&facts, &[(Egress, Class::None, router, 100)]);
        let device = crate::view::fixture::snapshot(10).devices.remove(0);
        report.devices.push(crate::model::DeviceRow { device, events: [[0; _]; 2], gaps: [false; 2] });
        report.size_bounds = vec![1_400, 1_450, 1_480, 1_500];
        let mut sizes = [0; _];
        sizes[..4].copy_from_slice(&[60, 10, 10, 20]);
        report.rows.push(crate::model::Row {
            device: "eth0".into(),
            direction: Egress,
            class: Class::None,
            figures: crate::model::Figures::default(),
            sizes,
        });
        facts.observed = Some(report);
        let of = |target, mtu| plan(&View::new(&facts), target, mtu);
        let vxlan = of(Target::Vxlan, None);
        assert_eq!(vxlan.traffic.as_ref().expect("measured").overhead(), (0, 5_000));
        assert_eq!(vxlan.fit.expect("measured").newly.most, 30, "1,450 fit");
        assert_eq!(of(Target::Ipip, None).fit.expect("measured").newly.most, 20, "1,480 fit");
        assert_eq!(of(Target::Vxlan, Some(1_550)).fit.expect("measured").newly.most, 0, "all fit");
        assert_eq!(of(Target::Native, None).steps, [], "unchanged");
    }

    #[test]
    fn a_plan_without_measurement_has_mtus_peers_and_steps() {
        let facts = facts(node("vxlan-always"));
        let plan = plan(&View::new(&facts), Target::Native, None);
        assert!(plan.traffic.is_none() && plan.fit.is_none() && plan.cpu.is_err(), "nothing was measured");
        let pods = plan.mtus.iter().find(|mtu| mtu.what.ends_with("pods")).expect("pods");
        assert_eq!((pods.now, pods.then), (Some(1430), 1500));
        assert_eq!(plan.reach.len(), 4, "{:?}", plan.reach);
        let commands: Vec<&String> = plan.steps.iter().flat_map(|step| &step.commands).collect();
        let patch = r#"kubectl patch ippool default-ipv4-ippool --type merge -p '{"spec":{"ipipMode":"Never","vxlanMode":"Never"}}'"#;
        assert!(commands.iter().any(|command| *command == patch), "{commands:?}");
        assert!(commands.iter().any(|command| command.contains("birdcl show protocols")), "{commands:?}");
    }

    #[test]
    fn fragments_of_a_tunnel_end_with_it_and_those_of_pods_stay() {
        use observer_common::counters::PathCounter::{OuterFirst, OuterLast};
        let fragmented = |class, target| {
            let mut facts = facts(node("vxlan-always"));
            let mut report = observed(&facts, &[(Egress, class, C, 100)]);
            for counter in [OuterFirst, OuterLast] {
                report.paths[0].figures.0[counter as usize] = 10;
            }
            facts.observed = Some(report);
            let traffic = plan(&View::new(&facts), target, None).traffic.expect("it was measured");
            (traffic.no_longer_fragmented(), traffic.overhead().1)
        };
        assert_eq!(fragmented(Class::Vxlan, Target::Native), (10, 0));
        assert_eq!(fragmented(Class::Vxlan, Target::Ipip), (0, 90 * 20));
        assert_eq!(fragmented(Class::None, Target::Native), (0, 0));
        assert_eq!(fragmented(Class::None, Target::Ipip), (0, 100 * 20));
    }

    #[test]
    fn placement_lists_peers_across_subnets_by_overhead() {
        let paths =
            [(Egress, Class::Vxlan, C, 100), (Egress, Class::Vxlan, B, 900), (Ingress, Class::Vxlan, C, 50)];
        let plan = planned("vxlan-always", &paths, Target::CrossSubnet);
        let [place] = plan.placement.as_slice() else { panic!("{:?}", plan.placement) };
        assert_eq!((place.peer.to_string().as_str(), place.overhead_bytes), (C, 7_500));
        assert_eq!(place.blocks.len(), 1);
    }

    #[test]
    fn ipip_leaves_ipv6_alone() {
        let plan = planned("vxlan-always", &[], Target::Ipip);
        let [four, six] = plan.modes.as_slice() else { panic!("{:?}", plan.modes) };
        assert_eq!(four.2, Some(Mode::Always(Class::Ipip)));
        assert_eq!(six.2, Some(Mode::Always(Class::Vxlan)));
    }
}
