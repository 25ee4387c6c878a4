//! Traced packets as a pcapng file (draft-ietf-opsawg-pcapng), with the serializer of pcap-parser. Every piece
//! ends with a whole block, so a file that ends after any of them is valid.

use std::borrow::Cow;
use std::io;

use observer_common::abi::link;
use observer_common::kind::Direction;
use pcap_parser::pcapng::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, OptionCode, PcapNGOption, SectionHeaderBlock,
};
use pcap_parser::{Linktype, ToVec};

use super::trace::summary;
use crate::trace::TracedPacket;

/// Length unknown (section 4.1).
const UNKNOWN_LENGTH: i64 = -1;
/// Timestamps are powers of ten: 10^-9 seconds (`if_tsresol`).
const NANOSECONDS: u8 = 9;
/// The option `epb_flags`.
const EPB_FLAGS: OptionCode = OptionCode(2);
/// Lowest bits of `epb_flags`: inbound and outbound.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
/// Length of the two MAC addresses ahead of a VLAN tag.
const ADDRESSES: usize = 12;

/// What packets of one interface block have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    name: String,
    link_type: Linktype,
    mtu: u32,
}

/// A capture file to be written.
#[derive(Debug)]
pub struct Capture {
    snap: u32,
    /// Interfaces already in the file, in its order.
    interfaces: Vec<Interface>,
}

impl Capture {
    /// A file with the first `snap` bytes of each packet, and its first block.
    ///
    /// # Errors
    /// The serializer's.
    pub fn new(snap: u32) -> io::Result<(Self, Vec<u8>)> {
        let application = format!("observer trace {}", env!("CARGO_PKG_VERSION"));
        let mut section = SectionHeaderBlock {
            block_type: 0,
            block_len1: 0,
            bom: 0,
            major_version: 1,
            minor_version: 0,
            section_len: UNKNOWN_LENGTH,
            options: vec![option(OptionCode::ShbUserAppl, application.as_bytes())],
            block_len2: 0,
        };
        Ok((Self { snap, interfaces: Vec::new() }, bytes(&mut section)?))
    }

    /// A packet, with the block of its interface ahead of it if the file has none yet.
    ///
    /// # Errors
    /// The serializer's.
    pub fn packet(&mut self, traced: &TracedPacket) -> io::Result<Vec<u8>> {
        let event = &traced.event;
        let interface = Interface {
            name: traced.device.clone(),
            link_type: if event.link == link::ETHERNET { Linktype::ETHERNET } else { Linktype::RAW },
            // A device whose MTU changes gets another block.
            mtu: event.mtu,
        };
        let mut out = Vec::new();
        let known = self.interfaces.iter().position(|known| *known == interface);
        let number = if let Some(number) = known {
            number
        } else {
            out = self.describe(&interface)?;
            self.interfaces.push(interface);
            self.interfaces.len() - 1
        };
        let (mut data, length) = frame(traced);
        data.to_mut().truncate(self.snap as usize);
        let flags = match event.direction() {
            Some(Direction::Ingress) => INBOUND,
            Some(Direction::Egress) => OUTBOUND,
            None => 0,
        };
        let mut block = EnhancedPacketBlock {
            block_type: 0,
            block_len1: 0,
            if_id: u32::try_from(number).unwrap_or(u32::MAX),
            ts_high: (traced.time >> 32) as u32,
            ts_low: traced.time as u32,
            caplen: u32::try_from(data.len()).unwrap_or(u32::MAX),
            origlen: length,
            data: &data,
            options: vec![
                option(EPB_FLAGS, &flags.to_le_bytes()),
                option(OptionCode::Comment, summary(traced).as_bytes()),
            ],
            block_len2: 0,
        };
        out.extend(bytes(&mut block)?);
        Ok(out)
    }

    fn describe(&self, interface: &Interface) -> io::Result<Vec<u8>> {
        let description = format!("MTU {} B", interface.mtu);
        let mut block = InterfaceDescriptionBlock {
            block_type: 0,
            block_len1: 0,
            linktype: interface.link_type,
            reserved: 0,
            snaplen: self.snap,
            options: vec![
                option(OptionCode::IfName, interface.name.as_bytes()),
                option(OptionCode::IfDescription, description.as_bytes()),
                option(OptionCode::IfTsresol, &[NANOSECONDS]),
            ],
            block_len2: 0,
            if_tsresol: NANOSECONDS,
            if_tsoffset: 0,
        };
        bytes(&mut block)
    }
}

/// The packet's bytes on the wire, and its length: a VLAN tag stored outside the data is inserted, as libpcap does.
fn frame(traced: &TracedPacket) -> (Cow<'_, [u8]>, u32) {
    let event = &traced.event;
    let tagged = event.tag_beside != 0 && event.link == link::ETHERNET;
    match traced.bytes.split_at_checked(ADDRESSES) {
        Some((addresses, rest)) if tagged => {
            let tag = [event.vlan_protocol.to_be_bytes(), event.vlan_tci.to_be_bytes()].concat();
            (Cow::Owned([addresses, &tag, rest].concat()), event.length.saturating_add(4))
        }
        _ => (Cow::Borrowed(&traced.bytes), event.length),
    }
}

fn option(code: OptionCode, value: &[u8]) -> PcapNGOption<'static> {
    // All values are far below the limit of an option.
    let value = &value[..value.len().min(u16::MAX as usize)];
    PcapNGOption {
        code,
        len: u16::try_from(value.len()).unwrap_or(u16::MAX),
        value: Cow::Owned(value.to_vec()),
    }
}

fn bytes(block: &mut impl ToVec) -> io::Result<Vec<u8>> {
    block.to_vec().map_err(|error| io::Error::other(format!("{error:?}")))
}

#[cfg(test)]
mod tests {
    use observer_common::abi::Config;
    use observer_common::address::Address;
    use observer_common::event::{Event, Why};
    use pcap_parser::pcapng::Block;
    use pcap_parser::traits::{PcapNGPacketBlock as _, PcapReaderIterator as _};
    use pcap_parser::{PcapBlockOwned, PcapError, PcapNGReader};

    use super::*;
    use crate::trace::traced_packet;

    fn event(link: u8, length: u32, captured: u32) -> Event {
        Event {
            time: 1_500_000_001,
            why: Why::WouldDrop.bit() | Why::Fragment.bit(),
            ifindex: 3,
            length,
            gso_segs: 0,
            gso_size: 0,
            segments: 1,
            largest: length,
            mtu: 1450,
            tunnel_mtu: 1410,
            vni: 0,
            captured,
            slot: 0,
            direction: Direction::Egress as u8,
            class: 0,
            malformed: 0,
            tag_beside: 0,
            link,
            unknown: 0,
            peer: Address::from_v4([10, 10, 2, 13]),
            vlan_tci: 0,
            vlan_protocol: 0,
            location: 0,
            reason: 0,
            reserved: 0,
        }
    }

    /// Names, link types, snap lengths and descriptions of interfaces; then of packets: interface, time,
    /// lengths, data, flags, comment.
    #[derive(Debug, Default)]
    struct Read {
        interfaces: Vec<(String, i32, u32, String, Option<u64>)>,
        packets: Vec<(u32, u64, u32, Vec<u8>, u32, String)>,
    }

    fn text(options: &[PcapNGOption<'_>], code: OptionCode) -> String {
        let found = options.iter().find(|option| option.code == code).expect("the option");
        String::from_utf8(found.as_bytes().expect("its value").to_vec()).expect("text")
    }

    fn read(file: &[u8]) -> Read {
        let mut reader = PcapNGReader::new(1 << 16, file).expect("a section");
        let mut read = Read::default();
        loop {
            match reader.next() {
                Ok((length, block)) => {
                    match block {
                        PcapBlockOwned::NG(Block::InterfaceDescription(b)) => read.interfaces.push((
                            text(&b.options, OptionCode::IfName),
                            b.linktype.0,
                            b.snaplen,
                            text(&b.options, OptionCode::IfDescription),
                            b.ts_resolution(),
                        )),
                        PcapBlockOwned::NG(Block::EnhancedPacket(b)) => {
                            let flags = b.options.iter().find(|o| o.code == EPB_FLAGS);
                            let flags = flags.and_then(|o| o.as_bytes().ok()).expect("flags");
                            read.packets.push((
                                b.if_id,
                                u64::from(b.ts_high) << 32 | u64::from(b.ts_low),
                                b.origlen,
                                b.packet_data().to_vec(),
                                u32::from_le_bytes(flags.try_into().expect("four bytes")),
                                text(&b.options, OptionCode::Comment),
                            ));
                        }
                        _ => {}
                    }
                    reader.consume(length);
                }
                Err(PcapError::Eof) => return read,
                Err(PcapError::Incomplete(_)) => reader.refill().map(|_| ()).expect("more"),
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    #[test]
    fn written_packets_are_read_back() {
        let frame: Vec<u8> = (0..=255).collect();
        let (mut capture, mut file) = Capture::new(100).expect("a section");
        let mut write = |event: Event, bytes: &[u8], device: &str| {
            let packet = traced_packet(event, bytes, device, &Config::DEFAULT, 1_000_000_000_000_000_000);
            file.extend(capture.packet(&packet).expect("a packet"));
        };
        write(event(link::ETHERNET, 1442, 256), &frame, "vxlan.calico");
        let inbound = Event { direction: Direction::Ingress as u8, ..event(link::IP, 57, 57) };
        write(inbound, &frame[..57], "tunl0");
        write(event(link::ETHERNET, 99, 99), &frame[..99], "vxlan.calico");
        write(Event { mtu: 1400, ..event(link::ETHERNET, 99, 99) }, &frame[..99], "vxlan.calico");
        let read = read(&file);
        let interface = |name: &str, link_type, mtu: &str| {
            (name.to_owned(), link_type, 100, mtu.to_owned(), Some(1_000_000_000))
        };
        assert_eq!(
            read.interfaces,
            [
                interface("vxlan.calico", 1, "MTU 1450 B"),
                interface("tunl0", 101, "MTU 1450 B"),
                interface("vxlan.calico", 1, "MTU 1400 B"),
            ]
        );
        let numbers: Vec<u32> = read.packets.iter().map(|packet| packet.0).collect();
        assert_eq!(numbers, [0, 1, 0, 2]);
        let (_, time, length, data, flags, comment) = &read.packets[0];
        assert_eq!(
            (*time, *length, data.as_slice(), *flags),
            (1_000_000_001_500_000_001, 1442, &frame[..100], OUTBOUND)
        );
        assert!(comment.starts_with("would-drop,fragment outer "), "{comment}");
        assert!(comment.contains(" 1442 B, MTU 1410, peer 10.10.2.13"), "{comment}");
        assert_eq!((read.packets[1].2, read.packets[1].3.len(), read.packets[1].4), (57, 57, INBOUND));
    }

    #[test]
    fn a_vlan_tag_outside_the_data_is_inserted() {
        let event =
            Event { tag_beside: 1, vlan_tci: 0x2064, vlan_protocol: 0x8100, ..event(link::ETHERNET, 60, 60) };
        let packet = traced_packet(event, &[7; 60], "eth0", &Config::DEFAULT, 0);
        let (bytes, length) = super::frame(&packet);
        assert_eq!((length, bytes.len(), &bytes[10..18]), (64, 64, &[7, 7, 0x81, 0, 0x20, 0x64, 7, 7][..]));
    }
}
