//! Compares the parser with etherparse on packets that etherparse considers valid.
#![no_main]

use etherparse::{Ipv6ExtensionSlice, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket};
use libfuzzer_sys::fuzz_target;
use observer_common::abi::{Config, link};
use observer_common::kind::Class;
use observer_common::packet::{Frame, Ip, Malformed, Parsed, Position, Slice, parse};

/// An IP header as parsed by etherparse, in Observer's terms.
#[derive(Debug)]
struct Theirs<'a> {
    version: u8,
    start: u16,
    length: u32,
    /// `None` if only one of the parsers skips the headers before it.
    payload: Option<(u8, &'a [u8])>,
    position: Option<Position>,
    dont_fragment: bool,
    /// Extension headers.
    extensions: u32,
}

fn offset(base: &[u8], part: &[u8]) -> u16 {
    (part.as_ptr() as usize - base.as_ptr() as usize) as u16
}

fn position(later: bool, more: bool) -> Position {
    match (later, more) {
        (false, false) => Position::Whole,
        (false, true) => Position::First,
        (true, true) => Position::Middle,
        (true, false) => Position::Last,
    }
}

/// The IP header of a packet that etherparse considers valid up to that header.
fn theirs<'a>(base: &[u8], packet: &LaxSlicedPacket<'a>) -> Option<Theirs<'a>> {
    use etherparse::err::Layer;
    match packet.stop_err.as_ref().map(|(_, layer)| *layer) {
        None
        | Some(Layer::UdpHeader | Layer::UdpPayload | Layer::TcpHeader | Layer::Icmpv4 | Layer::Icmpv6) => {}
        Some(_) => return None,
    }
    match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let (header, body) = (ip.header(), ip.payload());
            // With a wrong total length, etherparse continues with the available bytes.
            if body.incomplete || usize::from(header.total_len()) < header.slice().len() {
                return None;
            }
            let later = header.fragments_offset().value() != 0;
            let passed = ip.extensions().auth.is_some();
            Some(Theirs {
                version: 4,
                start: offset(base, header.slice()),
                length: header.total_len().into(),
                payload: (!passed).then_some((header.protocol().0, body.payload)),
                position: Some(position(later, header.more_fragments())),
                dont_fragment: header.dont_fragment(),
                extensions: 0,
            })
        }
        LaxNetSlice::Ipv6(ip) => {
            let (header, body) = (ip.header(), ip.payload());
            // etherparse takes a length of 0 for everything available.
            if body.incomplete || header.payload_length() == 0 {
                return None;
            }
            let all: Vec<_> = ip.extensions().clone().into_iter().collect();
            let fragments: Vec<_> = all
                .iter()
                .filter_map(|header| match header {
                    Ipv6ExtensionSlice::Fragment(fragment) => {
                        Some((fragment.fragment_offset().value() != 0, fragment.more_fragments()))
                    }
                    _ => None,
                })
                .collect();
            // etherparse continues after the Fragment header of a later fragment.
            let later = fragments.iter().any(|(later, _)| *later);
            let unknown = matches!(body.ip_number.0, 135 | 139 | 140);
            let position = match fragments[..] {
                [] => Some(Position::Whole),
                [(false, false)] => Some(Position::Atomic),
                [(later, more)] => Some(position(later, more)),
                _ => None,
            };
            Some(Theirs {
                version: 6,
                start: offset(base, header.slice()),
                length: 40 + u32::from(header.payload_length()),
                payload: (!later && !unknown).then_some((body.ip_number.0, body.payload)),
                position: if unknown { None } else { position },
                dont_fragment: true,
                extensions: if unknown { u32::MAX } else { all.len() as u32 },
            })
        }
        LaxNetSlice::Arp(_) => None,
    }
}

/// Whether the Ethertype matches the IP version. etherparse only checks the version field; the kernel and our parser
/// check the Ethertype first.
fn announced(base: &[u8], ip: &Theirs<'_>) -> bool {
    let start = usize::from(ip.start);
    base[start - 2..start] == if ip.version == 4 { [0x08, 0x00] } else { [0x86, 0xdd] }
}

fn same(base: &[u8], ours: &Ip, theirs: &Theirs<'_>) {
    assert_eq!(ours.version, theirs.version, "{ours:?} {theirs:?}");
    assert_eq!(ours.start, theirs.start, "{ours:?} {theirs:?}");
    assert_eq!(ours.length, theirs.length, "{ours:?} {theirs:?}");
    assert_eq!(ours.dont_fragment, theirs.dont_fragment, "{ours:?} {theirs:?}");
    if let Some(position) = theirs.position {
        assert_eq!(ours.position, position, "{ours:?} {theirs:?}");
    }
    if let Some((protocol, payload)) = theirs.payload {
        assert_eq!(ours.protocol, protocol, "{ours:?} {theirs:?}");
        assert_eq!(ours.payload, offset(base, payload), "{ours:?} {theirs:?}");
        assert_eq!(ours.payload_length() as usize, payload.len(), "{ours:?} {theirs:?}");
    }
}

/// The payload of a tunnel packet as parsed by etherparse.
fn carried<'a>(base: &'a [u8], ours: &Parsed, outer: &Theirs<'a>) -> Option<LaxSlicedPacket<'a>> {
    let (protocol, payload) = outer.payload?;
    if outer.position != Some(Position::Whole) {
        return None;
    }
    let _ = base;
    match (ours.class, protocol) {
        (Class::Ipip | Class::Ip4In6, 4) if payload.first()? >> 4 == 4 => {
            LaxSlicedPacket::from_ip(payload).ok()
        }
        (Class::Ip6In4 | Class::Ip6In6, 41) if payload.first()? >> 4 == 6 => {
            LaxSlicedPacket::from_ip(payload).ok()
        }
        (Class::Vxlan, 17) if payload.len() > 16 && payload[8] & 0x0c == 0x08 => {
            assert_eq!(payload[2..4], 4789_u16.to_be_bytes());
            assert_eq!(ours.vni.to_be_bytes()[1..], payload[12..15]);
            LaxSlicedPacket::from_ethernet(&payload[16..]).ok()
        }
        _ => None,
    }
}

fn links(packet: &LaxSlicedPacket<'_>) -> Option<usize> {
    // Our parser does not support MACsec.
    let macsec = packet.link_exts.iter().any(|header| matches!(header, LaxLinkExtSlice::Macsec(_)));
    (!macsec).then_some(packet.link_exts.len())
}

fuzz_target!(|data: &[u8]| {
    let Some((_, bytes)) = data.split_at_checked(observer_common_fuzz::CHOICES) else { return };
    let frame = Frame { length: bytes.len() as u32, gso_segs: 1, ..Frame::default() };
    let mut ours = Parsed::NOTHING;
    parse(&Slice(bytes), &frame, link::ETHERNET, &Config::DEFAULT, &mut ours);
    let Ok(packet) = LaxSlicedPacket::from_ethernet(bytes) else {
        assert_eq!(ours.malformed, Malformed::TruncatedLink as u8);
        return;
    };
    let Some(tags) = links(&packet) else { return };
    if tags > 2 {
        assert_eq!(ours.malformed, Malformed::TooManyVlans as u8);
        return;
    }
    let Some(outer) = theirs(bytes, &packet) else {
        if packet.net.is_none() && packet.stop_err.is_none() {
            assert!(
                matches!(ours.class, Class::NonIp) || ours.malformed == Malformed::TooManyVlans as u8,
                "{ours:?}"
            );
        }
        return;
    };
    if !announced(bytes, &outer) {
        assert_eq!(ours.class, Class::Malformed);
        return;
    }
    if ours.class == Class::Malformed {
        let chain = ours.malformed == Malformed::ExtensionChain as u8 && outer.extensions > 7;
        let unknown = outer.extensions == u32::MAX;
        assert!(chain || unknown, "{ours:?} {outer:?}");
        return;
    }
    same(bytes, &ours.outer, &outer);
    if outer.payload.is_some_and(|(protocol, _)| protocol == 4 || protocol == 41) {
        assert!(ours.class.is_tunnel());
    }
    let Some(packet) = carried(bytes, &ours, &outer) else { return };
    let Some(tags) = links(&packet) else { return };
    let Some(inner) = theirs(bytes, &packet) else { return };
    if tags > 2 {
        assert_eq!(ours.malformed, Malformed::TooManyVlans as u8);
    } else if ours.class == Class::Vxlan && !announced(bytes, &inner) {
        assert_eq!(ours.inner.version, 0);
    } else if ours.inner.version == 0 {
        assert!(inner.extensions > 7, "{ours:?} {inner:?}");
    } else {
        same(bytes, &ours.inner, &inner);
    }
});
