//! Every metric, once: its name, type, labels and meaning. `docs/metrics.md` is held against this list.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows while the maps live.
    Counter,
    /// A state.
    Gauge,
    /// Packets by size.
    Histogram,
    /// Labels that matter, value 1.
    Info,
}

impl Kind {
    /// The word of the exposition format.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// A metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// As in the samples (histograms: without `_bucket`, `_sum`, `_count`).
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

macro_rules! families {
    ($( $(#[$doc:meta])* $constant:ident = $name:literal $kind:ident $labels:expr, $help:literal; )*) => {
        $( #[doc = $help] pub const $constant: Family =
            Family { name: $name, kind: Kind::$kind, labels: $labels, help: $help }; )*

        /// All of them, in the order of the exposition.
        pub const FAMILIES: &[Family] = &[$( $constant ),*];
    };
}

/// Labels of totals.
const ROW: &[&str] = &["device", "role", "direction", "encapsulation"];
/// Labels of what is counted by device, direction and class without the role.
const SIZE: &[&str] = &["device", "direction", "encapsulation"];
/// Labels of work for the hardware of what goes into a tunnel device.
const OFFLOAD: &[&str] = &["device", "encapsulation", "by"];
/// Labels of a path.
const PATH: &[&str] = &["device", "direction", "encapsulation", "vni", "peer", "scope"];
/// Labels of a peer node.
const PEER: &[&str] = &["peer", "encapsulation"];
/// Labels of a place.
const PLACE: &[&str] = &["device", "direction"];
const NONE: &[&str] = &[];

families! {
    PACKETS = "observer_packets_total" Counter ROW, "Packets on the wire: segments, not super-packets";
    WIRE_BYTES = "observer_wire_bytes_total" Counter ROW, "Link-layer bytes of these packets";
    L3_BYTES = "observer_l3_bytes_total" Counter ROW, "Bytes from the outer IP header on";
    INNER_BYTES = "observer_inner_bytes_total" Counter ROW, "L3 bytes of the innermost IP packets";
    OVERHEAD_BYTES = "observer_overhead_bytes_total" Counter ROW, "Bytes of encapsulation: L3 bytes less inner bytes";
    FRAGMENTATION_OVERHEAD = "observer_fragmentation_overhead_bytes_total" Counter ROW,
        "Bytes of headers that exist only because packets were fragmented";
    OVERSIZED = "observer_oversized_packets_total" Counter ROW, "Packets whose L3 size exceeds the MTU of the device";
    WOULD_FRAGMENT = "observer_would_fragment_packets_total" Counter ROW,
        "Packets that leave through a tunnel device and exceed the MTU of the underlay with its overhead, DF clear";
    WOULD_DROP = "observer_would_drop_packets_total" Counter ROW, "The same with DF set, or IPv6";
    UNKNOWN_PEER = "observer_unknown_peer_packets_total" Counter ROW,
        "Tunnel packets from or to an address that is no known node";
    UNKNOWN_VNI = "observer_unknown_vni_packets_total" Counter ROW,
        "VXLAN or Geneve packets with a VNI that no device of the node uses";
    NESTED = "observer_nested_packets_total" Counter ROW,
        "Tunnel packets whose inner packet is itself a tunnel packet; only one level is read";
    FRAGMENTS = "observer_fragments_total" Counter
        &["device", "direction", "encapsulation", "layer", "family", "position"],
        "Fragments by layer, family and position; combinations that never occurred are absent";
    SIZES = "observer_packet_size_bytes" Histogram SIZE, "L3 sizes of packets";
    LARGEST = "observer_largest_packet_bytes" Gauge SIZE, "L3 size of the largest packet since counting began";
    PTB = "observer_ptb_messages_total" Counter &["device", "direction", "family"],
        "ICMPv4 type 3 code 4 and ICMPv6 type 2";
    MALFORMED = "observer_malformed_packets_total" Counter &["device", "direction", "reason"],
        "Packets that could not be read to the end; reasons that never occurred are absent";
    PATH_PACKETS = "observer_path_packets_total" Counter PATH, "Packets of a path";
    PATH_WIRE_BYTES = "observer_path_wire_bytes_total" Counter PATH, "Link-layer bytes of a path";
    PATH_L3_BYTES = "observer_path_l3_bytes_total" Counter PATH, "L3 bytes of a path";
    PATH_OVERHEAD_BYTES = "observer_path_overhead_bytes_total" Counter PATH, "Bytes of encapsulation of a path";
    PATH_FRAGMENTS = "observer_path_fragments_total" Counter PATH, "Fragments of both layers of a path";
    PATH_OVERSIZED = "observer_path_oversized_packets_total" Counter PATH, "Packets of a path above the MTU of the device";
    PATH_WOULD_FRAGMENT = "observer_path_would_fragment_packets_total" Counter PATH,
        "Packets on their way into the tunnel of a path that would be fragmented by it";
    PATH_WOULD_DROP = "observer_path_would_drop_packets_total" Counter PATH,
        "Packets on their way into the tunnel of a path that would be dropped by it";
    PATH_PTB = "observer_path_ptb_messages_total" Counter PATH, "PTB messages that quote a packet of a path";
    PATH_OVERFLOW = "observer_path_overflow_packets_total" Counter PLACE,
        "Packets of known peers whose path found no room in the table";
    UNKNOWN_PEER_SLOTS = "observer_unknown_peer_address_packets_total" Counter PLACE,
        "Packets of tunnel endpoints that are no known nodes, as far as the table of unknown peers holds them";
    UNKNOWN_PEER_OVERFLOW = "observer_unknown_peer_overflow_packets_total" Counter PLACE,
        "Packets of unknown peers that found no room in their table";
    DEVICE_MTU = "observer_device_mtu_bytes" Gauge &["device", "role", "kind"], "MTU of a watched device";
    TUNNEL_OVERHEAD = "observer_tunnel_overhead_bytes" Gauge &["device", "encapsulation"],
        "Bytes that a tunnel device adds to a packet, L3";
    TUNNEL_UNDERLAY_MTU = "observer_tunnel_underlay_mtu_bytes" Gauge &["device", "encapsulation"],
        "MTU of the underlay of a tunnel device, where known";
    HOOK_ATTACHED = "observer_hook_attached" Gauge &["device", "direction", "hook"],
        "1 where a direction of a device is watched, 0 where its hook is lost and its traffic unknown";
    HOOK_LOSSES = "observer_hook_losses_total" Counter PLACE, "How often a hook was found lost";
    UNWATCHED = "observer_unwatched_seconds_total" Counter NONE,
        "Time between the end of an exporter and the start of the next over the same maps, in which nothing was counted";
    ROUTED_BLOCKS = "observer_routed_blocks" Gauge &["family", "encapsulation", "scope"],
        "Pod blocks of other nodes by the way that their routes take";
    ROUTED_PEERS = "observer_routed_peers" Gauge &["family", "encapsulation", "scope"],
        "Nodes (natively: next hops) that these routes lead to";
    MODE = "observer_mode_info" Info &["family", "mode"], "How pod traffic crosses to other nodes, told from the routes";
    ENCAPSULATION = "observer_encap_cost_seconds" Histogram SIZE,
        "Time that it takes to encapsulate (egress) or decapsulate (ingress) one buffer of the kernel, of those that were measured";
    ENCAPSULATION_PACKETS = "observer_encap_cost_measured_packets_total" Counter SIZE,
        "Packets in the buffers that were measured";
    ENCAPSULATION_OWN = "observer_encap_cost_measuring_seconds_total" Counter SIZE,
        "Time of the measuring itself, which was taken off";
    ENCAPSULATION_GSO = "observer_encap_cost_gso_buffers_total" Counter OFFLOAD,
        "Buffers of several segments that were measured on their way through a tunnel device, by who cuts them";
    ENCAPSULATION_CHECKSUMS = "observer_encap_cost_checksums_total" Counter OFFLOAD,
        "Single packets that were measured on their way through a tunnel device without a checksum, by who computes it";
    SOFTIRQ = "observer_softirq_seconds_total" Counter &["cpu", "vector"], "Time in network softirqs";
    ROUND_TRIP = "observer_tcp_round_trip_seconds" Histogram &["encapsulation"],
        "Smoothed round-trip times of TCP connections of the node and its pods, by how the peer is reached; none is native";
    PEER_ROUND_TRIPS = "observer_peer_tcp_round_trips_total" Counter PEER,
        "Round-trip times that were read, by peer node";
    PEER_ROUND_TRIP_SECONDS = "observer_peer_tcp_round_trip_seconds_total" Counter PEER, "Their sum";
    PEER_RETRANSMITS = "observer_peer_tcp_retransmitted_segments_total" Counter PEER,
        "TCP segments that were sent again, by peer node";
    PEER_DROPS = "observer_peer_dropped_packets_total" Counter &["peer", "encapsulation", "direction", "reason"],
        "Packets to (egress) and from (ingress) a peer that the kernel dropped in this node's network namespace, by its reason";
    COST_DISCARDED = "observer_encap_cost_unmeasured_total" Counter &["reason"],
        "What was to be measured and could not be";
    COST_SAMPLE = "observer_encap_cost_sample_ratio" Gauge NONE, "The part of the time that is measured";
    COST_PROBE = "observer_encap_cost_probe_seconds" Gauge NONE,
        "By how much measuring makes each stretch of work longer; it is taken off";
    COST_MISSING = "observer_encap_cost_missing" Gauge NONE,
        "Figures that this kernel does not let be measured; the log says which";
    COST_START = "observer_encap_cost_start_time_seconds" Gauge NONE,
        "When measuring began, since the Unix epoch: with each start of the exporter";
    HOOK_RTT = "observer_hook_rtt_seconds" Histogram &["encapsulation"],
        "Round-trip times of all TCP at the hooks, forwarded too, by TCP timestamps and how the peer is reached; none is native";
    PEER_HOOK_RTT_SAMPLES = "observer_peer_hook_rtt_samples_total" Counter PEER,
        "Round-trip times at the hooks that were measured, by peer node";
    PEER_HOOK_RTT_SECONDS = "observer_peer_hook_rtt_seconds_total" Counter PEER, "Their sum";
    TABLE_ENTRIES = "observer_table_entries" Gauge &["table"], "Entries in use of a bounded table";
    TABLE_CAPACITY = "observer_table_capacity" Gauge &["table"], "Entries that fit into a bounded table";
    PATHS_NAMED = "observer_paths_exported" Gauge NONE, "Paths that are exported one by one; the others are summed as peer=\"other\"";
    PROGRAM_RUNS = "observer_program_runs_total" Counter &["program"],
        "Runs of a BPF program while the statistics of the kernel were on; absent where they are off";
    PROGRAM_SECONDS = "observer_program_run_seconds_total" Counter &["program"],
        "How long these runs took together; absent where the statistics are off";
    CPU_SECONDS = "process_cpu_seconds_total" Counter NONE, "User and system CPU time of the exporter";
    RESIDENT = "process_resident_memory_bytes" Gauge NONE, "Resident memory of the exporter";
    SCRAPE_SECONDS = "observer_scrape_duration_seconds" Gauge NONE, "How long reading the maps for this answer took";
    BUILD = "observer_build_info" Info &["version", "kernel", "layout"], "Version of the program, of the kernel, and of the layout of the maps";
    START = "observer_start_time_seconds" Gauge NONE, "When counting began, since the Unix epoch";
}
