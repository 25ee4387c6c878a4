//! One look at all MTUs: what each is, what it should be, and what Felix makes of the node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use observer_common::counters::{EVENTS, Event, Total};
use observer_common::kind::Class;
use regex_lite::Regex;

use super::{Facts, FelixFile};
use crate::calico::Felix;
use crate::model::Report;
use crate::topology::{DeviceKind, Role};

/// Felix's own `mtuIfacePattern`.
pub const DEFAULT_PATTERN: &str = "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)";
/// What Felix takes for the underlay's MTU where no device matches.
pub const UNDETECTED: u32 = 1460;

/// The MTU of a tunnel device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelMtu {
    /// Its name.
    pub device: String,
    /// Its encapsulation.
    pub class: Class,
    /// It encapsulates in IPv6.
    pub over_ipv6: bool,
    /// Bytes that it has.
    pub mtu: u32,
    /// Bytes that it adds to a packet.
    pub overhead: u32,
    /// The underlay and its MTU, where known.
    pub underlay: Option<(String, u32)>,
}

impl TunnelMtu {
    /// What it should have.
    #[must_use]
    pub fn right(&self) -> Option<u32> {
        self.underlay.as_ref().map(|(_, mtu)| mtu.saturating_sub(self.overhead))
    }

    /// How it should have come to that, for people: `1500 of eth0 - 50`.
    #[must_use]
    pub fn sum(&self) -> String {
        match &self.underlay {
            Some((device, mtu)) => format!("{mtu} of {device} - {} of {}", self.overhead, self.class.label()),
            None => format!("the underlay of {} is not known", self.device),
        }
    }
}

/// The MTU of a pod's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodMtu {
    /// The node's side of the device.
    pub device: String,
    /// Bytes.
    pub mtu: u32,
    /// The pod's addresses.
    pub addresses: Vec<IpAddr>,
}

/// What was measured at a device, both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The largest packet, L3 bytes; 0 where there was none.
    pub largest: u64,
    /// Messages that a packet is too big.
    pub ptb: u64,
}

/// All MTUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MtuView {
    /// Underlay devices.
    pub underlays: Vec<(String, u32)>,
    /// Tunnel devices that are up and Calico's.
    pub tunnels: Vec<TunnelMtu>,
    /// Pods' devices that are up.
    pub pods: Vec<PodMtu>,
    /// What fits through all ways to other nodes' pods, with the MTUs as they are.
    pub room: Option<u32>,
    /// The same, were all tunnels right.
    pub right_room: Option<u32>,
    /// Felix's pattern for devices, and whether it is one that was declared.
    pub pattern: (String, bool),
    /// Up devices that match the pattern, with their MTUs. `None`: the pattern cannot be read.
    pub matching: Option<Vec<(String, u32)>>,
    /// What Felix was told.
    pub felix: Felix,
    /// What Felix's file says.
    pub file: FelixFile,
    /// What was measured, by device; empty where nothing was.
    pub seen: BTreeMap<String, Seen>,
}

impl MtuView {
    /// What Felix takes for the underlay's MTU; `None` where the pattern cannot be read.
    #[must_use]
    pub fn detected(&self) -> Option<u32> {
        let matching = self.matching.as_ref()?;
        Some(matching.iter().map(|(_, mtu)| *mtu).min().unwrap_or(UNDETECTED))
    }

    /// The smallest MTU of an underlay.
    #[must_use]
    pub fn underlay(&self) -> Option<u32> {
        self.underlays.iter().map(|(_, mtu)| *mtu).min()
    }

    /// A pod's MTU between these fits and gives nothing away: what fits now and what should fit, of
    /// which the tunnels' own findings tell if they differ.
    #[must_use]
    pub fn pod_range(&self) -> Option<(u32, u32)> {
        let (room, right) = (self.room?, self.right_room?);
        Some((room.min(right), room.max(right)))
    }
}

/// Looks at the MTUs of a node.
pub(super) fn of(facts: &Facts) -> MtuView {
    let underlays: Vec<(String, u32)> = facts.underlays().map(|d| (d.name.clone(), d.mtu)).collect();
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
    let calico = |w: &&crate::topology::Watched| w.role == Role::Tunnel && facts.is_calico_tunnel(&w.device);
    facts
        .topology
        .watched
        .iter()
        .filter(calico)
        .map(|w| {
            let named = w.underlay.and_then(|ifindex| facts.device(ifindex));
            let underlay = named.map(|device| (device.name.clone(), device.mtu));
            TunnelMtu {
                device: w.device.name.clone(),
                class: w.class,
                over_ipv6: over_ipv6(w),
                mtu: w.device.mtu,
                overhead: w.overhead,
                // A flow-based device names none; where there is only one it is that.
                underlay: underlay.or_else(|| match underlays {
                    [only] => Some(only.clone()),
                    _ => None,
                }),
            }
        })
        .collect()
}

fn over_ipv6(watched: &crate::topology::Watched) -> bool {
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
