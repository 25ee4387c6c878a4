//! Why a packet could not be parsed completely.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// Why a packet could not be parsed completely. Such a packet is counted as far as it could be
        /// parsed, and under one reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Malformed {
            /// Nothing is wrong.
            None = 0,
            $($(#[$doc])* $name,)*
        }

        impl Malformed {
            /// Every reason, in counter order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason with this number; [`Self::None`] if there is none.
            #[must_use]
            pub const fn from_index(index: u8) -> Self {
                if index == 0 || index as usize > Self::ALL.len() {
                    Self::None
                } else {
                    Self::ALL[index as usize - 1]
                }
            }

            /// The label used by every view.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { Self::None => "none", $(Self::$name => $label),* }
            }
        }
    };
}

reasons! {
    /// The frame ends inside its link-layer header.
    TruncatedLink = "truncated_link";
    /// More than [`super::ethernet::MAX_VLANS`] VLAN tags.
    TooManyVlans = "too_many_vlans";
    /// The frame ends inside the outer IP header.
    TruncatedIp = "truncated_ip";
    /// The IP version differs from the one announced by the link layer.
    IpVersion = "ip_version";
    /// An IPv4 header length below 20 bytes.
    IpHeaderLength = "ip_header_length";
    /// A total length below the header length.
    IpTotalLength = "ip_total_length";
    /// A total length beyond the end of the frame.
    IpLengthBeyondFrame = "ip_length_beyond_frame";
    /// The packet ends inside an IPv6 extension header.
    TruncatedExtension = "truncated_extension";
    /// More than [`super::ipv6::MAX_EXTENSIONS`] extension headers.
    ExtensionChain = "extension_chain";
    /// A fragment, not the last, with a payload that is not a multiple of 8 bytes (RFC 791, 8200).
    FragmentLength = "fragment_length";
    /// A fragment that would end beyond 65,535 bytes ("ping of death").
    FragmentBeyond = "fragment_beyond";
    /// A first fragment too small for the first 16 bytes of its TCP header (RFC 1858 §3).
    FragmentTiny = "fragment_tiny";
    /// A TCP fragment at offset 8, which overlaps the TCP flags (RFC 1858 §4, RFC 3128).
    FragmentOverlap = "fragment_overlap";
    /// The packet ends inside the tunnel headers.
    TruncatedTunnel = "truncated_tunnel";
    /// The tunnel header violates its specification.
    TunnelHeader = "tunnel_header";
    /// The packet ends inside the inner IP header.
    InnerTruncated = "inner_truncated";
    /// The inner IP version differs from the one announced by the tunnel.
    InnerVersion = "inner_version";
    /// The inner IPv4 header length is below 20 bytes or beyond the inner packet.
    InnerHeaderLength = "inner_header_length";
    /// The inner packet is longer than the space in the outer one.
    InnerLength = "inner_length";
    /// The packet ends inside a transport header that is needed.
    TruncatedTransport = "truncated_transport";
    /// Not malformed: the snap length of a capture cut off headers that are needed.
    NotCaptured = "not_captured";
}
