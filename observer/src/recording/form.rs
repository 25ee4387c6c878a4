//! The fields of each line. A section that did not change since the previous line is missing.

use std::net::IpAddr;
use std::time::Duration;

use observer_common::counters::{EVENTS, Event};
use observer_common::kind::{Class, Direction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cost::{CostForm, present};
use super::table::{TableForm, is_false};
use super::time::Time;
use crate::snapshot::{Device, Fill, Hook, Routing, Tunnel};
use crate::topology::{Role, Scope};

/// The version of the format. Readers ignore unknown fields; a change that would mislead them gets a new number.
pub const SCHEMA: &str = "observer-recording/2";

/// The first line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Version of Observer.
    pub observer: String,
    /// The node's name.
    pub node: String,
    /// The kernel's release.
    pub origin: String,
    /// When the recording began, since the Unix epoch.
    pub created: Duration,
    /// The requested time between two snapshots.
    pub interval: Duration,
    /// Options of the command line; for people, not for programs.
    pub options: Map<String, Value>,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The requested time has passed.
    Done,
    /// A signal ended it.
    Interrupted,
    /// Reading the counters failed.
    Failed,
}

/// The header as written.
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

/// Any other line: the end, or the changes since the previous snapshot.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Line {
    /// The only field of the last line.
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
    pub(super) fill: Option<Fill>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) routing: Option<Vec<Routing>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) notes: Option<Vec<String>>,
    /// `null`: the cost of encapsulation is no longer measured.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub(super) cost: Option<Option<CostForm>>,
}

/// Totals of a device.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TotalsForm {
    pub(super) device: String,
    pub(super) direction: Direction,
    pub(super) encapsulation: Class,
}

/// The identity of a path or an unknown peer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IdForm {
    pub(super) device: String,
    pub(super) direction: Direction,
    pub(super) encapsulation: Class,
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
    pub(super) scope: Scope,
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
    pub(super) role: Role,
    pub(super) mtu: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tunnel: Option<Tunnel>,
    pub(super) hooks: Both<Hook>,
    #[serde(default)]
    pub(super) losses: Both<u64>,
    /// Events with a count above 0, by name.
    #[serde(default)]
    pub(super) events: Both<Map<String, Value>>,
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
            role: device.role,
            mtu: device.mtu,
            tunnel: device.tunnel,
            hooks: Both { ingress: device.hooks[0], egress: device.hooks[1] },
            losses: Both { ingress: device.losses[0], egress: device.losses[1] },
            events: Both { ingress: events(&device.events[0]), egress: events(&device.events[1]) },
        }
    }
}

impl From<DeviceForm> for Device {
    fn from(form: DeviceForm) -> Self {
        // Unknown events are ignored.
        let events = |named: &Map<String, Value>| {
            Event::ALL.map(|event| named.get(event.label()).and_then(Value::as_u64).unwrap_or(0))
        };
        Self {
            name: form.name,
            kind: form.kind,
            role: form.role,
            mtu: form.mtu,
            tunnel: form.tunnel,
            hooks: [form.hooks.ingress, form.hooks.egress],
            losses: [form.losses.ingress, form.losses.egress],
            totals: Vec::new(),
            events: [events(&form.events.ingress), events(&form.events.egress)],
        }
    }
}
