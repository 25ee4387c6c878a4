//! The entry point of the parser.

use super::carrier::{self, Carrier};
use super::frame::Frame;
use super::headers::Ipv6;
use super::malformed::Malformed;
use super::parsed::Parsed;
use super::reader::Packet;
use super::{ethernet, ipv4, ipv6, tunnel};
use crate::abi::{Config, link};
use crate::kind::Class;

/// The length in the IP header at the first byte, at most `most` bytes.
#[inline(always)]
pub fn ip_length<P: Packet>(packet: &P, most: u32) -> u32 {
    let Some(word) = packet.read::<[u16; 4]>(0) else { return most };
    let length = match word[0].to_ne_bytes()[0] >> 4 {
        4 => u32::from(u16::from_be(word[1])),
        6 => u32::from(u16::from_be(word[2])) + size_of::<Ipv6>() as u32,
        _ => most,
    };
    if length < most { length } else { most }
}

/// Parses a frame into `parsed`, which must be [`Parsed::NOTHING`].
///
/// `link` is one of [`crate::abi::link`]. [`link::NETWORK_HEADER`] is parsed like [`link::IP`]: the caller
/// passes the bytes from the network header on.
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
            // Version 0 is invalid; it must not be taken for the constant.
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
    tunnel::after_outer(packet, frame, parsed, config);
}
