//! All nodes.

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

/// Blocks or nodes as a share of those of the same family and scope.
const ROUTED: &str = "sum by (family, scope, encapsulation)";

fn now() -> Vec<Panel> {
    let (l3, overhead) = (underlay("observer_l3_bytes_total"), underlay("observer_overhead_bytes_total"));
    vec![
        Panel::row("Now"),
        Panel::new(Kind::Stat, "Nodes", "none", "Exporters that answer.")
            .query("nodes", format!("count({})", series("observer_build_info"))),
        Panel::new(Kind::Stat, "Silent", "none", "Exporters that do not answer.")
            .query("silent", format!("sum(1 - up{{job=\"observer\",{AT}}})")),
        Panel::new(
            Kind::Stat,
            "Overhead",
            "percentunit",
            "Overhead bytes / L3 bytes on all underlay devices.",
        )
        .query("share", format!("sum({overhead}) / sum({l3})")),
        Panel::new(
            Kind::Stat,
            "Spent on encapsulation",
            "bps",
            "Overhead bits on all underlay devices, sender and receiver both counted.",
        )
        .query("overhead", format!("8 * sum({overhead})")),
        Panel::new(
            Kind::Stat,
            "Would drop",
            "pps",
            "Packets that do not fit into a tunnel and may not be fragmented.",
        )
        .query("packets", format!("sum({})", rate("observer_would_drop_packets_total", ""))),
        Panel::new(
            Kind::Stat,
            "Lost hooks",
            "none",
            "Directions of devices that should be watched and are not.",
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
        Panel::row("Which node runs which mode, and what it pays"),
        Panel::new(
            Kind::Table,
            "Nodes, modes and overhead",
            "short",
            "Rates of now; a node of the fleet in the mode `mixed` has routes of two modes.",
        )
        .column("IPv4 mode", "none", mode("ipv4"))
        .column("Overhead", "percentunit", format!("{by} ({overhead}) / ({by} ({l3}) > 0)"))
        .column("Wire", "bps", format!("8 * {by} ({})", underlay("observer_wire_bytes_total")))
        .column("Fragments", "pps", fragments)
        .column(
            "Would drop",
            "pps",
            format!("{by} ({})", rate("observer_would_drop_packets_total", "")),
        ),
        Panel::new(Kind::Lines, "Worst overhead", "percentunit", "The ten nodes with the largest share.")
            .query("{{node}}", format!("topk(10, {by} ({overhead}) / ({by} ({l3}) > 0))")),
        Panel::new(
            Kind::Stack,
            "Overhead share by encapsulation",
            "percentunit",
            "Of all L3 bytes on underlay devices.",
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
        Panel::row("A switch of the mode"),
        Panel::new(Kind::Stack, "Nodes by mode", "none", "By address family.")
            .query("{{family}} {{mode}}", format!("count by (family, mode) ({} == 1)", series("observer_mode_info"))),
        Panel::new(Kind::Lines, "Routes to pod blocks", "percentunit", "The share of each encapsulation among the blocks of the same family and scope.").query(
            "{{family}} {{scope}} {{encapsulation}}",
            format!("{ROUTED} ({blocks}) / ignoring (encapsulation) group_left () sum by (family, scope) ({blocks})"),
        ),
        Panel::new(Kind::Bars, "Blocks routed natively, by node", "percentunit", "Of all blocks of other nodes: where a switch away from encapsulation has come to.")
            .query("{{node}}", format!("({native} or 0 * sum by (node) ({blocks})) / (sum by (node) ({blocks}) > 0)")),
        Panel::new(Kind::Lines, "Encapsulated inside subnets", "percentunit", "The share of tunnel packets in what nodes exchange inside their own subnet: 0 after a switch to CrossSubnet.").query(
            "{{node}}",
            format!("({} or 0 * {}) / ({} > 0)", near(",encapsulation!=\"none\""), near(""), near("")),
        ),
    ]
}

/// Names in place of addresses, where a target has that address.
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
        Panel::row("Across subnets"),
        Panel::new(
            Kind::Matrix,
            "Who sends how much to whom",
            "bps",
            "L3 bits across subnets, as the sender counts them. A native path ends at the router.",
        )
        .query("node/to", format!("8 * {}", named(&far("observer_path_l3_bytes_total")))),
        Panel::new(Kind::Lines, "Largest pairs", "bps", "L3 bits of the ten largest.").query(
            "{{node}} to {{to}}",
            format!("topk(10, 8 * {})", named(&far("observer_path_l3_bytes_total"))),
        ),
        Panel::new(Kind::Lines, "Their overhead", "bps", "Overhead bits of the ten pairs that pay most.")
            .query(
                "{{node}} to {{to}}",
                format!("topk(10, 8 * {})", named(&far("observer_path_overhead_bytes_total"))),
            ),
    ]
}

fn trouble() -> Vec<Panel> {
    vec![
        Panel::row("Trouble, and what Observer costs"),
        Panel::new(
            Kind::Lines,
            "Packets that do not fit",
            "pps",
            "Would be dropped at a tunnel; PTB messages at the device that saw most.",
        )
        .query(
            "{{node}} would drop",
            format!("sum by (node) ({})", rate("observer_would_drop_packets_total", "")),
        )
        .query(
            "{{node}} too big",
            format!("max by (node) (sum by (node, device) ({}))", rate("observer_ptb_messages_total", "")),
        ),
        Panel::new(
            Kind::Table,
            "MTUs of tunnels",
            "bytes",
            "A tunnel's MTU should be the underlay's less what the tunnel adds, on every node.",
        )
        .column(
            "MTU",
            "bytes",
            format!(r#"max by (node, device) (observer_device_mtu_bytes{{{AT},role="tunnel"}})"#),
        )
        .column(
            "Tunnel adds",
            "bytes",
            format!("max by (node, device) ({})", series("observer_tunnel_overhead_bytes")),
        )
        .column(
            "Underlay MTU",
            "bytes",
            format!("max by (node, device) ({})", series("observer_tunnel_underlay_mtu_bytes")),
        ),
        Panel::new(Kind::Lines, "CPU of exporters", "percentunit", "Of one CPU.").query(
            "{{node}}",
            format!(
                r#"sum by (node) (rate(process_cpu_seconds_total{{job="observer",{AT}}}[$__rate_interval]))"#
            ),
        ),
        Panel::new(Kind::Lines, "Memory of exporters", "bytes", "Resident.").query(
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
