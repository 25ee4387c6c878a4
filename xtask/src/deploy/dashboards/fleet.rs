//! The dashboard of all nodes.

use serde_json::Value;

use super::{Kind, Panel, variable};

const AT: &str = r#"cluster=~"$cluster",node=~"$node""#;
const DEVICE: &str = r#"device=~"$device""#;

fn rate(name: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(",{more}") };
    format!("rate({name}{{{AT},{DEVICE}{more}}}[$__rate_interval])")
}

fn underlay(name: &str) -> String {
    rate(name, r#"role="underlay""#)
}

fn series(name: &str) -> String {
    format!("{name}{{{AT}}}")
}

/// Groups blocks by encapsulation within a family and scope.
const ROUTED: &str = "sum by (family, scope, encapsulation)";

fn now() -> Vec<Panel> {
    let (l3, overhead) = (underlay("observer_l3_bytes_total"), underlay("observer_overhead_bytes_total"));
    vec![
        Panel::row("Now"),
        Panel::new(Kind::Stat, "Nodes", "none", "Exporters that Prometheus can scrape.")
            .query("nodes", format!("count({})", series("observer_build_info"))),
        Panel::new(Kind::Stat, "Down", "none", "Exporters that Prometheus cannot scrape.")
            .query("down", format!("sum(1 - up{{job=\"observer\",{AT}}})")),
        Panel::new(
            Kind::Stat,
            "Overhead",
            "percentunit",
            "Overhead bytes as a share of L3 bytes on all underlay devices.",
        )
        .query("share", format!("sum({overhead}) / sum({l3})")),
        Panel::new(
            Kind::Stat,
            "Overhead rate",
            "bps",
            "Overhead bits per second on all underlay devices, counted at sender and receiver.",
        )
        .query("overhead", format!("8 * sum({overhead})")),
        Panel::new(
            Kind::Stat,
            "Would drop",
            "pps",
            "Packets per second that are too large for a tunnel and may not be fragmented; they are lost.",
        )
        .query("packets", format!("sum({})", rate("observer_would_drop_packets_total", ""))),
        Panel::new(
            Kind::Stat,
            "Lost hooks",
            "none",
            "Device directions that should be counted but have no program attached.",
        )
        .query("lost", format!("sum(1 - {})", series("observer_hook_attached"))),
    ]
}

fn nodes() -> Vec<Panel> {
    let by = "sum by (cluster, node)";
    let (l3, overhead) = (underlay("observer_l3_bytes_total"), underlay("observer_overhead_bytes_total"));
    let mode = |family: &str| {
        format!(r#"max by (cluster, node, mode) (observer_mode_info{{{AT},family="{family}"}} == 1)"#)
    };
    let fragments = format!(
        "{by} ({}) or 0 * {by} ({})",
        rate("observer_fragments_total", r#"position!="atomic",encapsulation!~"external|non_ip|malformed""#),
        underlay("observer_packets_total")
    );
    vec![
        Panel::row("Mode and overhead of each node"),
        Panel::new(
            Kind::Table,
            "Nodes, modes and overhead",
            "short",
            "Current rates of each node; a node in mode `mixed` has routes of more than one mode.",
        )
        .column("IPv4 mode", "none", mode("ipv4"))
        .column("Overhead", "percentunit", format!("{by} ({overhead}) / ({by} ({l3}) > 0)"))
        .column("Wire rate", "bps", format!("8 * {by} ({})", underlay("observer_wire_bytes_total")))
        .column("Fragments", "pps", fragments)
        .column(
            "Would drop",
            "pps",
            format!("{by} ({})", rate("observer_would_drop_packets_total", "")),
        ),
        Panel::new(
            Kind::Lines,
            "Highest overhead",
            "percentunit",
            "The ten nodes with the largest overhead share of L3 bytes on underlay devices.",
        )
        .query("{{node}}", format!("topk(10, {by} ({overhead}) / ({by} ({l3}) > 0))")),
        Panel::new(
            Kind::Stack,
            "Overhead share by encapsulation",
            "percentunit",
            "Overhead of each encapsulation as a share of all L3 bytes on underlay devices.",
        )
        .query(
            "{{encapsulation}}",
            format!("sum by (encapsulation) ({overhead}) / ignoring (encapsulation) group_left () sum({l3})"),
        ),
    ]
}

fn switch() -> Vec<Panel> {
    let blocks = series("observer_routed_blocks");
    let near = |more: &str| {
        format!(
            "sum by (cluster, node) ({})",
            rate("observer_path_l3_bytes_total", &format!("scope=\"same-subnet\"{more}"))
        )
    };
    let native = format!(r#"sum by (node) (observer_routed_blocks{{{AT},encapsulation="none"}})"#);
    vec![
        Panel::row("Mode switch"),
        Panel::new(Kind::Stack, "Nodes by mode", "none", "Number of nodes in each mode, by address family.")
            .query("{{family}} {{mode}}", format!("count by (family, mode) ({} == 1)", series("observer_mode_info"))),
        Panel::new(Kind::Lines, "Routes to pod blocks", "percentunit", "Share of pod blocks routed through each encapsulation, by address family and scope.").query(
            "{{family}} {{scope}} {{encapsulation}}",
            format!("{ROUTED} ({blocks}) / ignoring (encapsulation) group_left () sum by (family, scope) ({blocks})"),
        ),
        Panel::new(Kind::Bars, "Blocks routed natively, by node", "percentunit", "Share of other nodes' pod blocks that are routed natively: progress of a switch away from encapsulation.")
            .query("{{node}}", format!("({native} or 0 * sum by (node) ({blocks})) / (sum by (node) ({blocks}) > 0)")),
        Panel::new(Kind::Lines, "Encapsulated inside subnets", "percentunit", "Share of the L3 bytes between nodes of the same subnet that is encapsulated: 0 after a switch to CrossSubnet.").query(
            "{{node}}",
            format!("({} or 0 * {}) / ({} > 0)", near(",encapsulation!=\"none\""), near(""), near("")),
        ),
    ]
}

/// Replaces a peer's address with its node name if an exporter has that address.
fn named(pairs: &str) -> String {
    let names = format!(
        r#"label_replace(label_replace({}, "peer", "$1", "instance", "\\[?([^\\]]+)\\]?:\\d+"), "to", "$1", "node", "(.+)")"#,
        series("observer_build_info")
    );
    let names = format!("max by (peer, to) ({names})");
    format!(
        r#"sum by (node, to) ({pairs} * on (peer) group_left (to) {names} or on (node, peer) label_replace({pairs}, "to", "$1", "peer", "(.+)"))"#
    )
}

fn pairs() -> Vec<Panel> {
    let far = |name: &str| {
        let rate = rate(name, r#"scope="cross-subnet",direction="egress""#);
        format!("sum by (node, peer) ({rate})")
    };
    vec![
        Panel::row("Traffic across subnets"),
        Panel::new(
            Kind::Matrix,
            "Traffic between nodes",
            "bps",
            "L3 bits per second across subnets, counted by the sender. A native path ends at the router.",
        )
        .query("node/to", format!("8 * {}", named(&far("observer_path_l3_bytes_total")))),
        Panel::new(
            Kind::Lines,
            "Largest pairs",
            "bps",
            "L3 bits per second of the ten node pairs with most traffic across subnets.",
        )
        .query(
            "{{node}} to {{to}}",
            format!("topk(10, 8 * {})", named(&far("observer_path_l3_bytes_total"))),
        ),
        Panel::new(
            Kind::Lines,
            "Pairs with most overhead",
            "bps",
            "Overhead bits per second of the ten node pairs with most overhead across subnets.",
        )
        .query(
            "{{node}} to {{to}}",
            format!("topk(10, 8 * {})", named(&far("observer_path_overhead_bytes_total"))),
        ),
    ]
}

fn trouble() -> Vec<Panel> {
    vec![
        Panel::row("Problems, and the cost of Observer"),
        Panel::new(
            Kind::Lines,
            "Packets too large",
            "pps",
            "Packets per second that are dropped because a tunnel cannot carry them, and PTB messages per second at the busiest device.",
        )
        .query(
            "{{node}} would drop",
            format!("sum by (node) ({})", rate("observer_would_drop_packets_total", "")),
        )
        .query(
            "{{node}} PTB",
            format!("max by (node) (sum by (node, device) ({}))", rate("observer_ptb_messages_total", "")),
        ),
        Panel::new(
            Kind::Table,
            "MTUs of tunnels",
            "bytes",
            "A tunnel's MTU should be the underlay's MTU minus the tunnel's overhead, on every node.",
        )
        .column(
            "MTU",
            "bytes",
            format!(r#"max by (node, device) (observer_device_mtu_bytes{{{AT},role="tunnel"}})"#),
        )
        .column(
            "Tunnel overhead",
            "bytes",
            format!("max by (node, device) ({})", series("observer_tunnel_overhead_bytes")),
        )
        .column(
            "Underlay MTU",
            "bytes",
            format!("max by (node, device) ({})", series("observer_tunnel_underlay_mtu_bytes")),
        ),
        Panel::new(Kind::Lines, "CPU of exporters", "percentunit", "CPU time of each exporter, as a share of one CPU.").query(
            "{{node}}",
            format!(
                r#"sum by (node) (rate(process_cpu_seconds_total{{job="observer",{AT}}}[$__rate_interval]))"#
            ),
        ),
        Panel::new(Kind::Lines, "Memory of exporters", "bytes", "Resident memory of each exporter, without BPF maps.").query(
            "{{node}}",
            format!(r#"sum by (node) (process_resident_memory_bytes{{job="observer",{AT}}})"#),
        ),
    ]
}

pub(super) fn dashboard() -> Value {
    let panels: Vec<Panel> = [now(), nodes(), switch(), pairs(), trouble()].into_iter().flatten().collect();
    let devices = format!("label_values(observer_device_mtu_bytes{{{AT}}}, device)");
    let variables = vec![
        variable("cluster", "label_values(observer_build_info, cluster)", true),
        variable("node", r#"label_values(observer_build_info{cluster=~"$cluster"}, node)"#, true),
        variable("device", &devices, true),
    ];
    super::dashboard("observer-fleet", "Observer / Fleet", variables, &panels)
}
