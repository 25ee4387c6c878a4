//! Packets that would not fit, and the MTUs that a mode needs.

use observer_common::counters::Total;
use observer_common::kind::{Class, Direction};

use super::super::View;
use super::super::facts::calico_tunnel;
use super::super::modes::plural;
use super::super::rules::felix_patch;
use super::carried_then;
use crate::calico::Felix;
use crate::model::whatif::{Carriage, Share, would_not_fit};
use crate::model::{Mode, Report};
use crate::topology::Role;

/// Packets that do not fit, over the measured interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Packets that tunnels have to fragment or drop now.
    pub too_big_now: u64,
    /// Packets that would newly not fit, by the size histogram. It does not distinguish peers, so this is an
    /// upper bound if only some peers change.
    pub newly: Share,
}

/// An MTU to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMtu {
    /// The device, or the number of pods.
    pub what: String,
    /// The current MTU; `None` if the device does not exist yet.
    pub now: Option<u32>,
    /// The MTU after the switch.
    pub then: u32,
    /// How it is derived.
    pub why: String,
    /// The command that sets it permanently; `None` if Felix sets it, or the pods have to be recreated.
    pub command: Option<String>,
}

impl NewMtu {
    /// Whether it is the MTU of pods. Names of devices have no spaces.
    pub(super) fn is_of_pods(&self) -> bool {
        self.what.contains(' ')
    }
}

/// The encapsulation and family of each tunnel that the modes use.
fn tunnels(then: &dyn Fn(bool) -> Option<Mode>) -> Vec<(Class, bool)> {
    let tunnel = |ipv6: bool| match then(ipv6)? {
        Mode::Always(class) | Mode::CrossSubnet(class) | Mode::Tunnelled(class) => Some((class, ipv6)),
        Mode::Native | Mode::Mixed => None,
    };
    [false, true].into_iter().filter_map(tunnel).collect()
}

/// The MTUs that the modes need.
pub(super) fn mtus(
    view: &View<'_>,
    then: &dyn Fn(bool) -> Option<Mode>,
    underlay_mtu: Option<u32>,
) -> Vec<NewMtu> {
    let mut list = Vec::new();
    let Some(now) = view.mtu.underlay() else { return list };
    let underlay = underlay_mtu.unwrap_or(now);
    if underlay != now {
        for (device, mtu) in &view.mtu.underlays {
            list.push(NewMtu {
                what: device.clone(),
                now: Some(*mtu),
                then: underlay,
                why: "given by --mtu; change the network first".to_owned(),
                command: Some(format!("ip link set dev {device} mtu {underlay}")),
            });
        }
    }
    let mut least = underlay;
    for (class, ipv6) in tunnels(then) {
        let Some(overhead) = (Carriage { class, over_ipv6: ipv6 }).overhead() else { continue };
        let right = underlay.saturating_sub(overhead);
        least = least.min(right);
        let Some(device) = calico_tunnel(class, ipv6) else { continue };
        let known = view.mtu.tunnels.iter().find(|tunnel| tunnel.device == device);
        let set = view.mtu.felix.mtu_of(class, ipv6).is_some_and(|set| set != right);
        let detects = view.mtu.detected() == Some(underlay);
        list.push(NewMtu {
            what: device.to_owned(),
            now: known.map(|tunnel| tunnel.mtu),
            then: right,
            why: format!("{underlay} - {overhead} of {}", class.label()),
            command: Felix::setting(class, ipv6)
                .filter(|_| set || !detects)
                .map(|setting| felix_patch(setting, right)),
        });
    }
    for (mtu, count) in view.mtu.pods_by_mtu() {
        list.push(NewMtu {
            what: plural(count as u64, "pod"),
            now: Some(mtu),
            then: least,
            why: "smallest of all paths, once recreated".to_owned(),
            command: None,
        });
    }
    list
}

/// What would not fit.
pub(super) fn of(report: &Report, then: &dyn Fn(bool) -> Option<Mode>, underlay_mtu: Option<u32>) -> Fit {
    let mut fit = Fit { newly: Share { exact: true, ..Share::default() }, ..Fit::default() };
    for device in &report.devices {
        let rows = report.rows.iter().filter(|row| row.device == device.device.name);
        for row in rows.filter(|row| row.direction == Direction::Egress) {
            if device.device.role == Role::Tunnel {
                fit.too_big_now += row.figures.get(Total::WouldFragment) + row.figures.get(Total::WouldDrop);
            }
            if device.device.role != Role::Underlay {
                continue;
            }
            let mtu = underlay_mtu.unwrap_or(device.device.mtu);
            for planned in changes(report, row.class, then) {
                let now = Carriage { class: row.class, over_ipv6: planned.over_ipv6 };
                if let Some(share) = would_not_fit(&report.size_bounds, &row.sizes, now, mtu, planned) {
                    // The worst case: the histogram does not show which path a packet takes.
                    fit.newly = if share.most > fit.newly.most { share } else { fit.newly };
                }
            }
        }
    }
    fit
}

/// How packets with an encapsulation that changes would be carried.
fn changes(report: &Report, class: Class, then: &dyn Fn(bool) -> Option<Mode>) -> Vec<Carriage> {
    let mut list: Vec<Carriage> = Vec::new();
    for path in report.paths.iter().filter(|path| path.id.class == class) {
        let ipv6 = path.id.peer.is_ipv6();
        let planned = carried_then(then, ipv6, class, path.scope);
        let carriage = Carriage { class: planned, over_ipv6: ipv6 };
        if planned != class && !list.contains(&carriage) {
            list.push(carriage);
        }
    }
    list
}
