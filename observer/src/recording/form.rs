//! What a line holds, field by field. Sections that did not change since the line before are left out.

use std::net::IpAddr;
use std::time::Duration;

use observer_common::counters::{EVENTS, Event};
use observer_common::kind::{Class, Direction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cost::{CostForm, said};
use super::names::Word;
use crate::snapshot::{Device, Fill, Hook, Routing, Tunnel};
use crate::topology::{Role, Scope};

/// The first line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The version of the Observer that wrote it.
    pub observer: String,
    /// The node's name.
    pub node: String,
    /// The kernel's release.
    pub origin: String,
    /// When the recording began, since the Unix epoch.
    pub created: Duration,
    /// The time between two snapshots that was asked for.
    pub interval: Duration,
    /// What was asked for, by the words of the command line; for people, not for programs.
    pub options: Map<String, Value>,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The time was over.
    Done,
    /// A signal ended it.
    Interrupted,
    /// Reading the counters failed.
    Failed,
}

/// A time without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u64, u32)", into = "(u64, u32)")]
pub(super) struct Time(pub(super) Duration);

impl From<Time> for (u64, u32) {
    fn from(Time(time): Time) -> Self {
        (time.as_secs(), time.subsec_nanos())
    }
}

impl TryFrom<(u64, u32)> for Time {
    type Error = &'static str;

    fn try_from((seconds, nanoseconds): (u64, u32)) -> Result<Self, Self::Error> {
        if nanoseconds >= 1_000_000_000 {
            return Err("a time has a billion nanoseconds or more");
        }
        Ok(Self(Duration::new(seconds, nanoseconds)))
    }
}

/// A time of the kernel's, which counts in 64 bits of nanoseconds too.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The header as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeaderLine {
    pub(super) schema: String,
    pub(super) observer: String,
    pub(super) node: String,
    pub(super) origin: String,
    pub(super) created: Time,
    pub(super) interval: Time,
    #[serde(default)]
    pub(super) options: Map<String, Value>,
}

/// Any other line: the end, or a snapshot as what changed since the one before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Line {
    /// The last line has this and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<End>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) taken: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) counting: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size_bounds: Option<Vec<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) devices: Option<Vec<DeviceForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) totals: Option<TableForm<TotalsForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paths: Option<TableForm<PathForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unknown_peers: Option<TableForm<IdForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) programs: Option<TableForm<ProgramForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fill: Option<FillForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) routing: Option<Vec<RoutingForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) notes: Option<Vec<String>>,
    /// `null`: what encapsulation costs is not measured any more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub(super) cost: Option<Option<CostForm>>,
}

/// A table of counters: new rows, and what was added to rows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TableForm<I> {
    /// All rows from before are gone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) reset: bool,
    /// The counters that `added` has, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<String>,
    /// Rows that come in, in the order of their places; they begin with zeros.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub(super) new: Vec<New<I>>,
    /// For each row that changed its place and what is added to each of `columns`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) added: Vec<Vec<u64>>,
}

/// A new row.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct New<I> {
    /// Its place in the table once it is in.
    pub(super) at: usize,
    #[serde(flatten)]
    pub(super) id: I,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Totals of a device.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TotalsForm {
    pub(super) device: String,
    pub(super) direction: Word<Direction>,
    pub(super) encapsulation: Word<Class>,
}

/// Who a path or a unknown peer is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IdForm {
    pub(super) device: String,
    pub(super) direction: Word<Direction>,
    pub(super) encapsulation: Word<Class>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) vni: Option<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) unknown_vni: bool,
    pub(super) peer: IpAddr,
}

/// A path.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PathForm {
    #[serde(flatten)]
    pub(super) id: IdForm,
    pub(super) scope: Word<Scope>,
}

/// A program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProgramForm {
    pub(super) name: String,
}

/// By direction.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Both<T> {
    pub(super) ingress: T,
    pub(super) egress: T,
}

/// A device without its totals.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeviceForm {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) role: Word<Role>,
    pub(super) mtu: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tunnel: Option<TunnelForm>,
    pub(super) hooks: Both<Word<Hook>>,
    #[serde(default)]
    pub(super) losses: Both<u64>,
    /// Events that are not zero, by name.
    #[serde(default)]
    pub(super) events: Both<Map<String, Value>>,
}

/// What a tunnel device does.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TunnelForm {
    pub(super) encapsulation: Word<Class>,
    pub(super) overhead_bytes: u32,
    #[serde(default)]
    pub(super) underlay_mtu: Option<u32>,
    #[serde(default)]
    pub(super) vni: Option<u32>,
}

/// How full the tables are; a field for each of [`Fill`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FillForm {
    pub(super) paths: u64,
    pub(super) paths_capacity: u64,
    pub(super) peers: u64,
    pub(super) peers_capacity: u64,
    pub(super) blocks: u64,
    pub(super) blocks_capacity: u64,
}

/// Pod blocks that are routed alike.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RoutingForm {
    pub(super) ipv6: bool,
    pub(super) encapsulation: Word<Class>,
    pub(super) scope: Word<Scope>,
    pub(super) blocks: u64,
    pub(super) peers: u64,
}

impl From<&Device> for DeviceForm {
    fn from(device: &Device) -> Self {
        let events = |counters: &[u64; EVENTS]| -> Map<String, Value> {
            let some = Event::ALL.iter().filter(|event| counters[**event as usize] != 0);
            some.map(|event| (event.label().to_owned(), counters[*event as usize].into())).collect()
        };
        Self {
            name: device.name.to_string(),
            kind: device.kind.to_string(),
            role: Word(device.role),
            mtu: device.mtu,
            tunnel: device.tunnel.map(|tunnel| TunnelForm {
                encapsulation: Word(tunnel.class),
                overhead_bytes: tunnel.overhead,
                underlay_mtu: tunnel.underlay_mtu,
                vni: tunnel.vni,
            }),
            hooks: Both { ingress: Word(device.hooks[0]), egress: Word(device.hooks[1]) },
            losses: Both { ingress: device.losses[0], egress: device.losses[1] },
            events: Both { ingress: events(&device.events[0]), egress: events(&device.events[1]) },
        }
    }
}

impl From<DeviceForm> for Device {
    fn from(form: DeviceForm) -> Self {
        // A name that this version does not know is a counter that it does not show.
        let events = |named: &Map<String, Value>| {
            Event::ALL.map(|event| named.get(event.label()).and_then(Value::as_u64).unwrap_or(0))
        };
        Self {
            name: form.name,
            kind: form.kind,
            role: form.role.0,
            mtu: form.mtu,
            tunnel: form.tunnel.map(|tunnel| Tunnel {
                class: tunnel.encapsulation.0,
                overhead: tunnel.overhead_bytes,
                underlay_mtu: tunnel.underlay_mtu,
                vni: tunnel.vni,
            }),
            hooks: [form.hooks.ingress.0, form.hooks.egress.0],
            losses: [form.losses.ingress, form.losses.egress],
            totals: Vec::new(),
            events: [events(&form.events.ingress), events(&form.events.egress)],
        }
    }
}

impl From<&Fill> for FillForm {
    fn from(fill: &Fill) -> Self {
        Self {
            paths: fill.paths,
            paths_capacity: fill.paths_capacity,
            peers: fill.peers,
            peers_capacity: fill.peers_capacity,
            blocks: fill.blocks,
            blocks_capacity: fill.blocks_capacity,
        }
    }
}

impl From<FillForm> for Fill {
    fn from(form: FillForm) -> Self {
        Self {
            paths: form.paths,
            paths_capacity: form.paths_capacity,
            peers: form.peers,
            peers_capacity: form.peers_capacity,
            blocks: form.blocks,
            blocks_capacity: form.blocks_capacity,
        }
    }
}

impl From<&Routing> for RoutingForm {
    fn from(way: &Routing) -> Self {
        let (encapsulation, scope) = (Word(way.class), Word(way.scope));
        Self { ipv6: way.ipv6, encapsulation, scope, blocks: way.blocks, peers: way.peers }
    }
}

impl From<RoutingForm> for Routing {
    fn from(form: RoutingForm) -> Self {
        let (class, scope) = (form.encapsulation.0, form.scope.0);
        Self { ipv6: form.ipv6, class, scope, blocks: form.blocks, peers: form.peers }
    }
}
