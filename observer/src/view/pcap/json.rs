//! The JSON of `observer pcap`; every field stands in `docs/pcap-json.md`.

use observer_common::counters::{EVENTS, Event, FIRST_REASON, PathCounter, Total};
use observer_common::kind::Class;
use serde_json::{Map, Value, json};

use crate::capture::{DeviceSummary, FileSummary, PathSummary, Summary};
use crate::model::{Figures, Fragments};

/// The version of the form; a change that breaks readers gets a new number.
pub const SCHEMA: &str = "observer-pcap/2";

/// The report; with at most so many paths, where they are asked for.
#[must_use]
pub fn document(summary: &Summary, paths: Option<usize>) -> Value {
    let mut document = json!({
        "schema": SCHEMA,
        "complete": summary.complete(),
        "mtu": summary.mtu,
        "first_seconds": summary.times().map(|times| seconds(times.0)),
        "last_seconds": summary.times().map(|times| seconds(times.1)),
        "files": summary.files.iter().map(file).collect::<Vec<_>>(),
        "totals": totals(summary),
        "devices": summary.devices.iter().map(|row| device(row, summary.mtu)).collect::<Vec<_>>(),
        "path_count": summary.paths.len(),
        "path_overflow": summary.events[Event::PathOverflow as usize],
    });
    if let Some(most) = paths {
        let paths = summary.paths.iter().take(most);
        document["paths"] = paths.map(|one| path(one, summary.mtu)).collect();
    }
    document
}

fn seconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64()
}

fn file(file: &FileSummary) -> Value {
    json!({
        "name": file.name,
        "frames": file.frames,
        "uncounted": file.uncounted,
        "problems": file.problems,
    })
}

fn totals(summary: &Summary) -> Value {
    let all = summary.all();
    let count = |class: Class| summary.classes[class as usize].packets();
    let by_encapsulation: Map<String, Value> = Class::ENCAPSULATIONS
        .iter()
        .map(|class| (class.label().to_owned(), volumes(&summary.classes[*class as usize])))
        .collect();
    let mut totals = volumes(&all);
    let more = json!({
        "by_encapsulation": by_encapsulation,
        "fragments": {
            "outer": fragments(&all.outer_fragments()),
            "inner": fragments(&all.inner_fragments()),
        },
        "fragmentation_overhead_bytes": all.get(Total::FragmentationOverheadBytes),
        "ptb": ptb(&summary.events),
        "non_ip": count(Class::NonIp),
        "unusable": count(Class::Malformed),
        "malformed": malformed(&summary.events),
        "nested": all.get(Total::Nested),
        "inner_non_ip": all.get(Total::InnerNonIp),
        "vxlan_gpe": all.get(Total::VxlanGpe),
        "oversized": summary.mtu.map(|_| all.get(Total::Oversized)),
        "largest_bytes": all.get(Total::Largest),
        "sizes": {
            "bounds": summary.size_bounds,
            "packets": summary.sizes[..=summary.size_bounds.len()],
        },
    });
    if let (Value::Object(totals), Value::Object(more)) = (&mut totals, more) {
        totals.extend(more);
    }
    totals
}

/// What every row has.
fn volumes(figures: &Figures) -> Value {
    json!({
        "packets": figures.packets(),
        "wire_bytes": figures.get(Total::WireBytes),
        "l3_bytes": figures.get(Total::L3Bytes),
        "inner_bytes": figures.get(Total::InnerBytes),
        "overhead_bytes": figures.overhead_bytes(),
        "overhead_ratio": figures.overhead_ratio(),
    })
}

fn fragments(layer: &Fragments) -> Value {
    let positions = |counts: [u64; 3], atomic: u64| json!({"first": counts[0], "middle": counts[1], "last": counts[2], "atomic": atomic});
    json!({ "ipv4": positions(layer.ipv4, 0), "ipv6": positions(layer.ipv6, layer.atomic) })
}

fn ptb(events: &[u64; EVENTS]) -> Value {
    json!({ "icmpv4": events[Event::PtbV4 as usize], "icmpv6": events[Event::PtbV6 as usize] })
}

fn malformed(events: &[u64; EVENTS]) -> Value {
    let reasons = &Event::ALL[FIRST_REASON..];
    Value::Object(reasons.iter().map(|e| (e.label().to_owned(), events[*e as usize].into())).collect())
}

fn device(row: &DeviceSummary, mtu: Option<u32>) -> Value {
    let mut object = volumes(&row.figures);
    object["device"] = row.device.as_str().into();
    object["direction"] = row.direction.map(|direction| direction.label()).into();
    object["encapsulation"] = row.class.label().into();
    object["outer_fragments"] = row.figures.outer_fragments().count().into();
    object["inner_fragments"] = row.figures.inner_fragments().count().into();
    object["oversized"] = mtu.map(|_| row.figures.get(Total::Oversized)).into();
    object["largest_bytes"] = row.figures.get(Total::Largest).into();
    object
}

fn path(path: &PathSummary, mtu: Option<u32>) -> Value {
    let get = |counter| path.figures.get(counter);
    json!({
        "device": path.device,
        "source": path.source.to_string(),
        "destination": path.destination.to_string(),
        "encapsulation": path.class.label(),
        "vni": path.vni,
        "packets": get(PathCounter::Packets),
        "wire_bytes": get(PathCounter::WireBytes),
        "l3_bytes": get(PathCounter::L3Bytes),
        "inner_bytes": get(PathCounter::InnerBytes),
        "overhead_bytes": path.figures.overhead_bytes(),
        "overhead_ratio": path.figures.overhead_ratio(),
        "outer_first": get(PathCounter::OuterFirst),
        "outer_middle": get(PathCounter::OuterMiddle),
        "outer_last": get(PathCounter::OuterLast),
        "inner_fragments": get(PathCounter::Inner),
        "fragmentation_overhead_bytes": get(PathCounter::FragmentationOverheadBytes),
        "ptb": get(PathCounter::Ptb),
        "ptb_mtu": get(PathCounter::PtbMtu),
        "oversized": mtu.map(|_| get(PathCounter::Oversized)),
        "largest_bytes": get(PathCounter::Largest),
    })
}
