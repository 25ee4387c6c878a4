//! The JSON of `observer doctor`, documented in `docs/doctor-json.md`.

use serde_json::{Value, json};

use crate::advice::plan::Plan;
use crate::advice::{Diagnosis, Finding, ModeView, Observed, PeerView, Severity};
use crate::calico::Prefix;
use crate::model::{Mode, per_second};
use crate::view::cost;

/// The version of the schema, increased by every breaking change.
pub const SCHEMA: &str = "observer-doctor/2";

/// A diagnosis and an optional plan as a JSON value.
#[must_use]
pub fn diagnosis(diagnosis: &Diagnosis<'_>, of: Option<&Plan>) -> Value {
    let (view, facts) = (&diagnosis.view, diagnosis.view.facts);
    let count = |severity| diagnosis.findings.iter().filter(|f| f.severity == severity).count();
    json!({
        "schema": SCHEMA,
        "node": facts.name(),
        "clean": diagnosis.findings.is_empty(),
        "measured_seconds": facts.observed.as_ref().map(|report| report.interval.as_secs_f64()),
        "counts": {
            "error": count(Severity::Error),
            "warning": count(Severity::Warning),
            "notice": count(Severity::Notice),
        },
        "findings": diagnosis.findings.iter().map(finding).collect::<Vec<_>>(),
        "modes": view.modes.iter().map(mode).collect::<Vec<_>>(),
        "peers": view.peers.iter().map(peer).collect::<Vec<_>>(),
        "mtu": mtu(diagnosis),
        "plan": of.map(plan),
        "notes": facts.topology.notes.iter()
            .chain(facts.observed.iter().flat_map(|report| &report.notes)).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "id": finding.id,
        "severity": finding.severity.label(),
        "title": finding.title,
        "subjects": finding.subjects,
        "evidence": finding.evidence,
        "explanation": finding.explanation,
        "remedies": finding.remedies.iter()
            .map(|remedy| json!({ "what": remedy.what, "command": remedy.command })).collect::<Vec<_>>(),
        "documentation": finding.anchor(),
    })
}

const fn family(ipv6: bool) -> &'static str {
    if ipv6 { "ipv6" } else { "ipv4" }
}

fn mode(mode: &ModeView) -> Value {
    json!({
        "family": family(mode.ipv6),
        "routes": mode.routes.map(Mode::label),
        "observed": mode.observed.map(Mode::label),
        "declared": mode.declared.map(Mode::label),
        "evidence": mode.evidence,
    })
}

fn prefixes(list: &[Prefix]) -> Vec<String> {
    list.iter().map(|(address, len)| format!("{address}/{len}")).collect()
}

fn peer(peer: &PeerView) -> Value {
    let labels = |classes: &[observer_common::kind::Class]| -> Vec<&str> {
        classes.iter().map(|class| class.label()).collect()
    };
    let observed = |side: &Option<Observed>| {
        side.as_ref().map(|Observed(classes)| {
            classes
                .iter()
                .map(|(class, packets)| json!({ "encapsulation": class.label(), "packets": packets }))
                .collect::<Vec<_>>()
        })
    };
    json!({
        "address": peer.address.to_string(),
        "scope": peer.scope.label(),
        "blocks": prefixes(&peer.blocks),
        "routed": labels(&peer.routed),
        "declared": labels(&peer.declared),
        "egress": observed(&peer.egress),
        "ingress": observed(&peer.ingress),
    })
}

fn mtu(diagnosis: &Diagnosis<'_>) -> Value {
    let mtu = &diagnosis.view.mtu;
    let named = |list: &[(String, u32)]| {
        list.iter().map(|(name, mtu)| json!({ "device": name, "mtu": mtu })).collect::<Vec<_>>()
    };
    json!({
        "underlays": named(&mtu.underlays),
        "tunnels": mtu.tunnels.iter().map(|tunnel| json!({
            "device": tunnel.device,
            "encapsulation": tunnel.class.label(),
            "mtu": tunnel.mtu,
            "expected_mtu": tunnel.right(),
            "overhead_bytes": tunnel.overhead,
            "underlay": tunnel.underlay.as_ref().map(|(name, _)| name),
        })).collect::<Vec<_>>(),
        "pods": mtu.pods.iter().map(|pod| json!({
            "device": pod.device,
            "mtu": pod.mtu,
            "addresses": pod.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "pods_expected_mtu": mtu.right_room,
        "observed": mtu.seen.iter().map(|(name, seen)| json!({
            "device": name,
            "largest_bytes": (seen.largest != 0).then_some(seen.largest),
            "ptb_messages": seen.ptb,
        })).collect::<Vec<_>>(),
        "felix": {
            "pattern": mtu.pattern.0,
            "pattern_declared": mtu.pattern.1,
            "matching": mtu.matching.as_deref().map(named),
            "detected": mtu.detected(),
            "file": match mtu.file {
                crate::advice::FelixFile::Mtu(value) => Some(value),
                crate::advice::FelixFile::Absent => None,
            },
        },
    })
}

fn plan(plan: &Plan) -> Value {
    let interval = plan.traffic.as_ref().map(|traffic| traffic.interval).unwrap_or_default();
    let rate = |bytes: u64| per_second(bytes, interval).map(|rate| rate * 8.0);
    json!({
        "modes": plan.modes.iter().map(|(ipv6, now, then)| json!({
            "family": family(*ipv6), "now": now.map(Mode::label), "then": then.map(Mode::label),
        })).collect::<Vec<_>>(),
        "traffic": plan.traffic.as_ref().map(|traffic| {
            let ((l3_now, l3_then), (now, then)) = (traffic.l3_bytes(), traffic.overhead());
            json!({
                "interval_seconds": interval.as_secs_f64(),
                "l3_bytes": { "now": l3_now, "then": l3_then },
                "overhead_bytes": { "now": now, "then": then },
                "overhead_bits_per_second": { "now": rate(now), "then": rate(then) },
                "encapsulated_ratio": traffic.encapsulated().map(|(now, then)| json!({ "now": now, "then": then })),
                "no_longer_fragmented_packets": traffic.no_longer_fragmented(),
                "groups": traffic.groups.iter().map(|group| json!({
                    "family": family(group.ipv6),
                    "scope": group.scope.label(),
                    "now": group.now.label(),
                    "then": group.then.label(),
                    "packets": group.packets,
                    "l3_bytes": group.l3_bytes,
                    "overhead_bytes": { "now": group.overhead_now, "then": group.overhead_then },
                })).collect::<Vec<_>>(),
            })
        }),
        "fit": plan.fit.map(|fit| json!({
            "already_too_big_packets": fit.too_big_now,
            "newly_too_big_packets": { "min": fit.newly.least, "max": fit.newly.most, "total": fit.newly.packets },
        })),
        "cpu_saved_seconds_per_second": plan.cpu.as_ref().ok().map(|cpu| cpu.less),
        "cpu_margin_seconds_per_second": plan.cpu.as_ref().ok().map(|cpu| cpu.margin),
        "cpu_unknown": plan.cpu.as_ref().err(),
        "software_offload": plan.in_software.iter().map(|row| json!({
            "device": row.device, "encapsulation": row.class.label(), "offload": cost::offload(row.offload),
        })).collect::<Vec<_>>(),
        "tcp": plan.tcp.iter().map(|path| {
            let mut value = cost::tcp_row(&path.now);
            value["then"] = path.then.label().into();
            value
        }).collect::<Vec<_>>(),
        "mtus": plan.mtus.iter().map(|mtu| json!({
            "what": mtu.what, "now": mtu.now, "then": mtu.then, "why": mtu.why, "command": mtu.command,
        })).collect::<Vec<_>>(),
        "reachability": plan.reach,
        "placement": plan.placement.iter().map(|place| json!({
            "peer": place.peer.to_string(),
            "name": place.name,
            "blocks": prefixes(&place.blocks),
            "l3_bytes": place.l3_bytes,
            "overhead_bytes": place.overhead_bytes,
        })).collect::<Vec<_>>(),
        "steps": plan.steps.iter().map(|step| json!({
            "what": step.what, "commands": step.commands, "check": step.check,
        })).collect::<Vec<_>>(),
        "assumptions": plan.assumptions,
    })
}
