//! The result of parsing a frame.

use super::clear::Cleared;
use super::ip::Ip;
use super::malformed::Malformed;
use crate::kind::Class;
use crate::path::VNI_NONE;

/// The result of parsing a packet. Kept small for the programs that have it on their 512-byte stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Parsed {
    /// The outer IP header.
    pub outer: Ip,
    /// The inner IP header; `version` is 0 if there is none or it was not reached.
    pub inner: Ip,
    /// VNI or [`VNI_NONE`].
    pub vni: u32,
    /// L3 bytes of the innermost IP packet. If it is not IP or cannot be read, bytes after the tunnel
    /// headers.
    pub inner_length: u32,
    /// Class by the headers alone. [`crate::account`] replaces it for external traffic and later UDP
    /// fragments, which need the node's tables.
    pub class: Class,
    /// What stopped the parser, or else the first suspicious property. A [`Malformed`] as a number, because
    /// it is used as an index and the verifier does not know the range of enums.
    pub malformed: u8,
    /// Offset of a PTB message; 0 if there is none.
    pub ptb_at: u16,
    /// The PTB message is in the inner packet.
    pub ptb_inner: bool,
    /// The inner packet is a tunnel packet too.
    pub nested: bool,
    /// The inner frame is not IP.
    pub inner_non_ip: bool,
    /// VXLAN-GPE.
    pub gpe: bool,
    /// A later UDP fragment, which can be attributed to a tunnel only by its addresses.
    pub udp_later_fragment: bool,
}

impl Parsed {
    /// Nothing parsed yet.
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
    pub(super) const fn unusable(&mut self, reason: Malformed) {
        self.class = Class::Malformed;
        self.malformed = reason as u8;
    }

    /// What stopped the parser, or else the first suspicious property.
    #[must_use]
    pub const fn reason(&self) -> Malformed {
        Malformed::from_index(self.malformed)
    }

    /// Records what stopped the parser. It replaces a suspicious property, because missing bytes may be
    /// available elsewhere ([`crate::account::ran_out`]).
    #[inline(always)]
    pub(super) const fn stop(&mut self, reason: Malformed) {
        self.malformed = reason as u8;
    }

    /// Records a suspicious property, unless there is one already.
    #[inline(always)]
    pub(super) const fn flag(&mut self, reason: Malformed) {
        if self.malformed == Malformed::None as u8 {
            self.malformed = reason as u8;
        }
    }
}

const _: () = assert!(size_of::<Parsed>().is_multiple_of(8));
// SAFETY: aligned to 8, size above; integers, booleans, and enums whose first variant is 0.
unsafe impl Cleared for Parsed {}
