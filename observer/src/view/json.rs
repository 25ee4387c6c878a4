//! The JSON of `observer stat`, documented in `docs/stat-json.md`.
//!
//! Serialised without an intermediate tree of values, because ten thousand paths are nine megabytes of text. Fields are
//! in alphabetical order.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use observer_common::counters::{EVENTS, Event, FIRST_REASON, Merge, PathCounter, Total};
use observer_common::kind::Direction;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use crate::model::{DeviceRow, Figures, Fragments, Line, PathFigures, PathLine, Report, State, per_second};
use crate::snapshot::{Fill, Hook, PathId, Routing, Tunnel, Vni};

/// The version of the schema, increased by every breaking change.
pub const SCHEMA: &str = "observer-stat/2";

/// A report as a JSON value.
#[must_use]
pub fn report(report: &Report) -> Value {
    serde_json::to_value(Document::of(report)).unwrap_or_default()
}

/// A report as one line of JSON without a newline.
#[must_use]
pub fn line(of: &Report) -> String {
    serde_json::to_string(&Document::of(of)).unwrap_or_default()
}

/// The report on captures as one line of JSON without a newline, with what only captures have.
#[must_use]
pub fn captured(of: &Report, capture: &Value) -> String {
    serde_json::to_string(&Document { capture: Some(capture), ..Document::of(of) }).unwrap_or_default()
}

/// Writes a report as one line of JSON without a newline.
///
/// # Errors
/// The writer's own.
pub fn write(of: &Report, to: impl Write) -> io::Result<()> {
    serde_json::to_writer(to, &Document::of(of)).map_err(io::Error::from)
}

#[derive(serde::Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    capture: Option<&'a Value>,
    cost: Option<Value>,
    devices: Vec<DeviceObject<'a>>,
    fill: Fill,
    interval_seconds: f64,
    node: &'a str,
    notes: &'a [String],
    origin: &'a str,
    paths: Paths<'a>,
    routing: Vec<RoutingObject>,
    rows: Rows<'a>,
    schema: &'static str,
    size_bounds: &'a [u32],
    taken_seconds: f64,
    underlay: Option<UnderlayObject>,
    unknown_peers: Vec<UnknownPeerObject<'a>>,
}

impl<'a> Document<'a> {
    fn of(report: &'a Report) -> Self {
        Self {
            capture: None,
            devices: report.devices.iter().map(DeviceObject::of).collect(),
            fill: report.fill,
            interval_seconds: report.interval.as_secs_f64(),
            node: &report.node,
            notes: &report.notes,
            origin: &report.origin,
            paths: Paths(report),
            cost: report.cost.as_ref().map(super::cost::json),
            routing: report.routing.iter().map(RoutingObject::of).collect(),
            rows: Rows(report),
            schema: SCHEMA,
            size_bounds: &report.size_bounds,
            unknown_peers: report.unknown_peers.iter().map(UnknownPeerObject::of).collect(),
            taken_seconds: report.taken.as_secs_f64(),
            underlay: report.underlay().map(|sum| UnderlayObject {
                complete: sum.complete,
                l3_bytes: sum.figures.get(Total::L3Bytes),
                overhead_bytes: sum.figures.overhead_bytes(),
                overhead_ratio: sum.figures.overhead_ratio(),
                wire_bytes: sum.figures.get(Total::WireBytes),
            }),
        }
    }
}

#[derive(serde::Serialize)]
struct RoutingObject {
    blocks: u64,
    encapsulation: &'static str,
    family: &'static str,
    peers: u64,
    scope: &'static str,
}

impl RoutingObject {
    fn of(way: &Routing) -> Self {
        Self {
            blocks: way.blocks,
            encapsulation: way.class.label(),
            family: if way.ipv6 { "ipv6" } else { "ipv4" },
            peers: way.peers,
            scope: way.scope.label(),
        }
    }
}

#[derive(serde::Serialize)]
struct UnderlayObject {
    complete: bool,
    l3_bytes: u64,
    overhead_bytes: u64,
    overhead_ratio: Option<f64>,
    wire_bytes: u64,
}

#[derive(serde::Serialize)]
struct DeviceObject<'a> {
    events: ByDirection<Option<EventsObject<'a>>>,
    hooks: ByDirection<&'static str>,
    kind: &'a str,
    mtu: Option<u32>,
    name: &'a str,
    role: &'static str,
    tunnel: Option<Tunnel>,
}

#[derive(serde::Serialize)]
struct ByDirection<T> {
    egress: T,
    ingress: T,
    /// If the direction is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<T>,
}

impl<'a> DeviceObject<'a> {
    fn of(row: &'a DeviceRow) -> Self {
        let device = &row.device;
        let (inward, outward) = (Direction::Ingress as usize, Direction::Egress as usize);
        let events = |direction: usize| {
            // Without a hook, events are unknown and not zero.
            let measured = !matches!(device.hooks[direction], Hook::None | Hook::Undirected);
            measured.then_some(EventsObject(&row.events[direction]))
        };
        let undirected = device.hooks[inward] == Hook::Undirected;
        Self {
            events: ByDirection {
                egress: events(outward),
                ingress: events(inward),
                unknown: undirected.then_some(Some(EventsObject(&row.events[inward]))),
            },
            hooks: ByDirection {
                egress: device.hooks[outward].label(),
                ingress: device.hooks[inward].label(),
                unknown: None,
            },
            kind: &device.kind,
            mtu: (device.mtu != 0).then_some(device.mtu),
            name: &device.name,
            role: device.role.label(),
            tunnel: device.tunnel,
        }
    }
}

/// Counters by label.
struct Labelled<'a, C: 'static>(&'a [C], &'a dyn Fn(C) -> Option<u64>);

/// Rates of counters by label.
struct Rates<'a, C: 'static>(&'a [C], Duration, &'a dyn Fn(C) -> Option<u64>);

/// Label and kind of a counter.
trait Label: Copy {
    fn label(self) -> &'static str;
    fn merge(self) -> Merge;
}

/// The counters of a set in the order of their labels, and those that have a rate.
struct Order<C> {
    all: Vec<C>,
    sums: Vec<C>,
}

impl<C: Label> Order<C> {
    fn of(counters: &[C]) -> Self {
        let mut all = counters.to_vec();
        all.sort_by_key(|counter| counter.label());
        let sums = all.iter().copied().filter(|counter| counter.merge() == Merge::Sum).collect();
        Self { all, sums }
    }
}

macro_rules! labels {
    ($($set:ident)*) => {$(
        impl Label for $set {
            fn label(self) -> &'static str {
                Self::label(self)
            }
            fn merge(self) -> Merge {
                Self::merge(self)
            }
        }
    )*};
}
labels!(Total PathCounter Event);

static TOTALS: LazyLock<Order<Total>> = LazyLock::new(|| Order::of(&Total::ALL));
static PATH_COUNTERS: LazyLock<Order<PathCounter>> = LazyLock::new(|| Order::of(&PathCounter::ALL));
static REASONS: LazyLock<Order<Event>> = LazyLock::new(|| Order::of(&Event::ALL[FIRST_REASON..]));

impl<C: Label> Serialize for Labelled<'_, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|counter| (counter.label(), (self.1)(*counter))))
    }
}

impl<C: Label> Serialize for Rates<'_, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rate = |counter: &C| (self.2)(*counter).and_then(|count| per_second(count, self.1));
        serializer.collect_map(self.0.iter().map(|counter| (counter.label(), rate(counter))))
    }
}

/// Rare events; malformed packets by reason.
struct EventsObject<'a>(&'a [u64; EVENTS]);

impl Serialize for EventsObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const MALFORMED: &str = "malformed";
        let count = |event: Event| self.0[event as usize];
        let mut plain = Event::ALL[..FIRST_REASON].to_vec();
        plain.sort_by_key(|event| event.label());
        let (before, after): (Vec<Event>, Vec<Event>) =
            plain.into_iter().partition(|event| event.label() < MALFORMED);
        let mut map = serializer.serialize_map(None)?;
        for event in before {
            map.serialize_entry(event.label(), &count(event))?;
        }
        map.serialize_entry(MALFORMED, &Labelled(&REASONS.all, &|event| Some(count(event))))?;
        for event in after {
            map.serialize_entry(event.label(), &count(event))?;
        }
        map.end()
    }
}

struct RowObject<'a>(&'a Line<'a>, &'a Report);

#[derive(serde::Serialize)]
struct RowFields<'a> {
    counters: Option<Labelled<'a, Total>>,
    device: &'a str,
    direction: Option<&'static str>,
    encapsulation: Option<&'static str>,
    fragments: Option<FragmentsObject>,
    overhead_bytes: Option<u64>,
    overhead_bytes_per_second: Option<f64>,
    overhead_ratio: Option<f64>,
    rates: Option<Rates<'a, Total>>,
    role: &'static str,
    sizes: Option<&'a [u64]>,
    state: &'static str,
}

/// All rows of a report.
struct Rows<'a>(&'a Report);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.lines().iter().map(|line| RowObject(line, self.0)))
    }
}

impl Serialize for RowObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(line, report) = *self;
        let figures = line.figures();
        let rates = figures.filter(|_| line.state == State::Measured);
        let classes = report.size_bounds.len() + 1;
        let get = |counter: Total| line.count(counter);
        let fields = RowFields {
            counters: figures.map(|_| Labelled(&TOTALS.all, &get)),
            device: &line.device.device.name,
            direction: line.known_direction().map(Direction::label),
            encapsulation: line.row.map(|row| row.class.label()),
            fragments: figures.map(|figures| FragmentsObject::of(&figures)),
            overhead_bytes: figures.map(|figures| figures.overhead_bytes()),
            overhead_bytes_per_second: rates
                .and_then(|figures| per_second(figures.overhead_bytes(), report.interval)),
            overhead_ratio: figures.and_then(|figures| figures.overhead_ratio()),
            rates: rates.map(|_| Rates(&TOTALS.sums, report.interval, &get)),
            role: line.device.device.role.label(),
            sizes: line.row.map(|row| &row.sizes[..classes.min(row.sizes.len())]),
            state: line.state.label(),
        };
        fields.serialize(serializer)
    }
}

#[derive(serde::Serialize)]
struct FragmentsObject {
    count: u64,
    inner: LayerObject,
    outer: LayerObject,
}

impl FragmentsObject {
    fn of(figures: &Figures) -> Self {
        Self {
            count: figures.fragments(),
            inner: LayerObject::of(&figures.inner_fragments()),
            outer: LayerObject::of(&figures.outer_fragments()),
        }
    }
}

#[derive(serde::Serialize)]
struct LayerObject {
    count: u64,
    ipv4: Positions4,
    ipv6: Positions6,
}

#[derive(serde::Serialize)]
struct Positions4 {
    first: u64,
    last: u64,
    middle: u64,
}

#[derive(serde::Serialize)]
struct Positions6 {
    atomic: u64,
    first: u64,
    last: u64,
    middle: u64,
}

impl LayerObject {
    fn of(layer: &Fragments) -> Self {
        let [first, middle, last] = layer.ipv4;
        let ipv4 = Positions4 { first, last, middle };
        let [first, middle, last] = layer.ipv6;
        let ipv6 = Positions6 { atomic: layer.atomic, first, last, middle };
        Self { count: layer.count(), ipv4, ipv6 }
    }
}

/// All paths of a report.
struct Paths<'a>(&'a Report);

impl Serialize for Paths<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let interval = self.0.interval;
        serializer.collect_seq(self.0.path_lines().iter().map(|line| PathObject(line, interval)))
    }
}

struct PathObject<'a>(&'a PathLine<'a>, Duration);

#[derive(serde::Serialize)]
struct PathFields<'a> {
    counters: Labelled<'a, PathCounter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<IpAddr>,
    device: &'a str,
    direction: Option<&'static str>,
    encapsulation: &'static str,
    fragments: u64,
    overhead_bytes: u64,
    overhead_bytes_per_second: Option<f64>,
    overhead_ratio: Option<f64>,
    peer: Option<IpAddr>,
    rates: Option<Rates<'a, PathCounter>>,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<IpAddr>,
    state: &'static str,
    unknown_vni: bool,
    vni: Option<u32>,
}

impl Serialize for PathObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(line, interval) = *self;
        let figures: &PathFigures = &line.path.figures;
        let measured = line.state == State::Measured;
        let get = |counter: PathCounter| line.count(counter);
        let id = &line.path.id;
        let ends = line.ends();
        let fields = PathFields {
            counters: Labelled(&PATH_COUNTERS.all, &get),
            destination: ends.map(|ends| ends.1),
            device: &id.device,
            direction: line.known_direction().map(Direction::label),
            encapsulation: id.class.label(),
            unknown_vni: id.vni == Vni::Unknown,
            fragments: figures.fragments(),
            overhead_bytes: figures.overhead_bytes(),
            overhead_bytes_per_second: per_second(figures.overhead_bytes(), interval).filter(|_| measured),
            overhead_ratio: figures.overhead_ratio(),
            peer: line.peer(),
            rates: measured.then_some(Rates(&PATH_COUNTERS.sums, interval, &get)),
            scope: line.path.scope.label(),
            source: ends.map(|ends| ends.0),
            state: line.state.label(),
            vni: own_vni(id),
        };
        fields.serialize(serializer)
    }
}

#[derive(serde::Serialize)]
struct UnknownPeerObject<'a> {
    device: &'a str,
    direction: &'static str,
    encapsulation: &'static str,
    packets: u64,
    peer: IpAddr,
    unknown_vni: bool,
    vni: Option<u32>,
    wire_bytes: u64,
}

impl<'a> UnknownPeerObject<'a> {
    fn of(unknown_peer: &'a crate::snapshot::UnknownPeer) -> Self {
        let id = &unknown_peer.id;
        Self {
            device: &id.device,
            direction: id.direction.label(),
            encapsulation: id.class.label(),
            unknown_vni: id.vni == Vni::Unknown,
            packets: unknown_peer.packets,
            peer: id.peer,
            vni: own_vni(id),
            wire_bytes: unknown_peer.wire_bytes,
        }
    }
}

fn own_vni(id: &PathId) -> Option<u32> {
    if let Vni::Own(number) = id.vni { Some(number) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;

    #[test]
    fn fields_are_in_alphabetical_order() {
        let report = Report::between(&fixture::snapshot(120), &fixture::lost(130, 120));
        // A map of values sorts its keys.
        assert_eq!(super::report(&report).to_string(), line(&report));
        let mut written = Vec::new();
        write(&report, &mut written).expect("memory takes all");
        assert_eq!(String::from_utf8(written).expect("UTF-8"), line(&report));
    }
}
