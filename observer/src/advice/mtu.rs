//! All MTUs of a node: what they are, what they should be, and what Felix detects.

use std::collections::BTreeMap;
use std::net::IpAddr;

use observer_common::counters::{EVENTS, Event, Total};
use observer_common::kind::Class;
use regex_lite::Regex;

use super::{Facts, FelixFile};
use crate::calico::Felix;
use crate::model::Report;
use crate::topology::{DeviceKind, Role, Watched};

/// Felix's default `mtuIfacePattern`.
pub(super) const DEFAULT_PATTERN: &str = "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)";
/// The MTU that Felix assumes if no device matches.
pub(super) const UNDETECTED: u32 = 1460;

/// The MTU of a tunnel device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelMtu {
    /// The device's name.
    pub device: String,
    /// Its encapsulation.
    pub class: Class,
    /// It encapsulates in IPv6.
    pub over_ipv6: bool,
    /// Its MTU, bytes.
    pub mtu: u32,
    /// Bytes added to each packet.
    pub overhead: u32,
    /// The underlay and its MTU, if known.
    pub underlay: Option<(String, u32)>,
}

impl TunnelMtu {
    /// The correct MTU, if the underlay is known.
    #[must_use]
    pub fn right(&self) -> Option<u32> {
        self.underlay.as_ref().map(|(_, mtu)| mtu.saturating_sub(self.overhead))
    }

    /// The calculation of the correct MTU: `1500 of eth0 - 50 of vxlan`.
    #[must_use]
    pub fn sum(&self) -> String {
        match &self.underlay {
            Some((device, mtu)) => format!("{mtu} of {device} - {} of {}", self.overhead, self.class.label()),
            None => format!("the underlay of {} is unknown", self.device),
        }
    }
}

/// The MTU of a pod interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodMtu {
    /// The interface on the node's side.
    pub device: String,
    /// Bytes.
    pub mtu: u32,
    /// The pod's addresses.
    pub addresses: Vec<IpAddr>,
}

/// What was measured on a device, both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The largest packet, L3 bytes; 0 if there was none.
    pub largest: u64,
    /// PTB messages.
    pub ptb: u64,
}

/// All MTUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MtuView {
    /// Underlay devices.
    pub underlays: Vec<(String, u32)>,
    /// Calico's tunnel devices that are up.
    pub tunnels: Vec<TunnelMtu>,
    /// Pod interfaces that are up.
    pub pods: Vec<PodMtu>,
    /// The largest packet that fits every path to other nodes' pods with the current MTUs.
    pub room: Option<u32>,
    /// The same with correct MTUs of all tunnels.
    pub right_room: Option<u32>,
    /// Felix's device pattern, and whether it was declared.
    pub pattern: (String, bool),
    /// Devices that are up and match the pattern, with their MTUs; `None` if the pattern is invalid.
    pub matching: Option<Vec<(String, u32)>>,
    /// Felix's declared settings.
    pub felix: Felix,
    /// Felix's MTU file.
    pub file: FelixFile,
    /// What was measured, by device; empty if nothing was measured.
    pub seen: BTreeMap<String, Seen>,
}

impl MtuView {
    /// The underlay MTU that Felix detects; `None` if the pattern is invalid.
    #[must_use]
    pub fn detected(&self) -> Option<u32> {
        let matching = self.matching.as_ref()?;
        Some(matching.iter().map(|(_, mtu)| *mtu).min().unwrap_or(UNDETECTED))
    }

    /// The smallest underlay MTU.
    #[must_use]
    pub fn underlay(&self) -> Option<u32> {
        self.underlays.iter().map(|(_, mtu)| *mtu).min()
    }

    /// Acceptable MTUs of pods, from what fits now to what should fit. If these differ, the tunnels have
    /// findings.
    #[must_use]
    pub fn pod_range(&self) -> Option<(u32, u32)> {
        let (room, right) = (self.room?, self.right_room?);
        Some((room.min(right), room.max(right)))
    }

    /// The number of pods by MTU.
    #[must_use]
    pub fn pods_by_mtu(&self) -> BTreeMap<u32, usize> {
        let mut pods = BTreeMap::new();
        for pod in &self.pods {
            *pods.entry(pod.mtu).or_default() += 1;
        }
        pods
    }
}

/// The MTUs of a node.
pub(super) fn of(facts: &Facts) -> MtuView {
    let named = |w: &Watched| (w.device.name.clone(), w.device.mtu);
    let underlays: Vec<(String, u32)> = facts.watched(Role::Underlay).map(named).collect();
    let tunnels = tunnels(facts, &underlays);
    let smallest = underlays.iter().map(|(_, mtu)| *mtu).min();
    let room = |mtu: &dyn Fn(&TunnelMtu) -> Option<u32>| tunnels.iter().filter_map(mtu).min().or(smallest);
    let felix = match &facts.calico {
        Some(calico) => calico.felix_on(Some(facts.name())),
        None => Felix::default(),
    };
    let pattern = match felix.mtu_iface_pattern.clone().filter(|pattern| !pattern.is_empty()) {
        Some(pattern) => (pattern, true),
        None => (DEFAULT_PATTERN.to_owned(), false),
    };
    MtuView {
        room: room(&|tunnel| Some(tunnel.mtu)),
        right_room: room(&TunnelMtu::right),
        pods: pods(facts),
        matching: matching(facts, &pattern.0),
        file: facts.felix_file.clone(),
        seen: facts.observed.as_ref().map(seen).unwrap_or_default(),
        underlays,
        tunnels,
        pattern,
        felix,
    }
}

fn seen(report: &Report) -> BTreeMap<String, Seen> {
    let mut devices = BTreeMap::new();
    for row in &report.devices {
        let name = &row.device.name;
        let largest = report.rows.iter().filter(|r| r.device == *name).map(|r| r.figures.get(Total::Largest));
        let ptb = |events: &[u64; EVENTS]| events[Event::PtbV4 as usize] + events[Event::PtbV6 as usize];
        let seen = Seen { largest: largest.max().unwrap_or(0), ptb: row.events.iter().map(ptb).sum() };
        devices.insert(name.clone(), seen);
    }
    devices
}

fn tunnels(facts: &Facts, underlays: &[(String, u32)]) -> Vec<TunnelMtu> {
    facts
        .watched(Role::Tunnel)
        .filter(|w| facts.is_calico_tunnel(&w.device))
        .map(|w| {
            let named = w.underlay.and_then(|ifindex| facts.device(ifindex));
            let underlay = named.map(|device| (device.name.clone(), device.mtu));
            TunnelMtu {
                device: w.device.name.clone(),
                class: w.class,
                over_ipv6: over_ipv6(w),
                mtu: w.device.mtu,
                overhead: w.overhead,
                // A flow-based device has no known underlay; if the node has only one, it is that.
                underlay: underlay.or_else(|| match underlays {
                    [only] => Some(only.clone()),
                    _ => None,
                }),
            }
        })
        .collect()
}

fn over_ipv6(watched: &Watched) -> bool {
    match &watched.device.kind {
        DeviceKind::Vxlan => watched.overhead > 50,
        _ => watched.device.name == "wg-v6.cali",
    }
}

fn pods(facts: &Facts) -> Vec<PodMtu> {
    let up = facts.node.devices.iter().filter(|device| device.up && device.is_workload());
    up.map(|device| PodMtu {
        device: device.name.clone(),
        mtu: device.mtu,
        addresses: facts
            .unicast()
            .filter(|route| route.ifindex == Some(device.ifindex) && route.gateway.is_none())
            .filter(|route| route.prefix_len == if route.destination.is_ipv4() { 32 } else { 128 })
            .map(|route| route.destination)
            .collect(),
    })
    .collect()
}

fn matching(facts: &Facts, pattern: &str) -> Option<Vec<(String, u32)>> {
    let pattern = Regex::new(pattern).ok()?;
    let up = facts.node.devices.iter().filter(|device| device.up && pattern.is_match(&device.name));
    Some(up.map(|device| (device.name.clone(), device.mtu)).collect())
}
