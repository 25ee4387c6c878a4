//! Ethernet, 802.1Q and QinQ, outer and inner.

use network_types::eth::EtherType;

use super::carrier;
use super::headers::{Ethernet, Vlan};
use super::malformed::Malformed;
use super::reader::Packet;

/// Maximum VLAN tags; more make a frame malformed. Linux itself nests two.
pub const MAX_VLANS: u32 = 2;
/// Used instead of an IP version if the payload is not IP.
pub const NOT_IP: u8 = 0;

const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;
const DOT1Q: u16 = EtherType::Ieee8021q as u16;
const DOT1AD: u16 = EtherType::Ieee8021ad as u16;
/// Transparent Ethernet bridging (RFC 8926 §3.4).
const BRIDGING: u16 = 0x6558_u16.to_be();
/// QinQ before 802.1ad.
const QINQ: u16 = 0x9100_u16.to_be();

const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, DOT1Q | DOT1AD | QINQ)
}

/// The payload kind for an Ethertype in a tunnel header.
#[inline(always)]
pub(super) const fn announced(ethertype: u16) -> u8 {
    match ethertype {
        IPV4 => carrier::IPV4,
        IPV6 => carrier::IPV6,
        BRIDGING => carrier::ETHERNET,
        _ => carrier::NOT_IP,
    }
}

/// The IP version for an Ethertype, or [`NOT_IP`].
#[inline(always)]
pub const fn ip_version(ethertype: u16) -> u8 {
    match ethertype {
        IPV4 => 4,
        IPV6 => 6,
        _ => NOT_IP,
    }
}

/// Skips the Ethernet header at `at` and its VLAN tags. Returns the offset of the next header and its IP
/// version.
///
/// # Errors
/// [`Malformed::TruncatedLink`] or [`Malformed::TooManyVlans`].
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, at: u32) -> Result<(u32, u8), Malformed> {
    let header: Ethernet = packet.read(at).ok_or(Malformed::TruncatedLink)?;
    let mut next = at + size_of::<Ethernet>() as u32;
    let mut ethertype = header.ethertype;
    if is_vlan(ethertype) {
        for _ in 0..MAX_VLANS {
            let tag: Vlan = packet.read(next).ok_or(Malformed::TruncatedLink)?;
            next += size_of::<Vlan>() as u32;
            ethertype = tag.ethertype;
            if !is_vlan(ethertype) {
                break;
            }
        }
        if is_vlan(ethertype) {
            return Err(Malformed::TooManyVlans);
        }
    }
    Ok((next, ip_version(ethertype)))
}
