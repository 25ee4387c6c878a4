//! Why a packet could not be parsed to its end.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// Why a packet could not be parsed to its end. A packet with a reason is counted as far as
        /// it was understood, and its reason once.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Malformed {
            /// Nothing is wrong.
            None = 0,
            $($(#[$doc])* $name,)*
        }

        impl Malformed {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason of that number; [`Self::None`] for a number that none has.
            #[must_use]
            pub const fn from_index(index: u8) -> Self {
                if index == 0 || index as usize > Self::ALL.len() {
                    Self::None
                } else {
                    Self::ALL[index as usize - 1]
                }
            }

            /// The word that every view uses.
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
    /// The version field is not the one that the link layer announced.
    IpVersion = "ip_version";
    /// An IPv4 header length below 20 bytes.
    IpHeaderLength = "ip_header_length";
    /// A total length below the header's.
    IpTotalLength = "ip_total_length";
    /// A total length beyond the end of the frame.
    IpLengthBeyondFrame = "ip_length_beyond_frame";
    /// The packet ends inside an IPv6 extension header.
    TruncatedExtension = "truncated_extension";
    /// More than [`super::ipv6::MAX_EXTENSIONS`] extension headers.
    ExtensionChain = "extension_chain";
    /// A fragment that is not the last and whose payload is no multiple of 8 bytes (RFC 791, 8200).
    FragmentLength = "fragment_length";
    /// A fragment that would end beyond 65,535 bytes ("ping of death").
    FragmentBeyond = "fragment_beyond";
    /// A first fragment too small for its TCP header's first 16 bytes (RFC 1858 §3).
    FragmentTiny = "fragment_tiny";
    /// A TCP fragment at offset 8, which overlaps the header's flags (RFC 1858 §4, RFC 3128).
    FragmentOverlap = "fragment_overlap";
    /// The packet ends inside the tunnel's own headers.
    TruncatedTunnel = "truncated_tunnel";
    /// The tunnel's header contradicts its specification.
    TunnelHeader = "tunnel_header";
    /// The packet ends inside the inner IP header.
    InnerTruncated = "inner_truncated";
    /// The inner packet's version is not the one that the tunnel announced.
    InnerVersion = "inner_version";
    /// The inner IPv4 header length is below 20 bytes or beyond the inner packet.
    InnerHeaderLength = "inner_header_length";
    /// The inner packet claims to be longer than what carries it.
    InnerLength = "inner_length";
    /// A super-packet that ends inside the transport header that its segments repeat.
    TruncatedTransport = "truncated_transport";
    /// Not the packet's fault: a capture's snap length cut off the headers that were needed.
    NotCaptured = "not_captured";
}
