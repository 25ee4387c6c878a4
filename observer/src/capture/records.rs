//! Records of pcap and pcapng files, streamed through a buffer of a few records.
//!
//! The library decodes headers and blocks. Buffering and errors are here, so that every error has its byte offset.

use std::io::{ErrorKind, Read};

use observer_common::kind::Direction;
use pcap_parser::{
    Block, LegacyPcapBlock, OptionCode, PcapHeader, parse_block_be, parse_block_le, parse_pcap_frame,
    parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};

use super::Damage;

/// Bytes per read.
const CHUNK: usize = 1 << 18;
/// Maximum length of a packet record, bytes. BIG TCP is limited to 512 KiB.
const LONGEST_PACKET: u32 = 1 << 20;
/// Maximum length of other pcapng blocks (name resolution, decryption secrets), bytes.
const LONGEST_BLOCK: u32 = 1 << 26;
/// Maximum interfaces of a file.
const MAX_INTERFACES: usize = 65_536;

const PCAP_HEADER: usize = 24;
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const ENHANCED_PACKET: u32 = 6;
const SIMPLE_PACKET: u32 = 3;
/// The packet block of older versions.
const OBSOLETE_PACKET: u32 = 2;
/// Type, length and repeated length, bytes.
const AROUND_BLOCK: usize = 12;
/// `epb_flags`.
const FLAGS: OptionCode = OptionCode(2);

const BROKEN: &str = "copy the file again; everything before that byte is counted";

/// An interface of a capture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, if the file has one.
    pub name: Option<String>,
    /// See `super::link`.
    pub link_type: u32,
    /// Snap length: maximum bytes captured of a frame; 0: not limited.
    pub snaplen: u32,
    /// Nanoseconds per unit of time stamps, as a fraction.
    unit: (u64, u64),
    /// Seconds to add to time stamps.
    offset: i64,
}

/// A frame in the file.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Index into [`Records::interfaces`].
    pub interface: usize,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Bytes of the frame on the wire.
    pub length: u32,
    /// The direction, if the file records it.
    pub direction: Option<Direction>,
    /// Nanoseconds since the Unix epoch, if the file records the time.
    pub time: Option<u64>,
}

/// The same as offsets, before the buffer is borrowed.
#[derive(Clone, Copy)]
struct Found {
    interface: usize,
    at: usize,
    captured: usize,
    length: u32,
    direction: Option<Direction>,
    time: Option<u64>,
}

enum Step {
    Packet(Found),
    Other,
    End,
}

#[derive(Clone, Copy)]
enum Format {
    Unknown,
    Pcap { frame: usize, parse: ParseFrame },
    PcapNg { big_endian: bool },
}

type ParseFrame =
    fn(&[u8]) -> pcap_parser::nom::IResult<&[u8], LegacyPcapBlock<'_>, pcap_parser::PcapError<&[u8]>>;

/// Reads records one by one.
pub struct Records<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Of the byte at `start` in the file.
    offset: u64,
    ended: bool,
    format: Format,
    interfaces: Vec<Interface>,
    /// Index of the current section's first interface.
    section: usize,
    frames: u64,
}

impl<R: Read> Records<R> {
    /// A reader; nothing is read yet.
    pub fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
            format: Format::Unknown,
            interfaces: Vec::new(),
            section: 0,
            frames: 0,
        }
    }

    /// The interfaces described so far.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Bytes read so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame; `None` at the end of the file.
    ///
    /// # Errors
    /// The file is damaged, or not a capture.
    pub fn next_record(&mut self) -> Result<Option<(Record<'_>, &Interface)>, Damage> {
        loop {
            let step = match self.format {
                Format::Unknown => self.header()?,
                Format::Pcap { frame, parse } => self.pcap(frame, parse)?,
                Format::PcapNg { big_endian } => self.block(big_endian)?,
            };
            match step {
                Step::End => return Ok(None),
                Step::Other => {}
                Step::Packet(found) => {
                    self.frames += 1;
                    let record = Record {
                        interface: found.interface,
                        bytes: &self.buffer[found.at..found.at + found.captured],
                        length: found.length.max(found.captured as u32),
                        direction: found.direction,
                        time: found.time,
                    };
                    return Ok(Some((record, &self.interfaces[found.interface])));
                }
            }
        }
    }

    fn available(&self) -> usize {
        self.end - self.start
    }

    fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    fn damage(&self, cause: impl Into<String>, remedy: &str) -> Damage {
        let (offset, frames) = (self.offset, self.frames);
        Damage { offset, frames, cause: cause.into(), remedy: remedy.to_owned() }
    }

    /// Reads until `wanted` bytes are in the buffer; false if the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, Damage> {
        if self.available() >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.available());
        while self.end < wanted && !self.ended {
            if self.end == self.buffer.len() {
                // In steps, so that a wrong length does not allocate memory.
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.damage(error.to_string(), "check the disk for errors")),
            }
        }
        Ok(self.available() >= wanted)
    }

    /// As [`Self::fill`]; fails if the file ends before.
    fn need(&mut self, wanted: usize) -> Result<(), Damage> {
        if self.fill(wanted)? {
            return Ok(());
        }
        let cause =
            format!("the file ends inside a record: {} of {wanted} bytes are present", self.available());
        Err(self.damage(cause, BROKEN))
    }

    fn header(&mut self) -> Result<Step, Damage> {
        let whole = self.fill(PCAP_HEADER)?;
        let data = self.data();
        if data.is_empty() {
            return Err(self.damage("the file is empty", "capture again, for example with `tcpdump -w`"));
        }
        if data.starts_with(&SECTION_HEADER.to_be_bytes()) {
            self.format = Format::PcapNg { big_endian: false };
            return Ok(Step::Other);
        }
        let magic: [u8; 4] = data.get(..4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        const MAGICS: [u32; 3] = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34];
        if !MAGICS.contains(&u32::from_le_bytes(magic)) && !MAGICS.contains(&u32::from_be_bytes(magic)) {
            let (cause, remedy) = not_a_capture(data);
            return Err(self.damage(cause, remedy));
        }
        if !whole {
            return Err(self.damage("the file ends inside the pcap header", BROKEN));
        }
        let Ok((_, header)) = parse_pcap_header(data) else {
            return Err(
                self.damage("an unknown variant of the pcap header", "convert it with `editcap -F pcapng`")
            );
        };
        self.start_pcap(&header);
        Ok(Step::Other)
    }

    fn start_pcap(&mut self, header: &PcapHeader) {
        let nano = header.is_nanosecond_precision();
        self.interfaces.push(Interface {
            name: None,
            // The upper bits are the length of the frame check sequence.
            link_type: header.network.0 as u32 & 0x03ff_ffff,
            snaplen: header.snaplen,
            unit: if nano { (1, 1) } else { (1_000, 1) },
            offset: 0,
        });
        self.format = if header.is_modified_format() {
            Format::Pcap { frame: 24, parse: parse_pcap_frame_modified }
        } else if header.is_bigendian() {
            Format::Pcap { frame: 16, parse: parse_pcap_frame_be }
        } else {
            Format::Pcap { frame: 16, parse: parse_pcap_frame }
        };
        self.consume(PCAP_HEADER);
    }

    fn pcap(&mut self, header: usize, parse: ParseFrame) -> Result<Step, Damage> {
        if !self.fill(header)? && self.available() == 0 {
            return Ok(Step::End);
        }
        self.need(header)?;
        let big_endian = parse as usize == parse_pcap_frame_be as ParseFrame as usize;
        let captured = word(&self.data()[8..], big_endian);
        if captured > LONGEST_PACKET {
            return Err(self.too_long(captured));
        }
        self.need(header + captured as usize)?;
        let Ok((_, block)) = parse(self.data()) else {
            return Err(self.damage("the record cannot be decoded", BROKEN));
        };
        let unit = self.interfaces[0].unit.0;
        let found = Found {
            interface: 0,
            at: self.start + header,
            captured: captured as usize,
            length: block.origlen,
            direction: None,
            time: Some(u64::from(block.ts_sec) * 1_000_000_000 + u64::from(block.ts_usec) * unit),
        };
        self.consume(header + captured as usize);
        Ok(Step::Packet(found))
    }

    fn too_long(&self, captured: u32) -> Damage {
        let cause =
            format!("the length of a record is {captured} bytes, more than the maximum of {LONGEST_PACKET}");
        self.damage(cause, BROKEN)
    }

    /// The next block of a pcapng file.
    fn block(&mut self, mut big_endian: bool) -> Result<Step, Damage> {
        if !self.fill(AROUND_BLOCK)? && self.available() == 0 {
            return Ok(Step::End);
        }
        self.need(AROUND_BLOCK)?;
        let kind = word(self.data(), big_endian);
        if kind == SECTION_HEADER {
            big_endian = match word(&self.data()[8..], false) {
                BYTE_ORDER => false,
                order if order.swap_bytes() == BYTE_ORDER => true,
                _ => return Err(self.damage("a section header without a byte-order mark", BROKEN)),
            };
            self.format = Format::PcapNg { big_endian };
            self.section = self.interfaces.len();
        }
        let length = word(&self.data()[4..], big_endian);
        let packet = matches!(kind, ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET);
        // Options of a packet are bounded by what a packet may have.
        if length > if packet { LONGEST_PACKET * 2 } else { LONGEST_BLOCK } {
            return Err(self
                .damage(format!("the length of a block is {length} bytes, more than the maximum"), BROKEN));
        }
        if (length as usize) < AROUND_BLOCK || !length.is_multiple_of(4) {
            return Err(self.damage(format!("invalid block length {length}"), BROKEN));
        }
        self.need(length as usize)?;
        let (step, described) = self.decode(length as usize, kind, big_endian)?;
        if let Some(interface) = described {
            if self.interfaces.len() >= MAX_INTERFACES {
                return Err(self.damage(
                    format!("the file describes more than {MAX_INTERFACES} interfaces"),
                    "split it with `editcap`",
                ));
            }
            self.interfaces.push(interface);
        }
        self.consume(length as usize);
        Ok(step)
    }

    fn decode(
        &self,
        length: usize,
        kind: u32,
        big_endian: bool,
    ) -> Result<(Step, Option<Interface>), Damage> {
        let data = &self.data()[..length];
        let parsed = if big_endian { parse_block_be(data) } else { parse_block_le(data) };
        let Ok((_, block)) = parsed else {
            return Err(self.damage(format!("a block of type {kind:#x} cannot be decoded"), BROKEN));
        };
        let packet = match block {
            Block::InterfaceDescription(block) => {
                let interface = describe(&block, big_endian);
                return Ok((Step::Other, Some(interface)));
            }
            Block::EnhancedPacket(block) => {
                let flags = block.options.iter().find(|option| option.code == FLAGS);
                let flags = flags.and_then(|option| option.value().get(..4)).map(|b| word(b, big_endian));
                Raw {
                    interface: block.if_id,
                    at: 28,
                    captured: block.caplen,
                    length: block.origlen,
                    time: Some((block.ts_high, block.ts_low)),
                    direction: direction(flags),
                }
            }
            Block::SimplePacket(block) => {
                let snaplen = self.interfaces.get(self.section).map_or(0, |interface| interface.snaplen);
                let limit = if snaplen == 0 { u32::MAX } else { snaplen };
                let captured = block.origlen.min(block.data.len() as u32).min(limit);
                Raw { interface: 0, at: 12, captured, length: block.origlen, time: None, direction: None }
            }
            Block::Unknown(block) if kind == OBSOLETE_PACKET && block.data.len() >= 20 => {
                let at = |offset: usize| word(&block.data[offset..], big_endian);
                let first = &block.data[..2];
                let interface = if big_endian { [first[0], first[1]] } else { [first[1], first[0]] };
                Raw {
                    interface: u32::from(u16::from_be_bytes(interface)),
                    at: 28,
                    captured: at(12),
                    length: at(16),
                    time: Some((at(4), at(8))),
                    direction: None,
                }
            }
            _ => return Ok((Step::Other, None)),
        };
        Ok((Step::Packet(self.place(&packet, length)?), None))
    }

    /// Where the packet of a block of `length` bytes is in the buffer.
    fn place(&self, raw: &Raw, length: usize) -> Result<Found, Damage> {
        let interface = self.section + raw.interface as usize;
        let Some(described) = self.interfaces.get(interface) else {
            let cause = format!("a packet refers to interface {}, which is not described", raw.interface);
            return Err(self.damage(cause, BROKEN));
        };
        if raw.captured > LONGEST_PACKET {
            return Err(self.too_long(raw.captured));
        }
        if raw.at + raw.captured as usize + 4 > length {
            return Err(self.damage("a packet is longer than the block around it", BROKEN));
        }
        Ok(Found {
            interface,
            at: self.start + raw.at,
            captured: raw.captured as usize,
            length: raw.length,
            direction: raw.direction,
            time: raw.time.map(|time| described.time(time)),
        })
    }
}

/// A packet in a block of pcapng.
struct Raw {
    interface: u32,
    at: usize,
    captured: u32,
    length: u32,
    time: Option<(u32, u32)>,
    direction: Option<Direction>,
}

impl Interface {
    fn time(&self, (high, low): (u32, u32)) -> u64 {
        let units = u64::from(high) << 32 | u64::from(low);
        let (times, per) = self.unit;
        let nanoseconds = if per == 1 {
            units.saturating_mul(times)
        } else {
            u64::try_from(u128::from(units) * u128::from(times) / u128::from(per)).unwrap_or(u64::MAX)
        };
        nanoseconds.saturating_add_signed(self.offset.saturating_mul(1_000_000_000))
    }
}

fn describe(block: &pcap_parser::InterfaceDescriptionBlock, big_endian: bool) -> Interface {
    const TIME_OFFSET: OptionCode = OptionCode(14);
    let name = block.if_name().and_then(Result::ok).map(|name| name.trim_end_matches('\0').to_owned());
    let offset = block.options.iter().find(|option| option.code == TIME_OFFSET);
    let offset = offset.and_then(|option| option.value().get(..8)?.try_into().ok());
    let offset = offset
        .map_or(0, |bytes| if big_endian { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) });
    // The library's own function rejects powers of two.
    let resolution = block.if_tsresol;
    let unit = match resolution {
        0..=9 => (10_u64.pow(u32::from(9 - resolution)), 1),
        10..=19 => (1, 10_u64.pow(u32::from(resolution - 9))),
        0x80..=0xbf => (1_000_000_000, 1_u64 << (resolution & 0x7f)),
        _ => (1_000, 1),
    };
    Interface { name, link_type: block.linktype.0 as u32 & 0xffff, snaplen: block.snaplen, unit, offset }
}

/// Bits 0 and 1 of the flags: 1 is inbound, 2 outbound.
fn direction(flags: Option<u32>) -> Option<Direction> {
    match flags.map(|flags| flags & 3) {
        Some(1) => Some(Direction::Ingress),
        Some(2) => Some(Direction::Egress),
        _ => None,
    }
}

/// The first four bytes of `bytes`, which has at least four.
fn word(bytes: &[u8], big_endian: bool) -> u32 {
    let word = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
}

/// The type of a file that is not a capture, by its first bytes, and the remedy.
fn not_a_capture(data: &[u8]) -> (String, &'static str) {
    const KINDS: [(&[u8], &str, &str); 6] = [
        (b"\x1f\x8b", "it is compressed with gzip", "try `zcat FILE | observer pcap -`"),
        (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", "try `zstdcat FILE | observer pcap -`"),
        (b"\xfd7zXZ", "it is compressed with xz", "try `xzcat FILE | observer pcap -`"),
        (b"BZh", "it is compressed with bzip2", "try `bzcat FILE | observer pcap -`"),
        (b"\x04\x22\x4d\x18", "it is compressed with lz4", "try `lz4cat FILE | observer pcap -`"),
        (b"snoop\0", "it is a snoop file", "convert it with `editcap -F pcapng`"),
    ];
    for (magic, cause, remedy) in KINDS {
        if data.starts_with(magic) {
            return (cause.to_owned(), remedy);
        }
    }
    let head = &data[..data.len().min(16)];
    let text = head.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let cause = if text {
        let start = String::from_utf8_lossy(head).escape_debug().to_string();
        format!("it is neither pcap nor pcapng, but text that starts with \"{start}\"")
    } else {
        let hex: Vec<String> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("it is neither pcap nor pcapng: it starts with {}", hex.join(" "))
    };
    (cause, "name a file written by `tcpdump -w`, dumpcap or Wireshark")
}
