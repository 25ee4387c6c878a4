//! Protocol headers: plain integers in network byte order, naturally aligned, without enums.

/// Structs for which any bytes are a valid value.
///
/// # Safety
/// Implementers are `Copy`, `repr(C)`, have no padding and no invalid bit pattern.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($name:ty, $size:literal;)*) => { $(
        const _: () = assert!(size_of::<$name>() == $size);
        // SAFETY: integers only, repr(C), and the size above leaves no room for padding.
        unsafe impl Plain for $name {}
    )* };
}

/// Protocol numbers, named as in the IANA registry.
pub mod ipproto {
    use network_types::ip::IpProto;
    #[expect(missing_docs, reason = "the IANA registry is their documentation")]
    mod numbers {
        use super::IpProto;
        pub const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
        pub const ICMP: u8 = IpProto::Icmp as u8;
        pub const IPV4: u8 = IpProto::Ipv4 as u8;
        pub const TCP: u8 = IpProto::Tcp as u8;
        pub const UDP: u8 = IpProto::Udp as u8;
        pub const IPV6: u8 = IpProto::Ipv6 as u8;
        pub const ROUTING: u8 = IpProto::Ipv6Route as u8;
        pub const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;
        pub const GRE: u8 = IpProto::Gre as u8;
        pub const AH: u8 = IpProto::Ah as u8;
        pub const ICMPV6: u8 = IpProto::Ipv6Icmp as u8;
        pub const DESTINATION_OPTIONS: u8 = IpProto::Ipv6Opts as u8;
        pub const SCTP: u8 = IpProto::Sctp as u8;
        pub const MOBILITY: u8 = IpProto::MobilityHeader as u8;
        pub const HIP: u8 = 139;
        pub const SHIM6: u8 = 140;
    }
    pub use numbers::*;
}

/// Ethernet II.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ethernet {
    pub destination: [u16; 3],
    pub source: [u16; 3],
    pub ethertype: u16,
}

/// The rest of a VLAN tag after an Ethertype of 802.1Q or 802.1ad.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Vlan {
    pub tci: u16,
    pub ethertype: u16,
}

/// RFC 791.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ipv4 {
    pub version_ihl: u8,
    pub tos: u8,
    pub total_length: u16,
    pub id: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: u16,
    pub source: u32,
    pub destination: u32,
}

/// RFC 8200.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ipv6 {
    pub version_class_flow: u32,
    pub payload_length: u16,
    pub next_header: u8,
    pub hop_limit: u8,
    pub source: [u32; 4],
    pub destination: [u32; 4],
}

/// The first eight bytes of any IPv6 extension header. A Fragment header is exactly this long.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Extension {
    pub next_header: u8,
    /// In units of 8 bytes (AH: 4 bytes), not counting the first 8 bytes.
    pub length: u8,
    /// Fragment header: offset in units of 8 bytes, two reserved bits, M.
    pub fragment: u16,
    pub id: u32,
}

/// RFC 768.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Udp {
    pub source: u16,
    pub destination: u16,
    pub length: u16,
    pub checksum: u16,
}

/// RFC 7348; VXLAN-GPE uses some of the reserved bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Vxlan {
    pub flags: u8,
    pub reserved: [u8; 2],
    pub next_protocol: u8,
    /// VNI in the upper 24 bits.
    pub vni: u32,
}

/// RFC 8926.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Geneve {
    pub version_options: u8,
    pub flags: u8,
    pub protocol: u16,
    /// VNI in the upper 24 bits.
    pub vni: u32,
}

/// RFC 2784 and 2890.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Gre {
    pub flags_version: u16,
    pub protocol: u16,
}

/// ICMPv4 and ICMPv6. In PTB messages the second word has the MTU (v4: in its lower half).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub checksum: u16,
    pub word: u32,
}

// SAFETY: bytes have no padding and no invalid values.
unsafe impl<const N: usize> Plain for [u8; N] {}

plain! {
    u8, 1;
    u32, 4;
    [u16; 4], 8;
    [u32; 2], 8;
    [u32; 4], 16;
    Ethernet, 14;
    Vlan, 4;
    Ipv4, 20;
    Ipv6, 40;
    Extension, 8;
    Udp, 8;
    Vxlan, 8;
    Geneve, 8;
    Gre, 4;
    Icmp, 8;
}
