//! What would fit and what not, and the MTUs that a mode needs.

use observer_common::counters::Total;
use observer_common::kind::{Class, Direction};

use super::super::View;
use super::carried_then;
use crate::calico::Felix;
use crate::model::whatif::{Carriage, Share, would_not_fit};
use crate::model::{Mode, Report};
use crate::topology::{Role, Scope};

/// Packets by whether they fit, over the measured interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Packets that tunnels now have to fragment or drop.
    pub too_big_now: u64,
    /// Packets that are sent now and would not fit then, as far as the histogram tells. They are all of
    /// their class: where only some peers change, this is the most.
    pub newly: Share,
}

/// An MTU to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMtu {
    /// Of what.
    pub what: String,
    /// Now; `None` where it is not there yet.
    pub now: Option<u32>,
    /// Then.
    pub then: u32,
    /// How it comes to that.
    pub why: String,
    /// The command that sets it for good; `None` where Felix does so by itself.
    pub command: Option<String>,
}

/// The tunnels of a mode: class and family of each.
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
                why: "as asked for; the network first".to_owned(),
                command: Some(format!("ip link set dev {device} mtu {underlay}")),
            });
        }
    }
    let mut least = underlay;
    for (class, ipv6) in tunnels(then) {
        let Some(overhead) = (Carriage { class, over_ipv6: ipv6 }).overhead() else { continue };
        let right = underlay.saturating_sub(overhead);
        least = least.min(right);
        let device = match (class, ipv6) {
            (Class::Ipip, _) => "tunl0",
            (Class::Vxlan, false) => "vxlan.calico",
            (Class::Vxlan, true) => "vxlan-v6.calico",
            (_, false) => "wireguard.cali",
            (_, true) => "wg-v6.cali",
        };
        let known = view.mtu.tunnels.iter().find(|tunnel| tunnel.device == device);
        let set = view.mtu.felix.mtu_of(class, ipv6).is_some_and(|set| set != right);
        let detects = view.mtu.detected() == Some(underlay);
        list.push(NewMtu {
            what: device.to_owned(),
            now: known.map(|tunnel| tunnel.mtu),
            then: right,
            why: format!("{underlay} - {overhead} of {}", class.label()),
            command: Felix::setting(class, ipv6).filter(|_| set || !detects).map(|setting| {
                format!(
                    "kubectl patch felixconfiguration default --type merge -p '{{\"spec\":{{\"{setting}\":{right}}}}}'"
                )
            }),
        });
    }
    let mut pods: Vec<u32> = view.mtu.pods.iter().map(|pod| pod.mtu).collect();
    pods.sort_unstable();
    pods.dedup();
    for mtu in pods {
        let count = view.mtu.pods.iter().filter(|pod| pod.mtu == mtu).count();
        list.push(NewMtu {
            what: format!("{count} pods"),
            now: Some(mtu),
            then: least,
            why: "smallest of all ways, when made anew".to_owned(),
            command: None,
        });
    }
    list
}

/// What would fit.
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
                    // The worst of the ways: which of them a packet takes, the histogram does not say.
                    fit.newly = if share.most > fit.newly.most { share } else { fit.newly };
                }
            }
        }
    }
    fit
}

/// How packets of a class would be carried that are carried otherwise now.
fn changes(report: &Report, class: Class, then: &dyn Fn(bool) -> Option<Mode>) -> Vec<Carriage> {
    let mut list: Vec<Carriage> = Vec::new();
    for path in report.paths.iter().filter(|path| path.id.class == class) {
        let ipv6 = path.id.peer.is_ipv6();
        let scope: Scope = path.scope;
        let planned = carried_then(then, ipv6, class, scope);
        let carriage = Carriage { class: planned, over_ipv6: ipv6 };
        if planned != class && !list.contains(&carriage) {
            list.push(carriage);
        }
    }
    list
}
