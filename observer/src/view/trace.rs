//! Traced packets, one per line, as text or JSON (docs/trace-json.md).

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

/// Label of packets that are not fragmented.
const WHOLE: &str = "whole";

fn reasons(traced: &TracedPacket) -> String {
    traced.reasons().map(Why::label).collect::<Vec<_>>().join(",")
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

/// One packet as text.
#[must_use]
pub fn text(traced: &TracedPacket) -> String {
    let event = &traced.event;
    let clock = time_of_day(Duration::from_nanos(traced.time));
    let clock = clock.trim_end_matches('Z');
    let mut line = format!(
        "{clock}.{:03} {} {} {}",
        traced.time / 1_000_000 % 1_000,
        traced.device,
        event.direction().map_or("-", Direction::label),
        summary(traced),
    );
    if let Some(outer) = &traced.outer {
        let _ = write!(line, " | {}", ends(outer));
    }
    if let Some(inner) = &traced.inner {
        let _ = write!(line, " | inner {}", ends(inner));
    }
    line
}

/// The reasons and key figures of a packet: the middle of a text line, and the packet comment in capture files.
#[must_use]
pub fn summary(traced: &TracedPacket) -> String {
    let event = &traced.event;
    let mut line = format!("{} {} {}", reasons(traced), traced.layer(), event.class().label());
    let _ = write!(line, " {} B, MTU {}", event.largest, traced.mtu());
    if let Some(drop) = &traced.drop {
        let _ = write!(line, ", {}", drop.reason.as_deref().unwrap_or("no drop reason"));
        if let Some(function) = &drop.function {
            let _ = write!(line, " in {function}");
        }
    }
    if event.segments > 1 {
        let _ = write!(line, ", {} segments", event.segments);
    }
    if let Some(signal) = &traced.ptb {
        let _ = write!(line, ", next-hop MTU {}", signal.mtu);
        if let Some((source, destination, ..)) = &signal.quoted {
            let _ = write!(line, " for {source} > {destination}");
        }
    }
    if traced.malformed() != Malformed::None {
        let _ = write!(line, ", {}", traced.malformed().label());
    }
    if event.vni != 0 {
        let _ = write!(line, ", vni {}", event.vni);
    }
    if let Some(peer) = traced.peer {
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

/// One packet as a JSON object on one line.
#[must_use]
pub fn json(traced: &TracedPacket) -> String {
    let event = &traced.event;
    json!({
        "schema": SCHEMA,
        "time_ns": traced.time,
        "device": traced.device,
        "direction": event.direction().map(Direction::label),
        "reasons": traced.reasons().map(Why::label).collect::<Vec<_>>(),
        "layer": traced.layer(),
        "encapsulation": event.class().label(),
        "size": event.largest,
        "segments": event.segments,
        "mtu": traced.mtu(),
        "vni": (event.vni != 0).then_some(event.vni),
        "peer": traced.peer,
        "unknown_peer": event.unknown & 1 != 0,
        "unknown_vni": event.unknown & 2 != 0,
        "malformed": (traced.malformed() != Malformed::None).then(|| traced.malformed().label()),
        "drop": traced.drop.as_ref().map(|drop| json!({ "reason": drop.reason, "function": drop.function })),
        "outer": traced.outer.as_ref().map(header),
        "inner": traced.inner.as_ref().map(header),
        "ptb": traced.ptb.as_ref().map(|signal| json!({
            "mtu": signal.mtu,
            "quoted_source": signal.quoted.map(|q| q.0), "quoted_destination": signal.quoted.map(|q| q.1),
        })),
    })
    .to_string()
}
