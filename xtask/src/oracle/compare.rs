//! Compares a frame as Observer counts it with the same frame as tshark dissects it.

use serde_json::Value;

use super::tshark::{Dissection, Layer};

/// A field that differs.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Its name.
    pub field: &'static str,
    /// Observer's.
    pub ours: String,
    /// tshark's.
    pub theirs: String,
}

/// The fields of a frame that differ.
pub fn frame(event: &Value, their: &Dissection) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |field, ours: String, theirs: String| {
        if ours != theirs {
            found.push(Difference { field, ours, theirs });
        }
    };
    compare("wire_bytes", event["wire_bytes"].to_string(), their.wire.to_string());
    if let Some(class) = their.class {
        compare("encapsulation", event["encapsulation"].as_str().unwrap_or("").to_owned(), class.to_owned());
    }
    let outer = layer(&event["outer"], their.outer.as_ref());
    let inner = layer(&event["inner"], their.inner.as_ref());
    for (name, (ours, theirs)) in [("outer", outer), ("inner", inner)] {
        compare(name, ours, theirs);
    }
    let number = |value: Option<u64>| value.map_or_else(|| "none".to_owned(), |number| number.to_string());
    // Observer takes a later fragment's VNI from the first fragment; tshark does not.
    if their.class.is_some() {
        compare("vni", number(event["vni"].as_u64()), number(their.vni));
    }
    let signal = &event["ptb"];
    let ours = signal["version"].as_u64().zip(signal["mtu"].as_u64());
    compare("ptb", format!("{ours:?}"), format!("{:?}", their.ptb));
    let l3 = event["l3_bytes"].as_u64().unwrap_or(0);
    if let Some(outer) = &their.outer
        && outer.length > 40
    {
        compare("l3_bytes", l3.to_string(), outer.length.to_string());
    }
    found
}

/// Version, length and fragmentation of a layer in both. A length of 0, which leaves it to the frame, is not compared.
fn layer(ours: &Value, theirs: Option<&Layer>) -> (String, String) {
    let there = theirs.map_or_else(
        || "none".to_owned(),
        |layer| text(layer.version, layer.length, layer.fragment.unwrap_or("whole"), layer.offset),
    );
    let Some(version) = ours["version"].as_u64() else { return ("none".to_owned(), there) };
    let given = theirs.is_none_or(|layer| layer.length > if layer.version == 6 { 40 } else { 0 });
    let length = if given { ours["length"].as_u64().unwrap_or(0) } else { theirs.map_or(0, |l| l.length) };
    let fragment = ours["fragment"].as_str().unwrap_or("whole");
    (text(version, length, fragment, ours["fragment_offset"].as_u64().unwrap_or(0)), there)
}

fn text(version: u64, length: u64, fragment: &str, offset: u64) -> String {
    format!("IPv{version} {length} B {fragment} at {offset}")
}
