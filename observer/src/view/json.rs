//! The JSON of `observer stat`; every field stands in `docs/stat-json.md`.

use observer_common::counters::Merge;
use observer_common::counters::{EVENTS, Event, FIRST_REASON, PathCounter, Total};
use observer_common::kind::Direction;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::model::{DeviceRow, Figures, Fragments, Line, PathLine, Report, State, per_second};
use crate::snapshot::{Hook, PathId, Stranger, Vni};

/// The version of the form; a change that breaks readers gets a new number.
pub const SCHEMA: &str = "observer-stat/1";

/// A report as a JSON value.
#[must_use]
pub fn report(report: &Report) -> Value {
    json!({
        "schema": SCHEMA,
        "taken_seconds": report.taken.as_secs_f64(),
        "interval_seconds": report.interval.as_secs_f64(),
        "node": report.node,
        "origin": report.origin,
        "underlay": underlay(report),
        "devices": report.devices.iter().map(device).collect::<Vec<_>>(),
        "size_bounds": report.size_bounds,
        "rows": report.lines().iter().map(|line| row(line, report)).collect::<Vec<_>>(),
        "paths": report.path_lines().iter().map(|line| path(line, report.interval)).collect::<Vec<_>>(),
        "strangers": report.strangers.iter().map(stranger).collect::<Vec<_>>(),
        "fill": {
            "paths": report.fill.paths,
            "paths_capacity": report.fill.paths_capacity,
            "peers": report.fill.peers,
            "peers_capacity": report.fill.peers_capacity,
            "blocks": report.fill.blocks,
            "blocks_capacity": report.fill.blocks_capacity,
        },
        "notes": report.notes,
        "price": report.price.as_ref().map(super::price::json),
    })
}

/// A report as one line of JSON without a newline.
#[must_use]
pub fn line(of: &Report) -> String {
    report(of).to_string()
}

fn underlay(report: &Report) -> Value {
    report.underlay().map_or(Value::Null, |sum| {
        json!({
            "complete": sum.complete,
            "wire_bytes": sum.figures.get(Total::WireBytes),
            "l3_bytes": sum.figures.get(Total::L3Bytes),
            "overhead_bytes": sum.figures.overhead_bytes(),
            "overhead_ratio": sum.figures.overhead_ratio(),
        })
    })
}

fn device(row: &DeviceRow) -> Value {
    let device = &row.device;
    let by_direction = |value: &dyn Fn(usize) -> Value| {
        let pairs = Direction::ALL.map(|d| (d.label().to_owned(), value(d as usize)));
        Value::Object(pairs.into_iter().collect())
    };
    json!({
        "name": device.name,
        "kind": device.kind,
        "role": device.role.label(),
        "mtu": (device.mtu != 0).then_some(device.mtu),
        "tunnel": device.tunnel.map(|tunnel| json!({
            "encapsulation": tunnel.class.label(),
            "overhead_bytes": tunnel.overhead,
            "underlay_mtu": tunnel.underlay_mtu,
            "vni": tunnel.vni,
        })),
        "hooks": by_direction(&|direction| device.hooks[direction].label().into()),
        "events": by_direction(&|direction| events(device.hooks[direction], &row.events[direction])),
    })
}

/// Events of one direction; `null` where there is no hook, because not measured is not zero.
fn events(hook: Hook, counters: &[u64; EVENTS]) -> Value {
    if hook == Hook::None {
        return Value::Null;
    }
    let named = |events: &[Event]| -> Map<String, Value> {
        events.iter().map(|event| (event.label().to_owned(), counters[*event as usize].into())).collect()
    };
    let mut object = named(&Event::ALL[..FIRST_REASON]);
    object.insert("malformed".to_owned(), Value::Object(named(&Event::ALL[FIRST_REASON..])));
    Value::Object(object)
}

fn row(line: &Line, report: &Report) -> Value {
    let figures = line.figures();
    let rates = figures.filter(|_| line.state == State::Measured);
    let classes = report.size_bounds.len() + 1;
    json!({
        "device": line.device.device.name,
        "role": line.device.device.role.label(),
        "direction": line.direction.label(),
        "encapsulation": line.row.map(|row| row.class.label()),
        "state": line.state.label(),
        "counters": figures.map(|f| counters(&f)),
        "rates": rates.map(|f| rates_of_figures(&f, report.interval)),
        "overhead_bytes": figures.map(|f| f.overhead_bytes()),
        "overhead_bytes_per_second":
            rates.and_then(|f| per_second(f.overhead_bytes(), report.interval)),
        "overhead_ratio": figures.and_then(|f| f.overhead_ratio()),
        "fragments": figures.map(|f| json!({
            "count": f.fragments(),
            "outer": fragments(&f.outer_fragments()),
            "inner": fragments(&f.inner_fragments()),
        })),
        "sizes": line.row.map(|row| row.sizes.iter().take(classes).copied().collect::<Vec<u64>>()),
    })
}

fn counters(figures: &Figures) -> Value {
    let pairs = Total::ALL.iter().map(|c| (c.label().to_owned(), figures.get(*c).into()));
    Value::Object(pairs.collect())
}

fn rates_of_figures(figures: &Figures, interval: Duration) -> Value {
    let sums = Total::ALL.iter().filter(|c| c.merge() == Merge::Sum);
    let pairs = sums.map(|c| (c.label().to_owned(), json!(per_second(figures.get(*c), interval))));
    Value::Object(pairs.collect())
}

fn fragments(layer: &Fragments) -> Value {
    let positions = |counts: [u64; 3]| json!({"first": counts[0], "middle": counts[1], "last": counts[2]});
    let mut ipv6 = positions(layer.ipv6);
    ipv6["atomic"] = layer.atomic.into();
    json!({ "count": layer.count(), "ipv4": positions(layer.ipv4), "ipv6": ipv6 })
}

fn path(line: &PathLine, interval: Duration) -> Value {
    let figures = &line.path.figures;
    let measured = line.state == State::Measured;
    let counters: Map<String, Value> =
        PathCounter::ALL.iter().map(|c| (c.label().to_owned(), figures.get(*c).into())).collect();
    let sums = PathCounter::ALL.iter().filter(|c| c.merge() == Merge::Sum);
    let rates: Map<String, Value> =
        sums.map(|c| (c.label().to_owned(), json!(per_second(figures.get(*c), interval)))).collect();
    let mut object = identity(&line.path.id);
    object.extend([
        ("scope".to_owned(), line.path.scope.label().into()),
        ("state".to_owned(), line.state.label().into()),
        ("counters".to_owned(), Value::Object(counters)),
        ("rates".to_owned(), if measured { Value::Object(rates) } else { Value::Null }),
        ("overhead_bytes".to_owned(), figures.overhead_bytes().into()),
        (
            "overhead_bytes_per_second".to_owned(),
            json!(per_second(figures.overhead_bytes(), interval).filter(|_| measured)),
        ),
        ("overhead_ratio".to_owned(), json!(figures.overhead_ratio())),
        ("fragments".to_owned(), figures.fragments().into()),
    ]);
    Value::Object(object)
}

fn identity(id: &PathId) -> Map<String, Value> {
    let number = if let Vni::Own(number) = id.vni { Some(number) } else { None };
    [
        ("device", id.device.as_str().into()),
        ("direction", id.direction.label().into()),
        ("encapsulation", id.class.label().into()),
        ("vni", json!(number)),
        ("foreign_vni", (id.vni == Vni::Foreign).into()),
        ("peer", id.peer.to_string().into()),
    ]
    .into_iter()
    .map(|(key, value): (&str, Value)| (key.to_owned(), value))
    .collect()
}

fn stranger(stranger: &Stranger) -> Value {
    let mut object = identity(&stranger.id);
    object.insert("packets".to_owned(), stranger.packets.into());
    object.insert("wire_bytes".to_owned(), stranger.wire_bytes.into());
    Value::Object(object)
}
