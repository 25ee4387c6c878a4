//! The one parser: from the bytes of a frame to what the accounting rule needs to know.
//!
//! Each header is a step that checks, reads and advances; loops are bounded by named constants; all
//! multi-byte fields are in wire order until a step converts the one that it needs.

mod carrier;
mod ethernet;
mod fast_path;
mod gre;
mod headers;
mod icmp;
mod ipv4;
mod ipv6;
mod malformed;
mod transport;
mod tunnel;
mod udp;

use crate::abi::{Config, link};
use crate::address::Address;
use crate::kind::Class;
use crate::path::VNI_NONE;

use carrier::Carrier;

pub use fast_path::{FastPacket, parse_fast};
pub use headers::{Plain, ipproto};
pub use icmp::{Ptb, Quoted, ptb};
pub use malformed::Malformed;
pub use transport::header_end;
pub use udp::WIREGUARD_AROUND;

/// Bounded reads of a packet's bytes. Offsets count from the first byte of the frame.
pub trait Packet {
    /// A copy of the header at `offset`, or `None` where it is not wholly there.
    fn read<T: Plain>(&self, offset: u32) -> Option<T>;

    /// The same for an offset that the compiler knows.
    #[inline(always)]
    fn fixed<T: Plain>(&self, offset: u32) -> Option<T> {
        self.read(offset)
    }

    /// A point where the ways that lead here become one again.
    ///
    /// In a BPF program `value` lies in a map: the compiler writes it there, and the verifier, which
    /// knows nothing of what maps hold, goes on with one state instead of one a way. Elsewhere it
    /// does nothing.
    #[inline(always)]
    fn verifier_barrier<T>(&self, _value: &mut T) {}
}

/// The first `len` bytes of a frame in a slice: captures, tests, scratch buffers.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a>(pub &'a [u8]);

impl Packet for Slice<'_> {
    #[inline(always)]
    fn read<T: Plain>(&self, offset: u32) -> Option<T> {
        let end = (offset as usize).checked_add(size_of::<T>())?;
        let bytes = self.0.get(offset as usize..end)?;
        // SAFETY: `bytes` has exactly the size of `T`, and every bit pattern is a `T: Plain`.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }
}

/// Which part of a fragmented packet this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Position {
    /// Not a fragment.
    #[default]
    Whole = 0,
    /// Offset 0, more to come.
    First = 1,
    /// Offset not 0, more to come.
    Middle = 2,
    /// Offset not 0, none to come.
    Last = 3,
    /// An IPv6 Fragment header on a whole packet (RFC 6946).
    Atomic = 4,
}

impl Position {
    #[inline(always)]
    pub(crate) const fn of(more: bool, later: bool) -> Self {
        match (later, more) {
            (false, false) => Self::Whole,
            (false, true) => Self::First,
            (true, true) => Self::Middle,
            (true, false) => Self::Last,
        }
    }

    /// The word that every view uses; `None` where it is no fragment header's.
    #[must_use]
    pub const fn label(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::First => Some("first"),
            Self::Middle => Some("middle"),
            Self::Last => Some("last"),
            Self::Atomic => Some("atomic"),
        }
    }

    /// Whether the bytes behind the IP header are not the start of the payload.
    #[inline(always)]
    #[must_use]
    pub const fn is_later(self) -> bool {
        matches!(self, Self::Middle | Self::Last)
    }

    /// Whether this is a fragment; an atomic one is not.
    #[inline(always)]
    #[must_use]
    pub const fn is_fragment(self) -> bool {
        matches!(self, Self::First | Self::Middle | Self::Last)
    }
}

/// Makes all words of a struct zero.
///
/// One by one and volatile: LLVM would make one `memset` of it, which is a loop over bytes and a call in
/// a BPF program.
#[inline(always)]
pub(crate) fn clear<T: Cleared>(value: &mut T) {
    clear_behind::<T, ()>(value);
}

/// Makes all words of a struct zero but those of its first field, a `First`.
#[inline(always)]
pub(crate) fn clear_behind<T: Cleared, First>(value: &mut T) {
    let words = (&raw mut *value).cast::<u64>();
    for i in const { size_of::<First>() / size_of::<u64>() }..const { size_of::<T>() / size_of::<u64>() } {
        // SAFETY: the struct consists of so many words, and zero is a value of each of its fields.
        unsafe { words.add(i).write_volatile(0) };
    }
}

/// Structs that consist of whole words, all of which may be zero.
///
/// # Safety
/// Size and alignment are multiples of 8, and zero is a value of every field.
pub(crate) unsafe trait Cleared {}

const _: () = assert!(size_of::<Ip>() == 16 && size_of::<Parsed>().is_multiple_of(8));
// SAFETY: aligned to 8, sizes above; integers, booleans, and enums whose first variant is 0.
unsafe impl Cleared for Ip {}
// SAFETY: as above.
unsafe impl Cleared for Parsed {}

/// What a step of the parser learnt of one IP header. Offsets count from the first byte of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Ip {
    /// Length of the whole IP packet, in bytes.
    pub length: u32,
    /// Where the header starts.
    pub start: u16,
    /// Where the payload starts, options and extension headers passed.
    pub payload: u16,
    /// Bytes that fragmentation added: the repeated header of a later fragment, IPv6's Fragment
    /// header.
    pub fragmentation_overhead: u16,
    /// 4, 6, or 0 where no IP header was read.
    pub version: u8,
    /// The protocol behind the header and its extensions.
    pub protocol: u8,
    /// Fragmentation.
    pub position: Position,
    /// Whether it must not be fragmented on the way: DF, or IPv6.
    pub dont_fragment: bool,
}

impl Ip {
    const NONE: Self = Self {
        length: 0,
        start: 0,
        payload: 0,
        fragmentation_overhead: 0,
        version: 0,
        protocol: 0,
        position: Position::Whole,
        dont_fragment: false,
    };

    /// The first byte behind the packet.
    #[inline(always)]
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.start as u32 + self.length
    }

    /// Bytes behind the header and its extensions.
    #[inline(always)]
    #[must_use]
    pub const fn payload_length(&self) -> u32 {
        self.end().saturating_sub(self.payload as u32)
    }

    /// Reads the header's source address again; `None` where no header was read.
    #[inline(always)]
    pub fn source<P: Packet>(&self, packet: &P) -> Option<Address> {
        self.address(packet, 12, 8)
    }

    /// Reads the header's destination address again; `None` where no header was read.
    #[inline(always)]
    pub fn destination<P: Packet>(&self, packet: &P) -> Option<Address> {
        self.address(packet, 16, 24)
    }

    #[inline(always)]
    fn address<P: Packet>(&self, packet: &P, v4: u32, v6: u32) -> Option<Address> {
        let start = u32::from(self.start);
        match self.version {
            4 => packet.read(start + v4).map(Address::from_v4_wire),
            6 => packet.read(start + v6).map(Address),
            _ => None,
        }
    }
}

/// What is known of a packet once it has been parsed.
///
/// Small on purpose: in a BPF program it shares a stack of 512 bytes with all the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Parsed {
    /// The outer IP header.
    pub outer: Ip,
    /// The inner IP header; `version` 0 where there is none or it was not reached.
    pub inner: Ip,
    /// VNI or [`VNI_NONE`].
    pub vni: u32,
    /// L3 bytes of the innermost IP packet, or what stands behind the tunnel headers where that is
    /// no IP packet or cannot be seen.
    pub inner_length: u32,
    /// Class by the headers alone: [`Class::External`] and UDP's later fragments need the node's
    /// tables, and [`crate::account`] decides them.
    pub class: Class,
    /// What stopped the parser, or else the first suspicious thing: a [`Malformed`] as a number,
    /// because a BPF program's verifier knows nothing of enums when it is used as an index.
    pub malformed: u8,
    /// An ICMP PTB message starts here; 0 where there is none.
    pub ptb_at: u16,
    /// The PTB message is the inner packet's.
    pub ptb_inner: bool,
    /// The inner packet is itself a tunnel packet.
    pub nested: bool,
    /// The inner frame is not IP.
    pub inner_non_ip: bool,
    /// VXLAN in the generic protocol extension's form.
    pub gpe: bool,
    /// A later fragment of UDP: which tunnel it belongs to only its addresses tell.
    pub udp_later_fragment: bool,
}

impl Parsed {
    /// Nothing found yet.
    pub const NOTHING: Self = Self::new(Class::None);

    #[inline(always)]
    const fn new(class: Class) -> Self {
        Self {
            outer: Ip::NONE,
            inner: Ip::NONE,
            vni: VNI_NONE,
            inner_length: 0,
            class,
            malformed: Malformed::None as u8,
            ptb_at: 0,
            ptb_inner: false,
            nested: false,
            inner_non_ip: false,
            gpe: false,
            udp_later_fragment: false,
        }
    }

    #[inline(always)]
    const fn unusable(&mut self, reason: Malformed) {
        self.class = Class::Malformed;
        self.malformed = reason as u8;
    }

    /// What stopped the parser, or else the first suspicious thing.
    #[must_use]
    pub const fn reason(&self) -> Malformed {
        Malformed::from_index(self.malformed)
    }

    /// Notes what keeps the parser from reading on. It outranks what was only suspicious before, because
    /// where bytes could not be read they may be had elsewhere ([`crate::account::ran_out`]).
    #[inline(always)]
    const fn stop(&mut self, reason: Malformed) {
        self.malformed = reason as u8;
    }

    /// Notes the first suspicious thing.
    #[inline(always)]
    const fn flag(&mut self, reason: Malformed) {
        if self.malformed == Malformed::None as u8 {
            self.malformed = reason as u8;
        }
    }
}

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its length on the link (of the skb; of the original frame in a capture), from the byte that
    /// offsets count from.
    pub length: u32,
    /// Segments, at least 1; 0 where only `gso_size` is known.
    pub gso_segs: u32,
    /// Payload bytes of each segment, 0 where the frame is one segment.
    pub gso_size: u32,
    /// A VLAN tag that the kernel keeps beside the data (4 bytes on the wire).
    pub tag_beside: bool,
    /// Length fields of 0 are to be believed (BIG TCP super-packets): the frame's length counts.
    pub zero_length_is_big: bool,
}

impl Frame {
    /// Bytes of a VLAN tag.
    const TAG: u32 = 4;

    /// Link-layer bytes, a tag beside the data included.
    #[inline(always)]
    #[must_use]
    pub const fn wire(&self) -> u32 {
        self.length + self.tag()
    }

    /// Bytes of the tag beside the data.
    #[inline(always)]
    #[must_use]
    pub const fn tag(&self) -> u32 {
        if self.tag_beside { Self::TAG } else { 0 }
    }
}

/// The length that the IP header at the first byte gives, at most `most` bytes.
#[inline(always)]
pub fn ip_length<P: Packet>(packet: &P, most: u32) -> u32 {
    let Some(word) = packet.read::<[u16; 4]>(0) else { return most };
    let length = match word[0].to_ne_bytes()[0] >> 4 {
        4 => u32::from(u16::from_be(word[1])),
        6 => u32::from(u16::from_be(word[2])) + size_of::<headers::Ipv6>() as u32,
        _ => most,
    };
    if length < most { length } else { most }
}

/// Parses a frame into `parsed`, which holds [`Parsed::NOTHING`].
///
/// `link` is one of [`crate::abi::link`]; [`link::NETWORK_HEADER`] is parsed like [`link::IP`], as
/// the caller hands over the bytes from the network header on.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, frame: &Frame, link: u8, config: &Config, parsed: &mut Parsed) {
    let (start, version) = if link == link::ETHERNET {
        match ethernet::parse(packet, 0) {
            Ok(found) => found,
            Err(reason) => return parsed.unusable(reason),
        }
    } else {
        match packet.read::<u8>(0) {
            None => return parsed.unusable(Malformed::TruncatedIp),
            // 0 is a version like any other that is none, not the link layer's word for "not IP".
            Some(first) if first >> 4 == ethernet::NOT_IP => return parsed.unusable(Malformed::IpVersion),
            Some(first) => (0, first >> 4),
        }
    };
    let carrier = Carrier {
        available: frame.length.saturating_sub(start),
        cut: false,
        zero_is_big: frame.zero_length_is_big,
    };
    let header = match version {
        4 => ipv4::header(packet, start, carrier, &carrier::OUTER, &mut parsed.outer),
        6 => ipv6::header(packet, start, carrier, &carrier::OUTER, &mut parsed.outer),
        ethernet::NOT_IP => {
            parsed.class = Class::NonIp;
            return;
        }
        _ => return parsed.unusable(Malformed::IpVersion),
    };
    match header {
        Err(reason) => return parsed.unusable(reason),
        Ok(wrong) => parsed.malformed = wrong as u8,
    }
    packet.verifier_barrier(parsed);
    tunnel::behind(packet, frame, parsed, config);
}
