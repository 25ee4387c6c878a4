//! All counters: their index in the maps, their label in every view, and how the values of several
//! CPUs are merged.

/// How the values of several CPUs or sources are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// They are added.
    Sum,
    /// The largest is kept.
    Max,
}

impl Merge {
    /// Merges in one more value.
    pub const fn add(self, sum: &mut u64, value: u64) {
        match self {
            Self::Sum => *sum += value,
            Self::Max if value > *sum => *sum = value,
            Self::Max => {}
        }
    }

    /// The increase since `earlier`; a maximum is returned unchanged.
    #[must_use]
    pub const fn since(self, later: u64, earlier: u64) -> u64 {
        match self {
            Self::Sum => later.saturating_sub(earlier),
            Self::Max => later,
        }
    }
}

macro_rules! counters {
    ($(#[$doc:meta])* $set:ident, $len:ident { $( $(#[$cdoc:meta])* $name:ident = $label:literal $(, $merge:ident)? ; )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $set { $( $(#[$cdoc])* $name ),* }

        /// Number of counters in the set.
        pub const $len: usize = [$( $set::$name ),*].len();

        impl $set {
            /// Every counter, in index order.
            pub const ALL: [Self; $len] = [$( Self::$name ),*];

            /// The label used by every view.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $( Self::$name => $label ),* }
            }

            /// How the values of several CPUs are merged.
            #[must_use]
            pub const fn merge(self) -> Merge {
                match self { $( Self::$name => counters!(@merge $($merge)?) ),* }
            }
        }
    };
    (@merge) => { Merge::Sum };
    (@merge $merge:ident) => { Merge::$merge };
}

counters! {
    /// Totals for one device, direction and [`crate::kind::Class`].
    ///
    /// The first eight share the cache line that every packet touches.
    Total, TOTALS {
        /// Packets on the wire: segments, not super-packets.
        Packets = "packets";
        /// Link-layer bytes.
        WireBytes = "wire_bytes";
        /// Bytes from the outer IP header on.
        L3Bytes = "l3_bytes";
        /// L3 bytes of the innermost IP packet. Overhead bytes are `l3_bytes` − `inner_bytes`.
        InnerBytes = "inner_bytes";
        /// Super-packets (skbs of more than one segment); their segments are in `packets`.
        Aggregates = "aggregates";
        /// Packets whose L3 size exceeds the device's MTU.
        Oversized = "oversized";
        /// Packets sent into this tunnel device that exceed the underlay's MTU once encapsulated, with
        /// DF clear.
        WouldFragment = "would_fragment";
        /// The same with DF set, or IPv6.
        WouldDrop = "would_drop";
        /// Bytes of headers added by fragmentation.
        FragmentationOverheadBytes = "fragmentation_overhead_bytes";
        /// L3 size of the largest packet.
        Largest = "largest_bytes", Max;
        /// Fragments by layer, family and position.
        OuterV4First = "outer_ipv4_first";
        /// See above.
        OuterV4Middle = "outer_ipv4_middle";
        /// See above.
        OuterV4Last = "outer_ipv4_last";
        /// See above.
        OuterV6First = "outer_ipv6_first";
        /// See above.
        OuterV6Middle = "outer_ipv6_middle";
        /// See above.
        OuterV6Last = "outer_ipv6_last";
        /// IPv6 atomic fragments (RFC 6946): a Fragment header on a whole packet.
        OuterV6Atomic = "outer_ipv6_atomic";
        /// See above.
        InnerV4First = "inner_ipv4_first";
        /// See above.
        InnerV4Middle = "inner_ipv4_middle";
        /// See above.
        InnerV4Last = "inner_ipv4_last";
        /// See above.
        InnerV6First = "inner_ipv6_first";
        /// See above.
        InnerV6Middle = "inner_ipv6_middle";
        /// See above.
        InnerV6Last = "inner_ipv6_last";
        /// See above.
        InnerV6Atomic = "inner_ipv6_atomic";
        /// Tunnel packets whose inner packet is a tunnel packet too; only one level is read.
        Nested = "nested";
        /// Tunnel packets from or to an address that is not a known node.
        UnknownPeer = "unknown_peer";
        /// VXLAN or Geneve packets with a VNI that none of the node's devices uses.
        UnknownVni = "unknown_vni";
        /// Tunnel packets whose inner frame is not IP (ARP, for example).
        InnerNonIp = "inner_non_ip";
        /// VXLAN-GPE packets (P flag set).
        VxlanGpe = "vxlan_gpe";
    }
}

counters! {
    /// Rare events for one device and direction.
    Event, EVENTS {
        /// PTB messages: ICMPv4 type 3 code 4.
        PtbV4 = "ptb_icmpv4";
        /// PTB messages: ICMPv6 type 2.
        PtbV6 = "ptb_icmpv6";
        /// Packets of known peers whose path did not fit into the table.
        PathOverflow = "path_overflow";
        /// Packets of unknown peers that did not fit into their table.
        UnknownPeerOverflow = "unknown_peer_overflow";
        /// Malformed packets, by [`crate::packet::Malformed`] reason.
        TruncatedLink = "truncated_link";
        /// See [`crate::packet::Malformed`].
        TooManyVlans = "too_many_vlans";
        /// See [`crate::packet::Malformed`].
        TruncatedIp = "truncated_ip";
        /// See [`crate::packet::Malformed`].
        IpVersion = "ip_version";
        /// See [`crate::packet::Malformed`].
        IpHeaderLength = "ip_header_length";
        /// See [`crate::packet::Malformed`].
        IpTotalLength = "ip_total_length";
        /// See [`crate::packet::Malformed`].
        IpLengthBeyondFrame = "ip_length_beyond_frame";
        /// See [`crate::packet::Malformed`].
        TruncatedExtension = "truncated_extension";
        /// See [`crate::packet::Malformed`].
        ExtensionChain = "extension_chain";
        /// See [`crate::packet::Malformed`].
        FragmentLength = "fragment_length";
        /// See [`crate::packet::Malformed`].
        FragmentBeyond = "fragment_beyond";
        /// See [`crate::packet::Malformed`].
        FragmentTiny = "fragment_tiny";
        /// See [`crate::packet::Malformed`].
        FragmentOverlap = "fragment_overlap";
        /// See [`crate::packet::Malformed`].
        TruncatedTunnel = "truncated_tunnel";
        /// See [`crate::packet::Malformed`].
        TunnelHeader = "tunnel_header";
        /// See [`crate::packet::Malformed`].
        InnerTruncated = "inner_truncated";
        /// See [`crate::packet::Malformed`].
        InnerVersion = "inner_version";
        /// See [`crate::packet::Malformed`].
        InnerHeaderLength = "inner_header_length";
        /// See [`crate::packet::Malformed`].
        InnerLength = "inner_length";
        /// See [`crate::packet::Malformed`].
        TruncatedTransport = "truncated_transport";
        /// See [`crate::packet::Malformed`].
        NotCaptured = "not_captured";
    }
}

counters! {
    /// Counters of one path. The first [`crate::path::HOT_COUNTERS`] share a cache line with the key; most packets
    /// touch only these.
    PathCounter, PATH_COUNTERS {
        /// Packets on the wire.
        Packets = "packets";
        /// Link-layer bytes.
        WireBytes = "wire_bytes";
        /// Bytes from the outer IP header on.
        L3Bytes = "l3_bytes";
        /// L3 bytes of the innermost IP packet.
        InnerBytes = "inner_bytes";
        /// L3 size of the largest packet.
        Largest = "largest_bytes", Max;
        /// Packets whose L3 size exceeds the device's MTU.
        Oversized = "oversized";
        /// Packets sent into this path's tunnel that it would fragment.
        WouldFragment = "would_fragment";
        /// Packets sent into this path's tunnel that it would drop.
        WouldDrop = "would_drop";
        /// Outer fragments.
        OuterFirst = "outer_first";
        /// Outer fragments.
        OuterMiddle = "outer_middle";
        /// Outer fragments.
        OuterLast = "outer_last";
        /// Inner fragments.
        Inner = "inner_fragments";
        /// Bytes of headers added by fragmentation.
        FragmentationOverheadBytes = "fragmentation_overhead_bytes";
        /// PTB messages that quote a packet of this path.
        Ptb = "ptb";
        /// MTU in the last PTB message on each CPU; the largest of all CPUs.
        PtbMtu = "ptb_mtu", Max;
        /// Super-packets.
        Aggregates = "aggregates";
    }
}

/// The first malformed reason in [`Event`].
pub const FIRST_REASON: usize = Event::TruncatedLink as usize;
/// Number of malformed reasons.
pub const REASONS: usize = EVENTS - FIRST_REASON;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Malformed;

    #[test]
    fn malformed_reasons_and_events_have_the_same_order() {
        for reason in Malformed::ALL {
            let event = Event::ALL[FIRST_REASON + *reason as usize - 1];
            assert_eq!(event.label(), reason.label());
        }
        assert_eq!(Malformed::ALL.len(), REASONS);
    }

    #[test]
    fn only_sizes_are_merged_by_maximum() {
        assert_eq!(Total::Largest.merge(), Merge::Max);
        assert_eq!(Total::Packets.merge(), Merge::Sum);
    }
}
