//! Single frames of a capture, one line each.

use std::fmt::Write as _;

use observer_common::packet::Malformed;
use serde_json::json;

use crate::capture::Event;
use crate::header::Header;
use crate::view::csv::quoted;
use crate::view::units;

/// The schema of an event.
const SCHEMA: &str = "observer-pcap-event/2";

/// The header of [`csv`], with a newline.
#[must_use]
pub const fn csv_header() -> &'static str {
    "file,frame,device,direction,encapsulation,vni,wire_bytes,l3_bytes,inner_bytes,\
     source,destination,outer_fragment,outer_offset,inner_source,inner_destination,inner_fragment,inner_offset,\
     ptb,ptb_mtu,oversized,malformed\n"
}

fn malformed(reason: Malformed) -> Option<&'static str> {
    (reason != Malformed::None).then(|| reason.label())
}

/// An event as a line of JSON.
#[must_use]
pub fn json(event: &Event) -> String {
    let layer = |layer: &Option<Header>| {
        layer.as_ref().map(|layer| {
            json!({
                "version": layer.version,
                "length": layer.length,
                "protocol": layer.protocol,
                "source": layer.source.map(|address| address.to_string()),
                "destination": layer.destination.map(|address| address.to_string()),
                "fragment": layer.position.label(),
                "fragment_offset": layer.fragment_offset,
            })
        })
    };
    let object = json!({
        "schema": SCHEMA,
        "file": event.file,
        "frame": event.frame,
        "device": event.device,
        "direction": event.direction.map(|direction| direction.label()),
        "encapsulation": event.class.label(),
        "vni": event.vni,
        "wire_bytes": event.wire_bytes,
        "l3_bytes": event.l3_bytes,
        "inner_bytes": event.inner_bytes,
        "outer": layer(&event.outer),
        "inner": layer(&event.inner),
        "nested": event.nested,
        "oversized": event.oversized,
        "malformed": malformed(event.malformed),
        "ptb": event.ptb.as_ref().map(|signal| json!({
            "version": signal.version,
            "mtu": signal.mtu,
            "quoted": signal.quoted.map(|(source, destination, class, vni)| json!({
                "source": source.to_string(),
                "destination": destination.to_string(),
                "encapsulation": class.label(),
                "vni": vni,
            })),
        })),
    });
    object.to_string() + "\n"
}

/// An event as a line of CSV.
#[must_use]
pub fn csv(event: &Event) -> String {
    let number = |value: Option<u32>| value.map_or_else(String::new, |value| value.to_string());
    let ends = |layer: &Option<Header>| {
        let address = |address: Option<std::net::IpAddr>| address.map_or_else(String::new, |a| a.to_string());
        let layer = layer.as_ref();
        let fragment = layer.and_then(|layer| layer.position.label());
        [
            layer.map_or_else(String::new, |layer| address(layer.source)),
            layer.map_or_else(String::new, |layer| address(layer.destination)),
            fragment.unwrap_or_default().to_owned(),
            fragment.and(layer).map_or_else(String::new, |layer| layer.fragment_offset.to_string()),
        ]
    };
    let signal = event.ptb.as_ref();
    let mut fields = vec![
        quoted(&event.file),
        event.frame.to_string(),
        quoted(&event.device),
        event.direction.map_or("", |direction| direction.label()).to_owned(),
        event.class.label().to_owned(),
        number(event.vni),
        event.wire_bytes.to_string(),
        event.l3_bytes.to_string(),
        event.inner_bytes.to_string(),
    ];
    fields.extend(ends(&event.outer));
    fields.extend(ends(&event.inner));
    fields.extend([
        signal.map_or_else(String::new, |signal| format!("icmpv{}", signal.version)),
        signal.map_or_else(String::new, |signal| signal.mtu.to_string()),
        event.oversized.to_string(),
        malformed(event.malformed).unwrap_or_default().to_owned(),
    ]);
    fields.join(",") + "\n"
}

/// An event as a line of text.
#[must_use]
pub fn text(event: &Event) -> String {
    let mut line = format!("{} frame {}", units::printable(&event.device), event.frame);
    if let Some(direction) = event.direction {
        let _ = write!(line, " {}", direction.label());
    }
    let _ = write!(line, ": {}", event.class.label());
    if let Some(vni) = event.vni {
        let _ = write!(line, " VNI {vni}");
    }
    if let Some(outer) = &event.outer {
        let _ = write!(line, " {}", ends(outer));
    }
    let _ = write!(line, ", {} B", event.l3_bytes);
    for (name, layer) in [("outer", &event.outer), ("inner", &event.inner)] {
        let Some(layer) = layer else { continue };
        if let Some(position) = layer.position.label() {
            let _ = write!(line, ", {name} IPv{} {position} fragment", layer.version);
            let _ = write!(line, " at {}", layer.fragment_offset);
            if name == "inner" {
                let _ = write!(line, " of {}", ends(layer));
            }
        }
    }
    if let Some(signal) = &event.ptb {
        let _ = write!(line, ", PTB (ICMPv{}), MTU {}", signal.version, signal.mtu);
        if let Some((source, destination, class, _)) = signal.quoted {
            let _ = write!(line, ", quotes {} {source} → {destination}", class.label());
        }
    }
    if event.oversized {
        line += ", oversized";
    }
    if let Some(reason) = malformed(event.malformed) {
        let _ = write!(line, ", malformed: {reason}");
    }
    line + "\n"
}

fn ends(layer: &Header) -> String {
    let name = |address: Option<std::net::IpAddr>| {
        address.map_or_else(|| units::UNKNOWN.to_owned(), |address| address.to_string())
    };
    format!("{} → {}", name(layer.source), name(layer.destination))
}
