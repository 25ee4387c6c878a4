//! All metrics: name, type, labels and help. A test compares `docs/metrics.md` with this list.

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A count that never decreases while the maps exist.
    Counter,
    /// A value that may increase and decrease.
    Gauge,
    /// A distribution.
    Histogram,
    /// Information in labels, value 1.
    Info,
}

impl Kind {
    /// The type in the exposition format.
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
    /// The name of its samples (histograms: without `_bucket`, `_sum`, `_count`).
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// The HELP text.
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
/// Labels of totals without the role.
const SIZE: &[&str] = &["device", "direction", "encapsulation"];
/// Labels of offloadable work of a tunnel device.
const OFFLOAD: &[&str] = &["device", "encapsulation", "by"];
/// Labels of a path.
const PATH: &[&str] = &["device", "direction", "encapsulation", "vni", "peer", "scope"];
/// Labels of a peer node.
const PEER: &[&str] = &["peer", "encapsulation"];
/// Labels of a device and direction.
const PLACE: &[&str] = &["device", "direction"];
const NONE: &[&str] = &[];

families! {
    PACKETS = "observer_packets_total" Counter ROW, "Packets on the wire by device, direction and encapsulation; every segment of a super-packet counts";
    WIRE_BYTES = "observer_wire_bytes_total" Counter ROW, "Link-layer bytes of all packets, as on the wire";
    L3_BYTES = "observer_l3_bytes_total" Counter ROW, "Bytes of all packets, counted from the outer IP header";
    INNER_BYTES = "observer_inner_bytes_total" Counter ROW, "L3 bytes of the innermost IP packets";
    OVERHEAD_BYTES = "observer_overhead_bytes_total" Counter ROW, "Bytes added by encapsulation: L3 bytes minus inner bytes";
    FRAGMENTATION_OVERHEAD = "observer_fragmentation_overhead_bytes_total" Counter ROW,
        "Bytes of headers that exist only because packets were fragmented";
    OVERSIZED = "observer_oversized_packets_total" Counter ROW, "Packets whose L3 size exceeds the MTU of the device";
    WOULD_FRAGMENT = "observer_would_fragment_packets_total" Counter ROW,
        "Packets sent to a tunnel device that it has to fragment: with tunnel overhead they exceed the MTU of the underlay, DF clear";
    WOULD_DROP = "observer_would_drop_packets_total" Counter ROW, "Packets sent to a tunnel device that it has to drop: with tunnel overhead they exceed the MTU of the underlay, DF set or IPv6";
    UNKNOWN_PEER = "observer_unknown_peer_packets_total" Counter ROW,
        "Tunnel packets from or to an address that is not a known node";
    UNKNOWN_VNI = "observer_unknown_vni_packets_total" Counter ROW,
        "VXLAN and Geneve packets with a VNI that none of the node's devices uses";
    NESTED = "observer_nested_packets_total" Counter ROW,
        "Tunnel packets whose inner packet is also a tunnel packet; only one level is parsed";
    FRAGMENTS = "observer_fragments_total" Counter
        &["device", "direction", "encapsulation", "layer", "family", "position"],
        "Fragments by layer (outer, inner), address family and position; absent for combinations that never occurred";
    SIZES = "observer_packet_size_bytes" Histogram SIZE, "L3 sizes of packets in bytes";
    LARGEST = "observer_largest_packet_bytes" Gauge SIZE, "L3 size in bytes of the largest packet since counting began";
    PTB = "observer_ptb_messages_total" Counter &["device", "direction", "family"],
        "ICMP PTB (packet too big) messages sent or received: ICMPv4 type 3 code 4, ICMPv6 type 2";
    MALFORMED = "observer_malformed_packets_total" Counter &["device", "direction", "reason"],
        "Packets that could not be parsed completely, by reason; absent for reasons that never occurred";
    PATH_PACKETS = "observer_path_packets_total" Counter PATH, "Packets of a path; peer=\"other\" is the sum of paths without their own series";
    PATH_WIRE_BYTES = "observer_path_wire_bytes_total" Counter PATH, "Link-layer bytes of a path";
    PATH_L3_BYTES = "observer_path_l3_bytes_total" Counter PATH, "Bytes of a path, counted from the outer IP header";
    PATH_OVERHEAD_BYTES = "observer_path_overhead_bytes_total" Counter PATH, "Bytes added to a path by encapsulation";
    PATH_FRAGMENTS = "observer_path_fragments_total" Counter PATH, "Outer and inner fragments of a path";
    PATH_OVERSIZED = "observer_path_oversized_packets_total" Counter PATH, "Packets of a path whose L3 size exceeds the MTU of the device";
    PATH_WOULD_FRAGMENT = "observer_path_would_fragment_packets_total" Counter PATH,
        "Packets of a path that its tunnel has to fragment to fit the MTU of the underlay";
    PATH_WOULD_DROP = "observer_path_would_drop_packets_total" Counter PATH,
        "Packets of a path that its tunnel has to drop because they do not fit the MTU of the underlay";
    PATH_PTB = "observer_path_ptb_messages_total" Counter PATH, "ICMP PTB (packet too big) messages that quote a packet of a path";
    PATH_OVERFLOW = "observer_path_overflow_packets_total" Counter PLACE,
        "Packets of known peers whose path did not fit into the table of paths; not 0: path metrics are incomplete";
    UNKNOWN_PEER_SLOTS = "observer_unknown_peer_address_packets_total" Counter PLACE,
        "Tunnel packets from or to unknown peers that are in the table of unknown peers";
    UNKNOWN_PEER_OVERFLOW = "observer_unknown_peer_overflow_packets_total" Counter PLACE,
        "Tunnel packets from or to unknown peers that did not fit into the table of unknown peers";
    DEVICE_MTU = "observer_device_mtu_bytes" Gauge &["device", "role", "kind"], "MTU of a watched device in bytes; absent if unknown";
    TUNNEL_OVERHEAD = "observer_tunnel_overhead_bytes" Gauge &["device", "encapsulation"],
        "L3 bytes that a tunnel device adds to a packet";
    TUNNEL_UNDERLAY_MTU = "observer_tunnel_underlay_mtu_bytes" Gauge &["device", "encapsulation"],
        "MTU in bytes of the device below a tunnel device; absent if unknown";
    HOOK_ATTACHED = "observer_hook_attached" Gauge &["device", "direction", "hook"],
        "1 if the hook is attached, 0 if it is lost and traffic is not counted; absent if the direction is not watched or the device is gone or down";
    HOOK_LOSSES = "observer_hook_losses_total" Counter PLACE, "Number of times that a hook was lost";
    UNWATCHED = "observer_unwatched_seconds_total" Counter NONE,
        "Seconds without an exporter since counting began, in which nothing was counted";
    ROUTED_BLOCKS = "observer_routed_blocks" Gauge &["family", "encapsulation", "scope"],
        "Pod blocks of other nodes, by address family, encapsulation and scope of their routes";
    ROUTED_PEERS = "observer_routed_peers" Gauge &["family", "encapsulation", "scope"],
        "Nodes (native: next hops) to which pod blocks are routed, by address family, encapsulation and scope";
    MODE = "observer_mode_info" Info &["family", "mode"], "Mode of pod traffic between nodes, derived from routes; absent without pod blocks of other nodes";
    ENCAPSULATION = "observer_encap_cost_seconds" Histogram SIZE,
        "Time to encapsulate (egress) or decapsulate (ingress) one skb, in seconds, sampled; absent without --cost";
    ENCAPSULATION_PACKETS = "observer_encap_cost_measured_packets_total" Counter SIZE,
        "Packets in the sampled encapsulation time; absent without --cost";
    ENCAPSULATION_OWN = "observer_encap_cost_measuring_seconds_total" Counter SIZE,
        "Seconds of probe overhead subtracted from the encapsulation time; absent without --cost";
    ENCAPSULATION_GSO = "observer_encap_cost_gso_buffers_total" Counter OFFLOAD,
        "Sampled GSO skbs through a tunnel device, by where they were segmented (offload, software); absent without --cost";
    ENCAPSULATION_CHECKSUMS = "observer_encap_cost_checksums_total" Counter OFFLOAD,
        "Sampled packets through a tunnel device without a checksum, by where it was computed (offload, software); absent without --cost";
    SOFTIRQ = "observer_softirq_seconds_total" Counter &["cpu", "vector"], "CPU time in network softirqs in seconds, by CPU and vector; absent without --cost";
    ROUND_TRIP = "observer_tcp_round_trip_seconds" Histogram &["encapsulation"],
        "Smoothed TCP round-trip times of the node and its pods in seconds, by encapsulation (none: native); absent without --cost";
    PEER_ROUND_TRIPS = "observer_peer_tcp_round_trips_total" Counter PEER,
        "Number of sampled TCP round-trip times by peer node; absent without --cost";
    PEER_ROUND_TRIP_SECONDS = "observer_peer_tcp_round_trip_seconds_total" Counter PEER, "Sum of sampled TCP round-trip times by peer node, in seconds; absent without --cost";
    PEER_RETRANSMITS = "observer_peer_tcp_retransmitted_segments_total" Counter PEER,
        "Retransmitted TCP segments by peer node; absent without --cost";
    PEER_DROPS = "observer_peer_dropped_packets_total" Counter &["peer", "encapsulation", "direction", "reason"],
        "Packets to (egress) or from (ingress) a peer dropped by the kernel in this node's network namespace, by reason; absent without --cost";
    COST_DISCARDED = "observer_encap_cost_unmeasured_total" Counter &["reason"],
        "Events that could not be measured by --cost, by reason; absent without --cost";
    COST_SAMPLE = "observer_encap_cost_sample_ratio" Gauge NONE, "Share of the time that is measured by --cost, 0 to 1; absent without --cost";
    COST_PROBE = "observer_encap_cost_probe_seconds" Gauge NONE,
        "Probe overhead per measurement in seconds, already subtracted; absent without --cost";
    COST_MISSING = "observer_encap_cost_missing" Gauge NONE,
        "Number of figures that cannot be measured on this kernel, listed in the log; absent without --cost";
    COST_START = "observer_encap_cost_start_time_seconds" Gauge NONE,
        "Start of the cost measurement in seconds since the Unix epoch, reset by every start of the exporter; absent without --cost";
    HOOK_RTT = "observer_hook_rtt_seconds" Histogram &["encapsulation"],
        "TCP round-trip times at the hooks in seconds, forwarded traffic included, by encapsulation (none: native); absent without --cost";
    PEER_HOOK_RTT_SAMPLES = "observer_peer_hook_rtt_samples_total" Counter PEER,
        "Number of TCP round-trip times at the hooks by peer node; absent without --cost";
    PEER_HOOK_RTT_SECONDS = "observer_peer_hook_rtt_seconds_total" Counter PEER, "Sum of TCP round-trip times at the hooks by peer node, in seconds; absent without --cost";
    TABLE_ENTRIES = "observer_table_entries" Gauge &["table"], "Used entries of a bounded table";
    TABLE_CAPACITY = "observer_table_capacity" Gauge &["table"], "Maximum number of entries of a bounded table";
    PATHS_NAMED = "observer_paths_exported" Gauge NONE, "Number of paths with their own series; all others are summed as peer=\"other\"";
    PROGRAM_RUNS = "observer_program_runs_total" Counter &["program"],
        "Runs of a BPF program while the kernel's BPF statistics are enabled; absent if they are disabled";
    PROGRAM_SECONDS = "observer_program_run_seconds_total" Counter &["program"],
        "Run time of a BPF program in seconds while the kernel's BPF statistics are enabled; absent if they are disabled";
    CPU_SECONDS = "process_cpu_seconds_total" Counter NONE, "User and system CPU time of the exporter in seconds";
    RESIDENT = "process_resident_memory_bytes" Gauge NONE, "Resident memory of the exporter in bytes";
    SCRAPE_SECONDS = "observer_scrape_duration_seconds" Gauge NONE, "Time to read the maps for this scrape, in seconds";
    BUILD = "observer_build_info" Info &["version", "kernel", "layout"], "Version of Observer, of the kernel and of the map layout; always 1";
    START = "observer_start_time_seconds" Gauge NONE, "Time when counting began, in seconds since the Unix epoch";
}
