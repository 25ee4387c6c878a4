//! The cost of encapsulation: columns and notes of tables, and the `cost` object of the JSON (docs/cost.md).

use observer_common::cost::lower_bound;
use observer_common::kind::Direction;
use serde_json::{Value, json};

use super::grid::{Cell, Column};
use super::text::{number, plain};
use super::units;
use crate::cost::Offload;
use crate::model::{CostReport, RoundTrips, SoftirqRow, SpanRow, TcpRow};

/// Columns of encapsulation and decapsulation.
pub(super) fn spans<'a>() -> Vec<Column<&'a SpanRow>> {
    vec![
        plain("DEVICE", |row, _| Cell::text(&row.device)),
        plain("WORK", |row, _| Cell::text(work(row.direction))),
        Column { rank: 1, ..plain("ENCAP", |row, _| Cell::text(row.class.label())) },
        Column { unit: |_| "ns/packet", ..number("COST", |row, _| tenth(row.packet)) },
        Column { unit: |_| "ns/skb", rank: 2, ..number("MEAN", |row, _| whole(row.skb)) },
        Column { unit: |_| "ns/skb", rank: 4, ..number("P50", |row, _| percentile(row.percentiles, 0)) },
        Column { unit: |_| "ns/skb", rank: 5, ..number("P90", |row, _| percentile(row.percentiles, 1)) },
        Column { unit: |_| "ns/skb", rank: 3, ..number("P99", |row, _| percentile(row.percentiles, 2)) },
        Column { unit: |_| "% of one", ..number("CPU", |row, _| share(row.cpu)) },
        Column {
            unit: |_| "% of skbs",
            rank: 5,
            ..number("SW GSO", |row, _| software_share(row, Offload::cut_ratio))
        },
        Column {
            unit: |_| "% of skbs",
            rank: 6,
            ..number("SW CSUM", |row, _| software_share(row, Offload::summed_ratio))
        },
        Column { unit: |_| "skbs", rank: 7, ..number("MEASURED", |row, _| count(row.measured.0)) },
        Column { unit: |_| "% removed", rank: 8, ..number("PROBE", |row, _| share(row.own)) },
    ]
}

/// Columns of CPUs.
pub(super) fn softirqs<'a>() -> Vec<Column<&'a SoftirqRow>> {
    vec![
        number("CPU", |row, _| Cell::number(f64::from(row.cpu), row.cpu.to_string())),
        Column { unit: |_| "%", ..number("NET_RX", |row, _| share(row.receive)) },
        Column { unit: |_| "%", ..number("NET_TX", |row, _| share(row.transmit)) },
    ]
}

/// Columns of latency and loss by path.
pub(super) fn tcp<'a>() -> Vec<Column<&'a TcpRow>> {
    vec![
        plain("PEER", |row, _| Cell::address(row.peer)),
        plain("ENCAP", |row, _| Cell::text(row.class.label())),
        Column { unit: |_| "ms", ..number("RTT", |row, _| milliseconds(row.mean)) },
        Column { unit: |_| "ms", rank: 1, ..number("P50", |row, _| rtt_percentile(row.percentiles, 0)) },
        Column { unit: |_| "ms", rank: 3, ..number("P90", |row, _| rtt_percentile(row.percentiles, 1)) },
        Column { unit: |_| "ms", rank: 1, ..number("P99", |row, _| rtt_percentile(row.percentiles, 2)) },
        Column { rank: 4, ..number("SAMPLES", |row, _| count(row.samples)) },
        Column { unit: |_| "ms", rank: 2, ..number("HOOK P50", |row, _| rtt_percentile(row.at_hook, 0)) },
        Column { unit: |_| "ms", rank: 2, ..number("HOOK P99", |row, _| rtt_percentile(row.at_hook, 2)) },
        Column { unit: |_| "segments", ..number("RETRANS", |row, _| retransmitted(row)) },
        Column { unit: |_| "packets", rank: 1, ..number("DROPPED", |row, _| dropped(row)) },
        Column {
            rank: 5,
            ..plain("TOP REASON", |row, _| row.reason.as_deref().map_or_else(|| Cell::text(""), Cell::text))
        },
    ]
}

/// Text of a row that filters match.
pub(super) fn span_labels(row: &&SpanRow) -> String {
    format!("{} {} {} {}", row.device, row.direction.label(), work(row.direction), row.class.label())
}

/// Text of a CPU that filters match.
pub(super) fn softirq_labels(row: &&SoftirqRow) -> String {
    format!("cpu {}", row.cpu)
}

/// Text of a peer that filters match.
pub(super) fn tcp_labels(row: &&TcpRow) -> String {
    format!("{} {}", row.peer, row.class.label())
}

#[expect(clippy::cast_precision_loss, reason = "for sorting only")]
fn count(count: u64) -> Cell {
    Cell::number(count as f64, count.to_string())
}

/// Retransmitted segments.
pub(super) fn retransmitted(row: &TcpRow) -> Cell {
    count(row.retransmits).notice_if_any()
}

/// Packets that this node dropped.
pub(super) fn dropped(row: &TcpRow) -> Cell {
    row.dropped.map_or_else(Cell::unknown, count).notice_if_any()
}

/// What a tunnel device does in a direction.
const fn work(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "decapsulate",
        Direction::Egress => "encapsulate",
    }
}

fn cell(value: Option<f64>, text: impl Fn(f64) -> String) -> Cell {
    value.map_or_else(Cell::unknown, |value| Cell::number(value, text(value)))
}

fn whole(value: Option<f64>) -> Cell {
    cell(value, |value| format!("{value:.0}"))
}

fn tenth(value: Option<f64>) -> Cell {
    cell(value, |value| if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") })
}

fn milliseconds(value: Option<f64>) -> Cell {
    cell(value, |value| format!("{value:.3}"))
}

fn share(value: Option<f64>) -> Cell {
    cell(value, |value| units::percent(Some(value)))
}

/// Share of offloadable work that the kernel did in software; unknown if there was no such work, and for ingress.
fn software_share(row: &SpanRow, of: fn(Offload) -> Option<f64>) -> Cell {
    share(of(row.offload)).notice_if_any()
}

fn percentile(values: Option<[f64; 3]>, index: usize) -> Cell {
    whole(values.map(|values| values[index]))
}

/// A percentile of round-trip times, in ms.
pub(super) fn rtt_percentile(values: Option<[f64; 3]>, index: usize) -> Cell {
    milliseconds(values.map(|values| values[index]))
}

/// Notes below the tables.
pub(super) fn remarks(report: &CostReport) -> Vec<String> {
    let mut remarks = vec![format!(
        "measured 1/{} of the time; {} ns probe overhead subtracted per measurement",
        report.sample,
        report.probe.as_nanos()
    )];
    remarks.extend(report.spans.iter().flat_map(software_offload_notes));
    let lost = [
        (report.discarded.unsent, "skbs entered a tunnel device and were not seen leaving it"),
        (report.discarded.undelivered, "tunnel packets were not seen arriving at their tunnel device"),
        (report.discarded.interrupted, "measurements were interrupted"),
        (report.discarded.unreadable, "kernel fields could not be read"),
        (report.discarded.uncounted, "dropped packets did not fit into the table of drop reasons"),
    ];
    for (count, what) in lost.iter().filter(|(count, _)| *count != 0) {
        remarks.push(format!("not measured: {count} {what}"));
    }
    remarks.extend(report.missing.iter().map(|missing| format!("not measured: {missing}")));
    remarks
}

/// Work that the kernel did in software instead of a NIC, as sentences.
pub(super) fn software_offload_notes(row: &SpanRow) -> impl Iterator<Item = String> {
    let software = [
        (row.offload.cut_ratio(), "GSO packets were segmented"),
        (row.offload.summed_ratio(), "packets had their checksum computed"),
    ];
    software.into_iter().filter_map(|(ratio, what)| {
        let ratio = ratio.filter(|ratio| *ratio > 0.0)?;
        let percent = units::percent(Some(ratio));
        Some(format!("{}: {percent} % of {what} in software, not by a NIC", row.device))
    })
}

/// The `cost` object.
#[must_use]
pub fn json(report: &CostReport) -> Value {
    json!({
        "sample": report.sample,
        "probe_nanoseconds": report.probe.as_nanos() as u64,
        "encapsulation": report.spans.iter().map(span).collect::<Vec<_>>(),
        "softirqs": report.softirqs.iter().map(|row| json!({
            "cpu": row.cpu,
            "net_rx_ratio": row.receive,
            "net_tx_ratio": row.transmit,
        })).collect::<Vec<_>>(),
        "tcp": report.tcp.iter().map(tcp_row).collect::<Vec<_>>(),
        "drops": report.drops.iter().map(|row| json!({
            "peer": row.peer.to_string(),
            "encapsulation": row.class.label(),
            "direction": row.direction.label(),
            "reason": row.reason,
            "packets": row.packets,
        })).collect::<Vec<_>>(),
        "discarded": serde_json::Map::from_iter(
            report.discarded.named().map(|(reason, count)| (reason.to_owned(), count.into())),
        ),
        "missing": report.missing,
        "hook_rtt": report.hook_rtt.iter().map(times).collect::<Vec<_>>(),
    })
}

fn span(row: &SpanRow) -> Value {
    json!({
        "device": row.device,
        "direction": row.direction.label(),
        "encapsulation": row.class.label(),
        "measured_skbs": row.measured.0,
        "measured_packets": row.measured.1,
        "nanoseconds_per_packet": row.packet,
        "nanoseconds_per_skb": percentiles(row.skb, row.percentiles),
        "cpu_ratio": row.cpu,
        "probe_ratio": row.own,
        "offload": (row.direction == Direction::Egress).then(|| offload(row.offload)),
        "histogram": histogram(&row.buckets),
    })
}

pub(super) fn offload(offload: Offload) -> Value {
    json!({
        "gso_skbs_offloaded": offload.whole,
        "gso_skbs_segmented": offload.cut,
        "gso_segments": offload.segments,
        "checksums_offloaded": offload.left,
        "checksums_computed": offload.summed,
    })
}

pub(super) fn tcp_row(row: &TcpRow) -> Value {
    let mut value = times(row);
    value["retransmitted_segments"] = row.retransmits.into();
    value["dropped_packets"] = row.dropped.into();
    value
}

fn times(row: &impl RoundTrips) -> Value {
    let (peer, class) = row.path();
    json!({
        "peer": peer.to_string(),
        "encapsulation": class.label(),
        "samples": row.samples(),
        "round_trip_milliseconds": percentiles(row.mean(), row.percentiles()),
        "histogram": histogram(row.buckets()),
    })
}

/// `null` if nothing was measured.
fn percentiles(mean: Option<f64>, values: Option<[f64; 3]>) -> Value {
    match (mean, values) {
        (Some(mean), Some([p50, p90, p99])) => json!({"mean": mean, "p50": p50, "p90": p90, "p99": p99}),
        _ => Value::Null,
    }
}

/// Non-empty buckets: `[from, to, count]`.
fn histogram(buckets: &[u64]) -> Value {
    let filled = (0_u32..).zip(buckets).filter(|(_, count)| **count != 0);
    let bucket = |(index, count): (u32, &u64)| json!([lower_bound(index), lower_bound(index + 1), count]);
    Value::Array(filled.map(bucket).collect())
}
