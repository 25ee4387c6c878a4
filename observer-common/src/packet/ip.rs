//! The fields of an IP header that the accounting rule needs.

use super::clear::Cleared;
use super::reader::Packet;
use crate::address::Address;

/// Which part of a fragmented packet this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Position {
    /// Not a fragment.
    #[default]
    Whole = 0,
    /// Offset 0, more fragments follow.
    First = 1,
    /// Offset not 0, more fragments follow.
    Middle = 2,
    /// Offset not 0, no more fragments.
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

    /// The label used by every view; `None` for unfragmented packets.
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

    /// Whether this is a fragment that does not contain the start of the payload.
    #[inline(always)]
    #[must_use]
    pub const fn is_later(self) -> bool {
        matches!(self, Self::Middle | Self::Last)
    }

    /// Whether this is a fragment. Atomic fragments do not count.
    #[inline(always)]
    #[must_use]
    pub const fn is_fragment(self) -> bool {
        matches!(self, Self::First | Self::Middle | Self::Last)
    }
}

/// One IP header. Offsets are from the first byte of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Ip {
    /// Length of the IP packet, in bytes.
    pub length: u32,
    /// Offset of the header.
    pub start: u16,
    /// Offset of the payload, after options and extension headers.
    pub payload: u16,
    /// Bytes added by fragmentation: the repeated header of a later fragment, the IPv6 Fragment header.
    pub fragmentation_overhead: u16,
    /// 4, 6, or 0 if no IP header was read.
    pub version: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Position of a fragment.
    pub position: Position,
    /// Must not be fragmented by routers: DF is set, or IPv6.
    pub dont_fragment: bool,
}

impl Ip {
    pub(super) const NONE: Self = Self {
        length: 0,
        start: 0,
        payload: 0,
        fragmentation_overhead: 0,
        version: 0,
        protocol: 0,
        position: Position::Whole,
        dont_fragment: false,
    };

    /// Offset of the first byte after the packet.
    #[inline(always)]
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.start as u32 + self.length
    }

    /// Length of the payload, in bytes.
    #[inline(always)]
    #[must_use]
    pub const fn payload_length(&self) -> u32 {
        self.end().saturating_sub(self.payload as u32)
    }

    /// Reads the source address from the packet; `None` if there is no header.
    #[inline(always)]
    pub fn source<P: Packet>(&self, packet: &P) -> Option<Address> {
        self.address(packet, 12, 8)
    }

    /// Reads the destination address from the packet; `None` if there is no header.
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

const _: () = assert!(size_of::<Ip>() == 16);
// SAFETY: aligned to 8, size above; integers, a boolean, and an enum whose first variant is 0.
unsafe impl Cleared for Ip {}
