//! One node.

use serde_json::Value;

use super::{Kind, Panel, variable};

const AT: &str = r#"cluster=~"$cluster",node=~"$node""#;
/// Traffic of pods, between nodes.
const PODS: &str = r#"encapsulation!~"external|non_ip|malformed""#;

/// A counter's rate on the chosen devices; `more`: further matchers.
fn rate(name: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(",{more}") };
    format!(r#"rate({name}{{{AT},device=~"$device"{more}}}[$__rate_interval])"#)
}

fn underlay(name: &str) -> String {
    rate(name, r#"role="underlay""#)
}

fn panels() -> Vec<Panel> {
    [overview(), traffic(), paths(), sizes(), cost(), own()].into_iter().flatten().collect()
}

fn overview() -> Vec<Panel> {
    let l3 = underlay("observer_l3_bytes_total");
    vec![
        Panel::row("Now"),
        Panel::new(
            Kind::Stat,
            "Mode",
            "none",
            "How pod blocks of other nodes are routed, by address family.",
        )
        .query("{{family}}: {{mode}}", format!("observer_mode_info{{{AT}}} == 1")),
        Panel::new(Kind::Stat, "Overhead", "percentunit", "Overhead bytes / L3 bytes on underlay devices.")
            .query("share", format!("sum({}) / sum({l3})", underlay("observer_overhead_bytes_total"))),
        Panel::new(Kind::Stat, "On the wire", "bps", "Link-layer bits on underlay devices, both directions.")
            .query("wire", format!("8 * sum({})", underlay("observer_wire_bytes_total"))),
        Panel::new(
            Kind::Stat,
            "Lost hooks",
            "none",
            "Directions of devices that should be watched and are not.",
        )
        .query("lost", format!("sum(1 - observer_hook_attached{{{AT}}})")),
        Panel::new(
            Kind::Stat,
            "Would drop",
            "pps",
            "Packets that do not fit into a tunnel and may not be fragmented.",
        )
        .query("packets", format!("sum({})", rate("observer_would_drop_packets_total", ""))),
        Panel::new(Kind::Stat, "Too big", "cps", "ICMP messages, at the device that saw most.")
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
            "Of all L3 bytes on underlay devices.",
        )
        .query(
            "{{encapsulation}}",
            format!("{by} ({overhead}) / ignoring (encapsulation) group_left () sum({l3})"),
        ),
        Panel::new(
            Kind::Lines,
            "Overhead inside each encapsulation",
            "percentunit",
            "Overhead bytes / L3 bytes of that encapsulation; small packets cost more.",
        )
        .query("{{encapsulation}}", format!("{by} ({overhead}) / ({by} ({l3}) > 0)")),
        Panel::new(Kind::Stack, "Wire by encapsulation", "bps", "Link-layer bits.").query(
            "{{direction}} {{encapsulation}}",
            format!("8 * sum by (direction, encapsulation) ({})", underlay("observer_wire_bytes_total")),
        ),
        Panel::new(
            Kind::Lines,
            "Packets by encapsulation",
            "pps",
            "As on the wire: a super-packet counts as its segments.",
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
            "L3 bits of the ten largest; `other` is the sum of those that are not exported one by one.",
        )
        .query("{{direction}} {{peer}} {{encapsulation}}", format!("topk(10, 8 * {l3})")),
        Panel::new(Kind::Stack, "By scope", "bps", "L3 bits inside the subnet and across subnets.").query(
            "{{scope}} {{encapsulation}}",
            format!(
                "8 * sum by (scope, encapsulation) ({})",
                rate("observer_path_l3_bytes_total", "scope!=\"\"")
            ),
        ),
        Panel::new(Kind::Table, "Paths", "short", "Rates of now.")
            .column("L3", "bps", format!("8 * {l3}"))
            .column(
                "Overhead",
                "percentunit",
                format!("{} / ({l3} > 0)", of("observer_path_overhead_bytes_total")),
            )
            .column("Fragments", "pps", of("observer_path_fragments_total"))
            .column("Would drop", "pps", of("observer_path_would_drop_packets_total"))
            .column("Too big", "cps", of("observer_path_ptb_messages_total")),
    ]
}

fn sizes() -> Vec<Panel> {
    let sum = |name: &str, by: &str, more: &str| format!("sum by ({by}) ({})", rate(name, more));
    vec![
        Panel::row("Sizes, fragments, MTU"),
        Panel::new(
            Kind::Heatmap,
            "Packet sizes",
            "bytes",
            "L3 sizes on the chosen devices, packets a second in each class.",
        )
        .query("{{le}}", sum("observer_packet_size_bytes_bucket", "le", PODS)),
        Panel::new(
            Kind::Lines,
            "Largest packet",
            "bytes",
            "Since the exporter started; the line of a device's MTU is below.",
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
            "By layer and position; atomic fragments are none and are left out.",
        )
        .query(
            "{{layer}} {{position}} {{encapsulation}}",
            format!(
                "{} or 0 * {}",
                sum("observer_fragments_total", "layer, position, encapsulation", r#"position!="atomic""#),
                sum("observer_packets_total", "encapsulation", PODS)
            ),
        ),
        Panel::new(Kind::Lines, "Cost of fragmentation", "Bps", "Headers that fragmentation repeats.").query(
            "{{device}} {{encapsulation}}",
            sum("observer_fragmentation_overhead_bytes_total", "device, encapsulation", ""),
        ),
        Panel::new(
            Kind::Lines,
            "Too large",
            "pps",
            "Above the device's MTU, or above what the tunnel can carry.",
        )
        .query("{{device}} oversized", sum("observer_oversized_packets_total", "device", ""))
        .query("{{device}} would fragment", sum("observer_would_fragment_packets_total", "device", ""))
        .query("{{device}} would drop", sum("observer_would_drop_packets_total", "device", "")),
        Panel::new(Kind::Lines, "PTB messages", "cps", "ICMP, counted at each device that they cross.")
            .query(
                "{{device}} {{direction}} {{family}}",
                sum("observer_ptb_messages_total", "device, direction, family", ""),
            ),
        Panel::new(
            Kind::Table,
            "MTUs",
            "bytes",
            "A tunnel's MTU should be the underlay's less what the tunnel adds.",
        )
        .column("MTU", "bytes", format!("max by (device) (observer_device_mtu_bytes{{{AT}}})"))
        .column("Tunnel adds", "bytes", format!("max by (device) (observer_tunnel_overhead_bytes{{{AT}}})"))
        .column(
            "Underlay MTU",
            "bytes",
            format!("max by (device) (observer_tunnel_underlay_mtu_bytes{{{AT}}})"),
        ),
    ]
}

/// Where exporters run with `--cost`.
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
    // These have no device.
    let plain = |name: &str| format!("rate({name}{{{AT}}}[$__rate_interval])");
    let quantile = |of: &str, name: &str| {
        format!("histogram_quantile({of}, sum by (encapsulation, le) ({}))", plain(name))
    };
    let round_trip = |of: &str| quantile(of, "observer_tcp_round_trip_seconds_bucket");
    let at_hook = |of: &str| quantile(of, "observer_hook_rtt_seconds_bucket");
    let in_software = |name: &str| {
        let sum = |filter: &str| format!("sum by (device) ({})", rate(name, filter));
        format!("{} / ({} > 0)", sum(r#"by="software""#), sum(""))
    };
    let peer = |name: &str| format!("sum by (peer, encapsulation) ({})", plain(name));
    vec![
        Panel::row("Cost of encapsulation"),
        Panel::new(
            Kind::Lines,
            "Time to encapsulate",
            "s",
            "A packet, segments counted one by one: egress encapsulates, ingress decapsulates. Empty without --cost.",
        )
        .query("{{device}} {{direction}}", format!("{time} / {measured}")),
        Panel::new(
            Kind::Lines,
            "CPU for encapsulation",
            "percentunit",
            "Of one CPU: time for a packet times the packets that were counted, and what measuring takes of it.",
        )
        .query("{{device}} {{direction}}", format!("{time} / {measured} * {packets}"))
        .query(
            "measuring {{device}} {{direction}}",
            format!("{by} ({})", rate("observer_encap_cost_measuring_seconds_total", "")),
        ),
        Panel::new(
            Kind::Lines,
            "Time for a buffer",
            "s",
            "Median and 99th percentile of what the kernel handles at once, between powers of two.",
        )
        .query("p50 {{device}} {{direction}}", buckets("0.5"))
        .query("p99 {{device}} {{direction}}", buckets("0.99")),
        Panel::new(
            Kind::Lines,
            "Work done for the NIC",
            "percentunit",
            "Super-packets that the kernel cuts into segments, and single packets whose checksum it computes, because no device behind the tunnel can; of those that were measured.",
        )
        .query("cut {{device}}", in_software("observer_encap_cost_gso_buffers_total"))
        .query("checksum {{device}}", in_software("observer_encap_cost_checksums_total")),
        Panel::new(Kind::Stack, "Network softirqs", "percentunit", "Share of each CPU, stacked.")
            .query("CPU {{cpu}} {{vector}}", plain("observer_softirq_seconds_total")),
        Panel::new(
            Kind::Lines,
            "TCP round trips",
            "s",
            "Median and 99th percentile of the kernel's smoothed times, by how the peer is reached.",
        )
        .query("p50 {{encapsulation}}", round_trip("0.5"))
        .query("p99 {{encapsulation}}", round_trip("0.99")),
        Panel::new(
            Kind::Lines,
            "Round trips at the hooks",
            "s",
            "Median and 99th percentile by TCP timestamps, of forwarded connections too, with the receivers' delayed acknowledgements; by how the peer is reached.",
        )
        .query("p50 {{encapsulation}}", at_hook("0.5"))
        .query("p99 {{encapsulation}}", at_hook("0.99")),
        Panel::new(
            Kind::Lines,
            "TCP segments sent again",
            "cps",
            "To the ten peers with most of them.",
        )
        .query(
            "{{peer}} {{encapsulation}}",
            format!("topk(10, {})", peer("observer_peer_tcp_retransmitted_segments_total")),
        ),
        Panel::new(
            Kind::Lines,
            "Packets dropped",
            "pps",
            "By this node, on the way to or from a peer, by the kernel's reason: the ten with most of them.",
        )
        .query(
            "{{peer}} {{direction}} {{reason}}",
            format!(
                "topk(10, sum by (peer, direction, reason) ({}))",
                plain("observer_peer_dropped_packets_total")
            ),
        ),
        Panel::new(Kind::Table, "Peers by round trip", "short", "Rates of now.")
            .column(
                "Mean round trip",
                "s",
                format!(
                    "{} / ({} > 0)",
                    peer("observer_peer_tcp_round_trip_seconds_total"),
                    peer("observer_peer_tcp_round_trips_total")
                ),
            )
            .column("Round trips read", "cps", peer("observer_peer_tcp_round_trips_total"))
            .column("Segments sent again", "cps", peer("observer_peer_tcp_retransmitted_segments_total")),
    ]
}

fn own() -> Vec<Panel> {
    // Everybody has process_… series: ours are those of the job.
    let series = |name: &str| format!(r#"{name}{{job="observer",{AT}}}"#);
    let own_rate = |name: &str| format!("rate({}[$__rate_interval])", series(name));
    vec![
        Panel::row("What Observer costs, and what it misses"),
        Panel::new(Kind::Lines, "CPU", "percentunit", "Of one CPU: the exporter, and the programs in the kernel where its BPF statistics are on.")
            .query("exporter", format!("sum({})", own_rate("process_cpu_seconds_total")))
            .query("{{program}}", format!("sum by (program) ({})", own_rate("observer_program_run_seconds_total"))),
        Panel::new(Kind::Lines, "Time for a packet", "s", "In the kernel, where its BPF statistics are on.").query(
            "{{program}}",
            format!(
                "sum by (program) ({}) / (sum by (program) ({}) > 0)",
                own_rate("observer_program_run_seconds_total"),
                own_rate("observer_program_runs_total")
            ),
        ),
        Panel::new(Kind::Lines, "Memory", "bytes", "Resident memory of the exporter; the kernel's maps are not in it.")
            .query("exporter", format!("sum({})", series("process_resident_memory_bytes"))),
        Panel::new(Kind::Lines, "Scrape", "s", "Time that the exporter takes to answer.")
            .query("scrape", format!("max({})", series("observer_scrape_duration_seconds"))),
        Panel::new(Kind::Lines, "Tables", "percentunit", "Places that are taken in the bounded tables.")
            .query("{{table}}", format!("max by (table) ({} / {})", series("observer_table_entries"), series("observer_table_capacity"))),
        Panel::new(Kind::Lines, "Losses", "short", "Packets that found no place in a table, hooks that were lost, seconds that nobody watched; over five minutes.")
            .query("no place among paths", format!("sum(increase({}[5m]))", series("observer_path_overflow_packets_total")))
            .query("no place among unknown peers", format!("sum(increase({}[5m]))", series("observer_unknown_peer_overflow_packets_total")))
            .query("hooks lost", format!("sum(increase({}[5m]))", series("observer_hook_losses_total")))
            .query("unwatched seconds", format!("sum(increase({}[5m]))", series("observer_unwatched_seconds_total"))),
        Panel::new(Kind::Lines, "Unknown peers and malformed packets", "pps", "Tunnel packets from or to nobody known; packets that could not be understood.")
            .query("unknown peers {{device}} {{direction}}", format!("sum by (device, direction) ({})", own_rate("observer_unknown_peer_address_packets_total")))
            .query("malformed {{reason}}", format!("sum by (reason) ({}) or vector(0)", own_rate("observer_malformed_packets_total")))
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
