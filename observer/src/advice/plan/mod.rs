//! What a switch to another mode would change, from what was measured: overhead, fragments, what would
//! not fit, MTUs to set, peers that need routes first, the steps, and what would gain from being moved.
//! Pure.

mod fit;
mod steps;
mod traffic;

pub use fit::{Fit, NewMtu};
pub use steps::{Step, reach};
pub use traffic::{Group, Placement, Traffic};

use observer_common::kind::Class;

use super::View;
use crate::model::Mode;
use crate::topology::Scope;

/// Where a switch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Native inside a subnet; across subnets the tunnel that is used now.
    CrossSubnet,
    /// No encapsulation.
    Native,
    /// VXLAN between all nodes.
    Vxlan,
    /// IPIP between all nodes.
    Ipip,
}

impl Target {
    /// The mode that a family would have. IPIP carries no IPv6: that stays as it is.
    #[must_use]
    pub fn mode(self, now: Option<Mode>, ipv6: bool) -> Option<Mode> {
        let tunnel = match now? {
            Mode::Always(class) | Mode::CrossSubnet(class) | Mode::Tunnelled(class) => class,
            Mode::Native | Mode::Mixed if ipv6 => Class::Vxlan,
            Mode::Native | Mode::Mixed => Class::Ipip,
        };
        Some(match self {
            // Where nothing is tunnelled now, there is no tunnel to keep: nothing changes.
            Self::CrossSubnet if now == Some(Mode::Native) => Mode::Native,
            Self::CrossSubnet => Mode::CrossSubnet(tunnel),
            Self::Native => Mode::Native,
            Self::Vxlan => Mode::Always(Class::Vxlan),
            Self::Ipip if ipv6 => now?,
            Self::Ipip => Mode::Always(Class::Ipip),
        })
    }
}

/// How packets of one class to a peer in one place would be carried.
#[must_use]
pub fn carried(mode: Mode, now: Class, scope: Scope) -> Class {
    match (mode, scope) {
        (Mode::Native, _) | (Mode::CrossSubnet(_), Scope::SameSubnet) => Class::None,
        (Mode::Always(class) | Mode::Tunnelled(class), _)
        | (Mode::CrossSubnet(class), Scope::CrossSubnet) => class,
        // Where a peer is, is not known: it stays as it is.
        _ => now,
    }
}

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where it goes.
    pub target: Target,
    /// By family: IPv6 or not, the mode now and then.
    pub modes: Vec<(bool, Option<Mode>, Option<Mode>)>,
    /// What the traffic would be; `None` where nothing was measured.
    pub traffic: Option<Traffic>,
    /// What would fit and what not; `None` where nothing was measured.
    pub fit: Option<Fit>,
    /// MTUs to set.
    pub mtus: Vec<NewMtu>,
    /// Time of the CPUs that encapsulation would no longer take, per second; `None`: not measured.
    pub cpu: Option<std::time::Duration>,
    /// Peers that would be native and have to be reachable so first, and why.
    pub reach: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Peers whose traffic would gain most from being in this subnet, the most first.
    pub placement: Vec<Placement>,
    /// What was assumed.
    pub assumptions: Vec<String>,
}

/// What a switch would change. `underlay_mtu` is the underlay's then; `None`: as now.
#[must_use]
pub fn plan(view: &View<'_>, target: Target, underlay_mtu: Option<u32>) -> Plan {
    let modes: Vec<_> =
        view.modes.iter().map(|mode| (mode.ipv6, mode.routes, target.mode(mode.routes, mode.ipv6))).collect();
    let then = |ipv6: bool| modes.iter().find(|mode| mode.0 == ipv6).and_then(|mode| mode.2);
    let traffic = view.facts.wire.as_ref().map(|report| traffic::of(report, &then));
    let mtus = fit::mtus(view, &then, underlay_mtu);
    let reach = steps::reach(view, &then);
    Plan {
        target,
        fit: view.facts.wire.as_ref().map(|report| fit::of(report, &then, underlay_mtu)),
        placement: view
            .facts
            .wire
            .as_ref()
            .map(|report| traffic::placement(view, report))
            .unwrap_or_default(),
        steps: steps::of(view, &modes, &mtus, &reach),
        // The price of encapsulation is not measured yet.
        cpu: None,
        assumptions: assumptions(view, target, underlay_mtu),
        modes,
        traffic,
        mtus,
        reach,
    }
}

fn assumptions(view: &View<'_>, target: Target, underlay_mtu: Option<u32>) -> Vec<String> {
    let mut lines = Vec::new();
    match &view.facts.wire {
        None => lines.push("nothing was measured: leave out --no-wire for figures of the traffic".to_owned()),
        Some(report) => lines.push(format!(
            "the traffic stays as it was in the {:.0} s that were measured: as many packets, of the same size inside",
            report.interval.as_secs_f64()
        )),
    }
    if let Some(mtu) = underlay_mtu {
        lines.push(format!("the underlay takes {mtu} bytes on every node and in the network between"));
    }
    if target == Target::CrossSubnet && view.modes.iter().any(|mode| mode.routes == Some(Mode::Native)) {
        lines.push("families that are native already stay so".to_owned());
    }
    if target == Target::Ipip && view.modes.iter().any(|mode| mode.ipv6) {
        lines.push("Calico has no IPIP for IPv6: that family stays as it is".to_owned());
    }
    lines
}
