//! GRE (RFC 2784; key and sequence number: RFC 2890).

use super::carrier::{self, Carried};
use super::ethernet;
use super::headers::Gre;
use super::malformed::Malformed;
use super::parsed::Parsed;
use super::reader::Packet;
use crate::kind::Class;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const VERSION: u16 = 0x0007;

/// Reads the GRE header after the outer IP header and returns what it announces.
#[inline(always)]
pub(super) fn tunnel<P: Packet>(packet: &P, parsed: &mut Parsed) -> Carried {
    let at = u32::from(parsed.outer.payload);
    let fixed = at + size_of::<Gre>() as u32;
    let header = if fixed > parsed.outer.end() { None } else { packet.read::<Gre>(at) };
    let Some(header) = header else {
        parsed.stop(Malformed::TruncatedTunnel);
        return Carried::NOTHING;
    };
    let flags = u16::from_be(header.flags_version);
    if flags & VERSION != 0 {
        // Version 1 is PPTP (RFC 2637), which carries PPP.
        parsed.carries(Class::Gre, fixed);
        return Carried { what: carrier::NOT_IP, at: fixed };
    }
    if flags & ROUTING != 0 {
        // Source routing of RFC 1701; RFC 2784 §2.1 requires discarding it.
        parsed.stop(Malformed::TunnelHeader);
        return Carried::NOTHING;
    }
    let words =
        u32::from(flags & CHECKSUM != 0) + u32::from(flags & KEY != 0) + u32::from(flags & SEQUENCE != 0);
    let inside = fixed + words * 4;
    if inside > parsed.outer.end() {
        parsed.stop(Malformed::TruncatedTunnel);
        return Carried::NOTHING;
    }
    parsed.carries(Class::Gre, inside);
    Carried { what: ethernet::announced(header.protocol), at: inside }
}
