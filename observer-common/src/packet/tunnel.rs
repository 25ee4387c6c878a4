//! What follows the outer IP header: a tunnel and its inner packet, a PTB message, or anything else.
//!
//! The functions for each tunnel only return what they carry and where ([`Carried`]). The inner headers are
//! read in one place, so that the programs contain that code once.

use super::carrier::{self, Carried, Carrier, INNER};
use super::clear::clear;
use super::frame::Frame;
use super::headers::ipproto;
use super::ip::Position;
use super::malformed::Malformed;
use super::parsed::Parsed;
use super::reader::Packet;
use super::{ethernet, gre, icmp, ipv4, ipv6, udp};
use crate::abi::Config;
use crate::kind::Class;

impl Parsed {
    /// Marks a tunnel packet whose payload starts at `at`.
    #[inline(always)]
    pub(super) const fn carries(&mut self, class: Class, at: u32) {
        self.class = class;
        self.inner_length = self.outer.end().saturating_sub(at);
    }
}

/// Parses what follows the outer header.
#[inline(always)]
pub(super) fn after_outer<P: Packet>(packet: &P, frame: &Frame, parsed: &mut Parsed, config: &Config) {
    parsed.inner_length = parsed.outer.length;
    if parsed.outer.protocol == ipproto::TCP {
        return;
    }
    let mut carried = announced(packet, parsed, config);
    if carried.what == carrier::NOTHING {
        return;
    }
    if carried.what == carrier::ETHERNET {
        match ethernet::parse(packet, carried.at) {
            Err(Malformed::TruncatedLink) => return parsed.stop(Malformed::InnerTruncated),
            Err(reason) => return parsed.stop(reason),
            // The header is in the padding after the packet.
            Ok((at, _)) if at > parsed.outer.end() => return parsed.stop(Malformed::InnerTruncated),
            Ok((at, version)) => {
                carried.at = at;
                carried.what = if version == ethernet::NOT_IP { carrier::NOT_IP } else { version };
            }
        }
        parsed.inner_length = parsed.outer.end().saturating_sub(carried.at);
    }
    packet.verifier_barrier(parsed);
    if carried.what == carrier::NOT_IP {
        parsed.inner_non_ip = true;
    } else {
        inner(packet, frame, parsed, carried, config);
    }
}

/// The payload that the outer headers announce.
#[inline(always)]
fn announced<P: Packet>(packet: &P, parsed: &mut Parsed, config: &Config) -> Carried {
    let outer = parsed.outer;
    let at = u32::from(outer.payload);
    let later = outer.position.is_later();
    match outer.protocol {
        ipproto::UDP if later => parsed.udp_later_fragment = true,
        ipproto::UDP => return udp::tunnel(packet, parsed, config),
        ipproto::IPV4 => {
            parsed.carries(if outer.version == 4 { Class::Ipip } else { Class::Ip4In6 }, at);
            if !later {
                return Carried { what: carrier::IPV4, at };
            }
        }
        ipproto::IPV6 => {
            parsed.carries(if outer.version == 4 { Class::Ip6In4 } else { Class::Ip6In6 }, at);
            if !later {
                return Carried { what: carrier::IPV6, at };
            }
        }
        ipproto::GRE => {
            parsed.carries(Class::Gre, at);
            if !later {
                return gre::tunnel(packet, parsed);
            }
        }
        ipproto::ICMP | ipproto::ICMPV6 if !later => {
            match icmp::is_ptb(packet, at, outer.end(), outer.protocol) {
                None => parsed.stop(Malformed::TruncatedTransport),
                Some(true) => parsed.ptb_at = outer.payload,
                Some(false) => {}
            }
        }
        _ => {}
    }
    Carried::NOTHING
}

/// Reads the inner IP packet, whose version the tunnel announced.
#[inline(always)]
fn inner<P: Packet>(packet: &P, frame: &Frame, parsed: &mut Parsed, carried: Carried, config: &Config) {
    let carrier = Carrier {
        available: parsed.outer.end().saturating_sub(carried.at),
        cut: parsed.outer.position == Position::First,
        zero_is_big: frame.zero_length_is_big,
    };
    // Padding after the outer packet must not be taken for an inner header.
    let v4 = carried.what == carrier::IPV4;
    if carrier.available < if v4 { 20 } else { 40 } {
        return parsed.stop(Malformed::InnerTruncated);
    }
    let header = if v4 {
        ipv4::header(packet, carried.at, carrier, &INNER, &mut parsed.inner)
    } else {
        ipv6::header(packet, carried.at, carrier, &INNER, &mut parsed.inner)
    };
    match header {
        Ok(suspicious) => parsed.flag(suspicious),
        Err(reason) => parsed.stop(reason),
    }
    // If a first fragment ends inside the inner headers, they were read from beyond its end.
    if carrier.cut && u32::from(parsed.inner.payload) > parsed.outer.end() {
        clear(&mut parsed.inner);
        parsed.stop(Malformed::InnerTruncated);
    }
    packet.verifier_barrier(parsed);
    let inner = parsed.inner;
    if inner.version == 0 {
        return;
    }
    parsed.inner_length = if carrier.cut { carrier.available } else { inner.length };
    if inner.protocol == ipproto::TCP || inner.position.is_later() {
        return;
    }
    let at = u32::from(inner.payload);
    let end = if carrier.cut { parsed.outer.end() } else { inner.end() };
    match inner.protocol {
        ipproto::IPV4 | ipproto::IPV6 | ipproto::GRE => parsed.nested = true,
        ipproto::UDP => match udp::is_tunnel(packet, at, end, config) {
            None => parsed.stop(Malformed::TruncatedTransport),
            Some(nested) => parsed.nested = nested,
        },
        ipproto::ICMP | ipproto::ICMPV6 => match icmp::is_ptb(packet, at, end, inner.protocol) {
            None => parsed.stop(Malformed::TruncatedTransport),
            Some(true) => {
                parsed.ptb_at = inner.payload;
                parsed.ptb_inner = true;
            }
            Some(false) => {}
        },
        _ => {}
    }
}
