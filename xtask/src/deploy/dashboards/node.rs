//! The dashboard of one node.

use serde_json::Value;

use super::{Kind, Panel, variable};

const AT: &str = r#"cluster=~"$cluster",node=~"$node""#;
/// Pod traffic between nodes.
const PODS: &str = r#"encapsulation!~"external|non_ip|malformed""#;

/// A counter's rate on the selected devices; `more` adds label matchers.
fn rate(name: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(",{more}") };
    format!(r#"rate({name}{{{AT},device=~"$device"{more}}}[$__rate_interval])"#)
}

fn underlay(name: &str) -> String {
    rate(name, r#"role="underlay""#)
}

fn panels() -> Vec<Panel> {
    [overview(), traffic(), paths(), sizes(), cost(), peers(), observer()].into_iter().flatten().collect()
}

fn overview() -> Vec<Panel> {
    let l3 = underlay("observer_l3_bytes_total");
    vec![
        Panel::row("Now"),
        Panel::new(
            Kind::Stat,
            "Mode",
            "none",
            "Encapsulation mode derived from the routes to other nodes' pod blocks, by address family.",
        )
        .query("{{family}}: {{mode}}", format!("observer_mode_info{{{AT}}} == 1")),
        Panel::new(
            Kind::Stat,
            "Overhead",
            "percentunit",
            "Overhead bytes as a share of L3 bytes on underlay devices.",
        )
        .query("share", format!("sum({}) / sum({l3})", underlay("observer_overhead_bytes_total"))),
        Panel::new(
            Kind::Stat,
            "Wire rate",
            "bps",
            "Link-layer bits per second on underlay devices, both directions.",
        )
        .query("wire", format!("8 * sum({})", underlay("observer_wire_bytes_total"))),
        Panel::new(
            Kind::Stat,
            "Lost hooks",
            "none",
            "Device directions that should be counted but have no program attached.",
        )
        .query("lost", format!("sum(1 - observer_hook_attached{{{AT}}})")),
        Panel::new(
            Kind::Stat,
            "Would drop",
            "pps",
            "Packets per second that are too large for a tunnel and may not be fragmented; they are lost.",
        )
        .query("packets", format!("sum({})", rate("observer_would_drop_packets_total", ""))),
        Panel::new(
            Kind::Stat,
            "PTB message rate",
            "cps",
            "PTB (packet too big) messages per second at the busiest device.",
        )
        .query("messages", format!("max(sum by (device) ({}))", rate("observer_ptb_messages_total", ""))),
    ]
}

fn traffic() -> Vec<Panel> {
    let by = "sum by (encapsulation)";
    let (l3, overhead) = (underlay("observer_l3_bytes_total"), underlay("observer_overhead_bytes_total"));
    vec![
        Panel::row("Traffic on underlay devices"),
        Panel::new(
            Kind::Stack,
            "Overhead share by encapsulation",
            "percentunit",
            "Overhead of each encapsulation as a share of all L3 bytes on underlay devices.",
        )
        .query(
            "{{encapsulation}}",
            format!("{by} ({overhead}) / ignoring (encapsulation) group_left () sum({l3})"),
        ),
        Panel::new(
            Kind::Lines,
            "Overhead inside each encapsulation",
            "percentunit",
            "Overhead bytes as a share of that encapsulation's L3 bytes; small packets have a larger share.",
        )
        .query("{{encapsulation}}", format!("{by} ({overhead}) / ({by} ({l3}) > 0)")),
        Panel::new(
            Kind::Stack,
            "Wire by encapsulation",
            "bps",
            "Link-layer bits per second on underlay devices.",
        )
        .query(
            "{{direction}} {{encapsulation}}",
            format!("8 * sum by (direction, encapsulation) ({})", underlay("observer_wire_bytes_total")),
        ),
        Panel::new(
            Kind::Lines,
            "Packets by encapsulation",
            "pps",
            "Packets per second on underlay devices, as on the wire: a super-packet counts as its segments.",
        )
        .query(
            "{{direction}} {{encapsulation}}",
            format!("sum by (direction, encapsulation) ({})", underlay("observer_packets_total")),
        ),
    ]
}

fn paths() -> Vec<Panel> {
    let by = "sum by (peer, scope, encapsulation, direction)";
    let of = |name: &str| format!("{by} ({})", rate(name, ""));
    let l3 = of("observer_path_l3_bytes_total");
    vec![
        Panel::row("Paths to other nodes"),
        Panel::new(
            Kind::Lines,
            "Paths with most bytes",
            "bps",
            "L3 bits per second of the ten largest paths; `other` is the sum of paths that are not exported individually.",
        )
        .query("{{direction}} {{peer}} {{encapsulation}}", format!("topk(10, 8 * {l3})")),
        Panel::new(Kind::Stack, "By scope", "bps", "L3 bits per second inside the subnet and across subnets.").query(
            "{{scope}} {{encapsulation}}",
            format!(
                "8 * sum by (scope, encapsulation) ({})",
                rate("observer_path_l3_bytes_total", "scope!=\"\"")
            ),
        ),
        Panel::new(Kind::Table, "Paths", "short", "Current rates of each path.")
            .column("L3", "bps", format!("8 * {l3}"))
            .column(
                "Overhead",
                "percentunit",
                format!("{} / ({l3} > 0)", of("observer_path_overhead_bytes_total")),
            )
            .column("Fragments", "pps", of("observer_path_fragments_total"))
            .column("Would drop", "pps", of("observer_path_would_drop_packets_total"))
            .column("PTB", "cps", of("observer_path_ptb_messages_total")),
    ]
}

fn sizes() -> Vec<Panel> {
    let sum = |name: &str, by: &str, more: &str| format!("sum by ({by}) ({})", rate(name, more));
    vec![
        Panel::row("Sizes, fragments and MTU"),
        Panel::new(
            Kind::Heatmap,
            "Packet sizes",
            "bytes",
            "L3 sizes of pod packets on the selected devices, in packets per second and size class.",
        )
        .query("{{le}}", sum("observer_packet_size_bytes_bucket", "le", PODS)),
        Panel::new(
            Kind::Lines,
            "Largest packet",
            "bytes",
            "Largest L3 packet since the exporter started, compared with each device's MTU.",
        )
        .query(
            "{{device}} {{direction}}",
            format!(
                r#"max by (device, direction) (observer_largest_packet_bytes{{{AT},device=~"$device"}})"#
            ),
        )
        .query(
            "MTU of {{device}}",
            format!(r#"max by (device) (observer_device_mtu_bytes{{{AT},device=~"$device"}})"#),
        ),
        Panel::new(
            Kind::Stack,
            "Fragments",
            "pps",
            "Fragments per second by layer and position, without atomic fragments.",
        )
        .query(
            "{{layer}} {{position}} {{encapsulation}}",
            format!(
                "{} or 0 * {}",
                sum("observer_fragments_total", "layer, position, encapsulation", r#"position!="atomic""#),
                sum("observer_packets_total", "encapsulation", PODS)
            ),
        ),
        Panel::new(
            Kind::Lines,
            "Fragmentation overhead",
            "Bps",
            "Bytes per second of headers that fragmentation repeats.",
        )
        .query(
            "{{device}} {{encapsulation}}",
            sum("observer_fragmentation_overhead_bytes_total", "device, encapsulation", ""),
        ),
        Panel::new(
            Kind::Lines,
            "Packets too large",
            "pps",
            "Packets per second above the device's MTU (oversized) or above what the tunnel can carry.",
        )
        .query("{{device}} oversized", sum("observer_oversized_packets_total", "device", ""))
        .query("{{device}} would fragment", sum("observer_would_fragment_packets_total", "device", ""))
        .query("{{device}} would drop", sum("observer_would_drop_packets_total", "device", "")),
        Panel::new(
            Kind::Lines,
            "PTB messages",
            "cps",
            "PTB (packet too big) messages per second, counted at each device that they cross.",
        )
        .query(
            "{{device}} {{direction}} {{family}}",
            sum("observer_ptb_messages_total", "device, direction, family", ""),
        ),
        Panel::new(
            Kind::Table,
            "MTUs",
            "bytes",
            "A tunnel's MTU should be the underlay's MTU minus the tunnel's overhead.",
        )
        .column("MTU", "bytes", format!("max by (device) (observer_device_mtu_bytes{{{AT}}})"))
        .column(
            "Tunnel overhead",
            "bytes",
            format!("max by (device) (observer_tunnel_overhead_bytes{{{AT}}})"),
        )
        .column(
            "Underlay MTU",
            "bytes",
            format!("max by (device) (observer_tunnel_underlay_mtu_bytes{{{AT}}})"),
        ),
    ]
}

/// A rate of series without a device.
fn node_rate(name: &str) -> String {
    format!("rate({name}{{{AT}}}[$__rate_interval])")
}

/// Only with data if the exporter runs with `--cost`.
fn cost() -> Vec<Panel> {
    let by = "sum by (device, direction)";
    let time = format!("{by} ({})", rate("observer_encap_cost_seconds_sum", ""));
    let measured = format!("({by} ({}) > 0)", rate("observer_encap_cost_measured_packets_total", ""));
    let packets = format!("{by} ({})", rate("observer_packets_total", r#"role="tunnel""#));
    let buckets = |of: &str| {
        format!(
            "histogram_quantile({of}, sum by (device, direction, le) ({}))",
            rate("observer_encap_cost_seconds_bucket", "")
        )
    };
    let in_software = |name: &str| {
        let sum = |filter: &str| format!("sum by (device) ({})", rate(name, filter));
        format!("{} / ({} > 0)", sum(r#"by="software""#), sum(""))
    };
    vec![
        Panel::row("Cost of encapsulation"),
        Panel::new(
            Kind::Lines,
            "Time per packet to encapsulate",
            "s",
            "Mean time per packet, where a super-packet counts as its segments: egress encapsulates, ingress decapsulates. Empty without --cost.",
        )
        .query("{{device}} {{direction}}", format!("{time} / {measured}")),
        Panel::new(
            Kind::Lines,
            "CPU for encapsulation",
            "percentunit",
            "Share of one CPU: mean time per packet times packets per second, and the CPU time of the measurement. Empty without --cost.",
        )
        .query("{{device}} {{direction}}", format!("{time} / {measured} * {packets}"))
        .query(
            "measuring {{device}} {{direction}}",
            format!("{by} ({})", rate("observer_encap_cost_measuring_seconds_total", "")),
        ),
        Panel::new(
            Kind::Lines,
            "Time per buffer",
            "s",
            "Median and 99th percentile of the time per socket buffer (a packet or super-packet), interpolated between powers of two. Empty without --cost.",
        )
        .query("p50 {{device}} {{direction}}", buckets("0.5"))
        .query("p99 {{device}} {{direction}}", buckets("0.99")),
        Panel::new(
            Kind::Lines,
            "Segmentation and checksums in software",
            "percentunit",
            "Share of the sampled super-packets that the kernel segments, and of the sampled single packets that it computes checksums for, because no device after the tunnel can. Empty without --cost.",
        )
        .query("segmentation {{device}}", in_software("observer_encap_cost_gso_buffers_total"))
        .query("checksum {{device}}", in_software("observer_encap_cost_checksums_total")),
        Panel::new(
            Kind::Stack,
            "Network softirqs",
            "percentunit",
            "Time in network softirqs as a share of each CPU, stacked. Empty without --cost.",
        )
        .query("CPU {{cpu}} {{vector}}", node_rate("observer_softirq_seconds_total")),
    ]
}

/// Only with data if the exporter runs with `--cost`.
fn peers() -> Vec<Panel> {
    let quantile = |of: &str, name: &str| {
        format!("histogram_quantile({of}, sum by (encapsulation, le) ({}))", node_rate(name))
    };
    let round_trip = |of: &str| quantile(of, "observer_tcp_round_trip_seconds_bucket");
    let at_hook = |of: &str| quantile(of, "observer_hook_rtt_seconds_bucket");
    let peer = |name: &str| format!("sum by (peer, encapsulation) ({})", node_rate(name));
    vec![
        Panel::new(
            Kind::Lines,
            "TCP round trips",
            "s",
            "Median and 99th percentile of the kernel's smoothed round-trip times, by encapsulation towards the peer. Empty without --cost.",
        )
        .query("p50 {{encapsulation}}", round_trip("0.5"))
        .query("p99 {{encapsulation}}", round_trip("0.99")),
        Panel::new(
            Kind::Lines,
            "Round trips at the hooks",
            "s",
            "Median and 99th percentile by TCP timestamps, including forwarded connections and the receivers' delayed acknowledgements, by encapsulation towards the peer. Empty without --cost-rtt-at-hooks.",
        )
        .query("p50 {{encapsulation}}", at_hook("0.5"))
        .query("p99 {{encapsulation}}", at_hook("0.99")),
        Panel::new(
            Kind::Lines,
            "TCP retransmissions",
            "cps",
            "Retransmitted TCP segments per second to the ten peers with most of them. Empty without --cost.",
        )
        .query(
            "{{peer}} {{encapsulation}}",
            format!("topk(10, {})", peer("observer_peer_tcp_retransmitted_segments_total")),
        ),
        Panel::new(
            Kind::Lines,
            "Packets dropped",
            "pps",
            "Packets to or from a peer that this node drops, by the kernel's reason: the ten highest rates. Empty without --cost.",
        )
        .query(
            "{{peer}} {{direction}} {{reason}}",
            format!(
                "topk(10, sum by (peer, direction, reason) ({}))",
                node_rate("observer_peer_dropped_packets_total")
            ),
        ),
        Panel::new(
            Kind::Table,
            "Peers by round trip",
            "short",
            "Current mean round-trip time and retransmission rate of each peer. Empty without --cost.",
        )
        .column(
            "Mean round trip",
            "s",
            format!(
                "{} / ({} > 0)",
                peer("observer_peer_tcp_round_trip_seconds_total"),
                peer("observer_peer_tcp_round_trips_total")
            ),
        )
        .column("Round-trip samples", "cps", peer("observer_peer_tcp_round_trips_total"))
        .column("Retransmissions", "cps", peer("observer_peer_tcp_retransmitted_segments_total")),
    ]
}

fn observer() -> Vec<Panel> {
    // process_… series are not specific to Observer, so select them by job.
    let series = |name: &str| format!(r#"{name}{{job="observer",{AT}}}"#);
    let rate = |name: &str| format!("rate({}[$__rate_interval])", series(name));
    let increase = |name: &str| format!("sum(increase({}[5m]))", series(name));
    vec![
        Panel::row("Cost and losses of Observer"),
        Panel::new(
            Kind::Lines,
            "CPU",
            "percentunit",
            "Share of one CPU: the exporter, and its BPF programs if the kernel's BPF statistics are enabled.",
        )
        .query("exporter", format!("sum({})", rate("process_cpu_seconds_total")))
        .query("{{program}}", format!("sum by (program) ({})", rate("observer_program_run_seconds_total"))),
        Panel::new(
            Kind::Lines,
            "Time per run of a program",
            "s",
            "Mean time per run of each BPF program, if the kernel's BPF statistics are enabled.",
        )
        .query(
            "{{program}}",
            format!(
                "sum by (program) ({}) / (sum by (program) ({}) > 0)",
                rate("observer_program_run_seconds_total"),
                rate("observer_program_runs_total")
            ),
        ),
        Panel::new(Kind::Lines, "Memory", "bytes", "Resident memory of the exporter, without BPF maps.")
            .query("exporter", format!("sum({})", series("process_resident_memory_bytes"))),
        Panel::new(Kind::Lines, "Scrape", "s", "Time that the exporter takes to answer a scrape.")
            .query("scrape", format!("max({})", series("observer_scrape_duration_seconds"))),
        Panel::new(Kind::Lines, "Tables", "percentunit", "Used share of each fixed-size table.").query(
            "{{table}}",
            format!(
                "max by (table) ({} / {})",
                series("observer_table_entries"),
                series("observer_table_capacity")
            ),
        ),
        Panel::new(
            Kind::Lines,
            "Losses",
            "short",
            "Packets that found no room in a table, lost hooks, and seconds without counting, in the last five minutes.",
        )
        .query("path table full", increase("observer_path_overflow_packets_total"))
        .query("unknown-peer table full", increase("observer_unknown_peer_overflow_packets_total"))
        .query("hooks lost", increase("observer_hook_losses_total"))
        .query("unwatched seconds", increase("observer_unwatched_seconds_total")),
        Panel::new(
            Kind::Lines,
            "Unknown peers and malformed packets",
            "pps",
            "Tunnel packets per second from or to addresses that are not peers, and packets per second that could not be parsed.",
        )
        .query(
            "unknown peers {{device}} {{direction}}",
            format!(
                "sum by (device, direction) ({})",
                rate("observer_unknown_peer_address_packets_total")
            ),
        )
        .query(
            "malformed {{reason}}",
            format!("sum by (reason) ({}) or vector(0)", rate("observer_malformed_packets_total")),
        )
        .wide(),
    ]
}

pub(super) fn dashboard() -> Value {
    let devices = format!("label_values(observer_device_mtu_bytes{{{AT}}}, device)");
    let variables = vec![
        variable("cluster", "label_values(observer_build_info, cluster)", true),
        variable("node", r#"label_values(observer_build_info{cluster=~"$cluster"}, node)"#, false),
        variable("device", &devices, true),
    ];
    super::dashboard("observer-node", "Observer / Node", variables, &panels())
}
