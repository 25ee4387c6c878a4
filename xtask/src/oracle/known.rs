//! Explained disagreements with tshark, and which side is right. docs/oracle.md has the table.

use serde_json::Value;

use super::compare::Difference;
use super::tshark::Dissection;

/// One entry.
pub struct Known {
    /// A short name.
    pub id: &'static str,
    /// Which side is right.
    pub right: &'static str,
    /// Whether it explains a difference.
    applies: fn(&Value, &Dissection, &Difference) -> bool,
}

/// Reasons for which the parser stops inside a tunnel. Those about fragments do not stop it.
const STOPS_INSIDE: [&str; 8] = [
    "extension_chain",
    "too_many_vlans",
    "truncated_tunnel",
    "tunnel_header",
    "inner_truncated",
    "inner_version",
    "inner_header_length",
    "inner_length",
];
const VXLAN: u64 = 4789;
const GENEVE: u64 = 6081;
const WIREGUARD: [u64; 2] = [51820, 51821];
/// Headers between Ethertype and IP that tshark parses.
const BETWEEN: [&str; 7] = ["mpls", "pppoes", "macsec", "nsh", "vntag", "avsp", "cfp"];
const IPV6_HEADER: u64 = 40;
/// Maximum of a 16-bit length field.
const LONGEST: u64 = 65_535;
/// The length that tshark shows for longer frames.
const TSHARK_MOST: u64 = (1 << 31) - 1;
/// WCCP redirection: an additional header precedes the packet.
const GRE_WCCP: u64 = 0x883e;
/// The P flag of VXLAN-GPE.
const GPE: u64 = 0x0400;

/// All entries; the first match counts.
pub const TABLE: &[Known] = &[
    Known {
        id: "not-captured",
        right: "both",
        applies: |event, _, difference| {
            event["malformed"] == "not_captured" && difference.field != "wire_bytes"
        },
    },
    Known {
        id: "outer-malformed",
        right: "observer",
        applies: |event, _, difference| {
            event["encapsulation"] == "malformed" && difference.field != "wire_bytes"
        },
    },
    Known {
        id: "inner-malformed",
        right: "both",
        applies: |event, their, difference| {
            let reason = event["malformed"].as_str().unwrap_or_default();
            STOPS_INSIDE.contains(&reason)
                && match difference.field {
                    // Only tshark continues, or it reports no tunnel.
                    "inner" | "vni" => event[difference.field].is_null() || their.class == Some("none"),
                    "encapsulation" => their.class == Some("none"),
                    "ptb" => event["ptb"].is_null(),
                    _ => false,
                }
        },
    },
    Known {
        id: "other-port",
        right: "both",
        applies: |event, their, difference| {
            let ours = |(source, destination): (u64, u64)| {
                [VXLAN, GENEVE].contains(&destination)
                    || WIREGUARD.contains(&destination)
                    || WIREGUARD.contains(&source)
            };
            event["encapsulation"] == "none"
                && matches!(their.class, Some("vxlan" | "geneve" | "wireguard"))
                && matches!(difference.field, "encapsulation" | "inner" | "vni")
                && their.ports.is_some_and(|ports| !ours(ports))
        },
    },
    Known {
        id: "wireguard-reserved",
        right: "observer",
        applies: |event, their, difference| {
            event["encapsulation"] == "none"
                && their.class == Some("wireguard")
                && difference.field == "encapsulation"
                && their
                    .wireguard_reserved
                    .as_deref()
                    .is_some_and(|bytes| bytes.contains(|c: char| c != '0' && c != ':'))
        },
    },
    Known {
        id: "vxlan-gpe",
        right: "observer",
        applies: |event, their, difference| {
            event["encapsulation"] == "vxlan"
                && their.vxlan_flags & GPE != 0
                && matches!(difference.field, "inner" | "vni")
        },
    },
    Known {
        id: "udp-length",
        right: "both",
        applies: |event, their, difference| {
            their.class == Some("none")
                && their.protocols.ends_with(":udp")
                && matches!(event["encapsulation"].as_str(), Some("vxlan" | "geneve" | "wireguard"))
                && matches!(difference.field, "encapsulation" | "inner" | "vni")
        },
    },
    Known {
        id: "behind-other-header",
        right: "both",
        applies: |event, their, difference| {
            event["encapsulation"] == "non_ip"
                && matches!(difference.field, "encapsulation" | "outer" | "inner" | "l3_bytes" | "ptb")
                && their.protocols.split(':').any(|protocol| BETWEEN.contains(&protocol))
        },
    },
    Known {
        id: "link-version",
        right: "both",
        applies: |event, their, difference| {
            let claimed = |version| their.outer.as_ref().is_none_or(|outer| outer.version != version);
            !their.protocols.starts_with("eth")
                && event["outer"]["version"].as_u64().is_some_and(claimed)
                && matches!(difference.field, "encapsulation" | "outer" | "inner" | "l3_bytes")
        },
    },
    Known {
        id: "jumbo-length",
        right: "both",
        applies: |event, their, difference| {
            event["outer"]["version"] == 6
                && their.protocols.contains("ipv6.hopopts")
                && matches!(difference.field, "outer" | "l3_bytes")
                && their.outer.as_ref().is_some_and(|outer| Some(outer.length) > event["l3_bytes"].as_u64())
        },
    },
    Known {
        id: "no-payload-length",
        right: "observer",
        applies: |event, their, difference| {
            event["outer"]["version"] == 6
                && difference.field == "outer"
                && their.outer.as_ref().is_some_and(|outer| outer.length == IPV6_HEADER)
        },
    },
    Known {
        id: "capture-length",
        right: "both",
        applies: |event, their, difference| {
            difference.field == "wire_bytes"
                && (event["wire_bytes"].as_u64() == their.captured.filter(|captured| *captured > their.wire)
                    || their.wire == TSHARK_MOST)
        },
    },
    Known {
        id: "big-tcp-udp-length",
        right: "observer",
        applies: |event, their, difference| {
            matches!(event["encapsulation"].as_str(), Some("vxlan" | "geneve"))
                && difference.field == "inner"
                && their.wire > LONGEST
        },
    },
    Known {
        id: "gre-wccp",
        right: "both",
        applies: |event, their, difference| {
            event["encapsulation"] == "gre"
                && difference.field == "inner"
                && event["inner"].is_null()
                && their.gre_protocol == Some(GRE_WCCP)
        },
    },
];

/// The entry that explains a difference.
pub fn explain(event: &Value, their: &Dissection, difference: &Difference) -> Option<&'static str> {
    TABLE.iter().find(|entry| (entry.applies)(event, their, difference)).map(|entry| entry.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_documented() {
        let path = crate::shell::root().join("docs/oracle.md");
        let text = std::fs::read_to_string(path).expect("docs/oracle.md");
        for entry in TABLE {
            let line = format!("| `{}` | {} |", entry.id, entry.right);
            assert!(text.contains(&line), "docs/oracle.md has no line `{line}`");
        }
    }
}
