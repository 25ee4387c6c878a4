//! The counters, once for all: their index in the kernel's arrays, their label in every view, and how
//! the values of several CPUs become one.

/// How the values of several CPUs (or of several sources) become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// They are added.
    Sum,
    /// The largest counts.
    Max,
}

impl Merge {
    /// Adds one more value.
    pub const fn add(self, sum: &mut u64, value: u64) {
        match self {
            Self::Sum => *sum += value,
            Self::Max if value > *sum => *sum = value,
            Self::Max => {}
        }
    }

    /// What was added since `earlier`; a maximum stays as it is.
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

        /// How many counters the set has.
        pub const $len: usize = [$( $set::$name ),*].len();

        impl $set {
            /// Every counter, in the order of the indices.
            pub const ALL: [Self; $len] = [$( Self::$name ),*];

            /// The word that every view uses.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $( Self::$name => $label ),* }
            }

            /// How the values of several CPUs become one.
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
    /// Totals of one device, direction and [`crate::kind::Class`].
    ///
    /// The first eight share the one cache line that every packet touches.
    Total, TOTALS {
        /// Packets on the wire: segments, not super-packets.
        Packets = "packets";
        /// Link-layer bytes of those packets.
        WireBytes = "wire_bytes";
        /// Bytes from the outer IP header on.
        L3Bytes = "l3_bytes";
        /// L3 bytes of the innermost IP packet. Overhead bytes are `l3_bytes` − `inner_bytes`.
        InnerBytes = "inner_bytes";
        /// Super-packets (skbs of more than one segment); their segments are in `packets`.
        Aggregates = "aggregates";
        /// Packets whose L3 size exceeds the device's MTU.
        Oversized = "oversized";
        /// Packets that leave through this tunnel device and exceed the underlay's MTU with its
        /// overhead, DF clear.
        WouldFragment = "would_fragment";
        /// The same with DF set (or IPv6).
        WouldDrop = "would_drop";
        /// Bytes of headers that exist only because packets were fragmented.
        FragmentationOverheadBytes = "fragmentation_overhead_bytes";
        /// The largest packet's L3 size.
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
        /// Tunnel packets whose inner packet is itself a tunnel packet; only one level is read.
        Nested = "nested";
        /// Tunnel packets from or to an address that is no known node.
        UnknownPeer = "unknown_peer";
        /// VXLAN or Geneve packets with a VNI that none of the node's devices uses.
        UnknownVni = "unknown_vni";
        /// Tunnel packets whose inner frame is not IP (ARP, for example).
        InnerNonIp = "inner_non_ip";
        /// VXLAN packets in the generic protocol extension's form (the P flag).
        VxlanGpe = "vxlan_gpe";
    }
}

counters! {
    /// Rare events of one device and direction.
    Event, EVENTS {
        /// ICMPv4 type 3 code 4.
        PtbV4 = "ptb_icmpv4";
        /// ICMPv6 type 2.
        PtbV6 = "ptb_icmpv6";
        /// Packets of known peers whose path found no room in the table.
        PathOverflow = "path_overflow";
        /// Packets of unknown tunnel senders that found no room in the table of unknown peers.
        UnknownPeerOverflow = "unknown_peer_overflow";
        /// Malformed packets, by the reason that [`crate::packet::Malformed`] numbers.
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
    /// Counters of one path. The first [`crate::path::HOT_COUNTERS`] share a cache line with the key, and are all that
    /// most packets touch.
    PathCounter, PATH_COUNTERS {
        /// Packets on the wire.
        Packets = "packets";
        /// Link-layer bytes.
        WireBytes = "wire_bytes";
        /// Bytes from the outer IP header on.
        L3Bytes = "l3_bytes";
        /// L3 bytes of the innermost IP packet.
        InnerBytes = "inner_bytes";
        /// The largest packet's L3 size.
        Largest = "largest_bytes", Max;
        /// Packets whose L3 size exceeds the device's MTU.
        Oversized = "oversized";
        /// Packets on their way into this path's tunnel that would be fragmented by it.
        WouldFragment = "would_fragment";
        /// Packets on their way into this path's tunnel that would be dropped by it.
        WouldDrop = "would_drop";
        /// Outer fragments.
        OuterFirst = "outer_first";
        /// Outer fragments.
        OuterMiddle = "outer_middle";
        /// Outer fragments.
        OuterLast = "outer_last";
        /// Fragments of the inner packets.
        Inner = "inner_fragments";
        /// Bytes of headers that exist only because packets were fragmented.
        FragmentationOverheadBytes = "fragmentation_overhead_bytes";
        /// PTB messages that quote a packet of this path.
        Ptb = "ptb";
        /// The MTU of the last of them on each CPU; of several CPUs the largest.
        PtbMtu = "ptb_mtu", Max;
        /// Super-packets.
        Aggregates = "aggregates";
    }
}

/// The first counter of the malformed reasons in [`Event`].
pub const FIRST_REASON: usize = Event::TruncatedLink as usize;
/// How many malformed reasons there are.
pub const REASONS: usize = EVENTS - FIRST_REASON;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Malformed;

    #[test]
    fn reasons_and_events_have_the_same_order() {
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
