//! Single packets: a line each, as text or as JSON (docs/trace-json.md).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use observer_common::event::Why;
use observer_common::kind::Direction;
use observer_common::packet::{Malformed, Position};
use serde_json::{Value, json};

use super::units::{UNKNOWN, time_of_day};
use crate::header::Header;
use crate::trace::TracedPacket;

/// Version of the JSON lines.
pub const SCHEMA: &str = "observer-trace/2";

/// What is no fragment.
const WHOLE: &str = "whole";

fn reasons(told: &TracedPacket) -> String {
    told.reasons().map(Why::label).collect::<Vec<_>>().join(",")
}

fn ends(header: &Header) -> String {
    let name = |address: Option<IpAddr>| address.map_or_else(|| UNKNOWN.to_owned(), |a| a.to_string());
    let (source, destination) = (name(header.source), name(header.destination));
    let mut text = match header.ports {
        Some((from, to)) => format!("{source}:{from} > {destination}:{to}"),
        None => format!("{source} > {destination}"),
    };
    if header.position != Position::Whole {
        let _ = write!(text, " {}", header.position.label().unwrap_or(WHOLE));
    }
    if let Some(id) = header.id.filter(|id| *id != 0 || header.position != Position::Whole) {
        let _ = write!(text, " id {id}");
    }
    if header.dont_fragment {
        text += " DF";
    }
    text
}

/// One packet for people.
#[must_use]
pub fn text(told: &TracedPacket) -> String {
    let event = &told.event;
    let clock = time_of_day(Duration::from_nanos(told.time));
    let clock = clock.trim_end_matches('Z');
    let mut line = format!(
        "{clock}.{:03} {} {} {}",
        told.time / 1_000_000 % 1_000,
        told.device,
        event.direction().map_or("-", Direction::label),
        summary(told),
    );
    if let Some(outer) = &told.outer {
        let _ = write!(line, " | {}", ends(outer));
    }
    if let Some(inner) = &told.inner {
        let _ = write!(line, " | inner {}", ends(inner));
    }
    line
}

/// Why a packet is told of, and the numbers that matter: what a line says between the place and the
/// headers, and the comment that a capture file has.
#[must_use]
pub fn summary(told: &TracedPacket) -> String {
    let event = &told.event;
    let mut line = format!("{} {} {}", reasons(told), told.layer(), event.class().label());
    let _ = write!(line, " {} B, MTU {}", event.largest, told.mtu());
    if let Some(drop) = &told.drop {
        let _ = write!(line, ", {}", drop.reason.as_deref().unwrap_or("no reason given"));
        if let Some(function) = &drop.function {
            let _ = write!(line, " in {function}");
        }
    }
    if event.segments > 1 {
        let _ = write!(line, ", {} segments", event.segments);
    }
    if let Some(signal) = &told.ptb {
        let _ = write!(line, ", says MTU {}", signal.mtu);
        if let Some((source, destination, ..)) = &signal.quoted {
            let _ = write!(line, " for {source} > {destination}");
        }
    }
    if told.malformed() != Malformed::None {
        let _ = write!(line, ", {}", told.malformed().label());
    }
    if event.vni != 0 {
        let _ = write!(line, ", vni {}", event.vni);
    }
    if let Some(peer) = told.peer {
        let _ = write!(line, ", peer {peer}");
    }
    line
}

fn header(header: &Header) -> Value {
    json!({
        "source": header.source, "destination": header.destination,
        "source_port": header.ports.map(|ports| ports.0), "destination_port": header.ports.map(|ports| ports.1),
        "protocol": header.protocol, "id": header.id, "fragment": header.position.label().unwrap_or(WHOLE),
        "dont_fragment": header.dont_fragment, "length": header.length,
    })
}

/// One packet for programs: an object on one line.
#[must_use]
pub fn json(told: &TracedPacket) -> String {
    let event = &told.event;
    json!({
        "schema": SCHEMA,
        "time_ns": told.time,
        "device": told.device,
        "direction": event.direction().map(Direction::label),
        "reasons": told.reasons().map(Why::label).collect::<Vec<_>>(),
        "layer": told.layer(),
        "encapsulation": event.class().label(),
        "size": event.largest,
        "segments": event.segments,
        "mtu": told.mtu(),
        "vni": (event.vni != 0).then_some(event.vni),
        "peer": told.peer,
        "unknown_peer": event.unknown & 1 != 0,
        "unknown_vni": event.unknown & 2 != 0,
        "malformed": (told.malformed() != Malformed::None).then(|| told.malformed().label()),
        "drop": told.drop.as_ref().map(|drop| json!({ "reason": drop.reason, "function": drop.function })),
        "outer": told.outer.as_ref().map(header),
        "inner": told.inner.as_ref().map(header),
        "ptb": told.ptb.as_ref().map(|signal| json!({
            "mtu": signal.mtu,
            "quoted_source": signal.quoted.map(|q| q.0), "quoted_destination": signal.quoted.map(|q| q.1),
        })),
    })
    .to_string()
}
