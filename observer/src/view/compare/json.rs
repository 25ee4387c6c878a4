//! The JSON of `observer compare`, documented in `docs/compare-json.md`.

use serde_json::{Value, json};

use crate::model::compare::{
    Better, CONFIDENCE, Change, Compared, Comparison, Decomposition, Estimate, Recorded, Side,
};

/// The version of the schema, increased by every breaking change.
pub const SCHEMA: &str = "observer-compare/2";

/// A comparison as a JSON value.
#[must_use]
pub fn comparison(of: &Comparison) -> Value {
    json!({
        "schema": SCHEMA,
        "confidence": CONFIDENCE,
        "before": side(&of.before),
        "after": side(&of.after),
        "verdicts": of.verdicts.iter().map(|verdict| json!({
            "aim": verdict.aim.label(),
            "outcome": verdict.outcome.label(),
            "reason": verdict.reason,
            "metric": verdict.metric,
        })).collect::<Vec<_>>(),
        "metrics": of.rows.iter().map(metric).collect::<Vec<_>>(),
        "decomposition": of.decomposition.as_ref().map(decomposition),
        "encapsulations": of.mix.iter().map(|(class, shares)| json!({
            "encapsulation": class.label(),
            "before_ratio": shares[0],
            "after_ratio": shares[1],
        })).collect::<Vec<_>>(),
        "sizes": of.sizes.iter().map(|class| json!({
            "up_to": class.up_to,
            "before_ratio": class.shares[0],
            "after_ratio": class.shares[1],
        })).collect::<Vec<_>>(),
        "remarks": of.remarks.iter().map(|remark| json!({
            "id": remark.id,
            "weight": remark.weight.label(),
            "text": remark.text,
        })).collect::<Vec<_>>(),
    })
}

fn side(side: &Side) -> Value {
    let (skipped, intervals) = side.skipped();
    json!({
        "recordings": side.recordings.iter().map(recorded).collect::<Vec<_>>(),
        "length_seconds": side.length().as_secs_f64(),
        "intervals": intervals,
        "intervals_skipped": skipped,
    })
}

fn recorded(recorded: &Recorded) -> Value {
    let devices = |devices: &[(String, u32)]| -> Vec<Value> {
        devices.iter().map(|(name, mtu)| json!({"name": name, "mtu": (*mtu != 0).then_some(mtu)})).collect()
    };
    json!({
        "file": recorded.file,
        "node": recorded.node,
        "origin": recorded.origin,
        "observer": recorded.observer,
        "begin_seconds": recorded.begin.as_secs_f64(),
        "end_seconds": recorded.end.as_secs_f64(),
        "intervals": recorded.intervals,
        "intervals_skipped": recorded.skipped,
        "lost_hooks": recorded.lost,
        "modes": { "ipv4": recorded.modes[0], "ipv6": recorded.modes[1] },
        "underlays": devices(&recorded.underlays),
        "tunnels": devices(&recorded.tunnels),
        "file_error": recorded.file_error,
    })
}

fn metric(row: &Compared) -> Value {
    json!({
        "id": row.metric.id,
        "group": row.metric.group.label(),
        "unit": row.metric.unit.label(),
        "better": match row.metric.better {
            Better::Lower => Some("lower"),
            Better::Neither => None,
        },
        "before": row.before.map(estimate),
        "after": row.after.map(estimate),
        "change": row.change.map(change),
    })
}

fn estimate(figure: Estimate) -> Value {
    json!({ "value": figure.value, "margin": figure.margin })
}

fn change(figure: Change) -> Value {
    json!({ "value": figure.value, "margin": figure.margin, "clear": figure.is_clear() })
}

fn decomposition(parts: &Decomposition) -> Value {
    json!({
        "before_ratio": parts.ratios[0],
        "after_ratio": parts.ratios[1],
        "effects": parts.effects.iter().map(|(effect, part)| json!({
            "effect": effect.label(),
            "decided_by": if effect.is_mode() { "mode" } else { "traffic" },
            "change": change(*part),
        })).collect::<Vec<_>>(),
        "mode": change(parts.mode),
        "traffic": change(parts.traffic),
        "expected": estimate(Estimate { value: parts.expected.value, margin: parts.expected.margin }),
    })
}
