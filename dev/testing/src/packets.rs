//! Packet builders, from the inside out: each function or `around` puts one header before its payload.
//! Every length field can be set to a wrong value.

/// Ethertype of IPv4.
pub const ETH_IPV4: u16 = 0x0800;
/// Ethertype of IPv6.
pub const ETH_IPV6: u16 = 0x86dd;
/// Ethertype of ARP.
pub const ETH_ARP: u16 = 0x0806;
/// Ethertype of LLDP.
pub const ETH_LLDP: u16 = 0x88cc;
/// Ethertype of 802.1Q.
pub const ETH_DOT1Q: u16 = 0x8100;
/// Ethertype of 802.1ad.
pub const ETH_DOT1AD: u16 = 0x88a8;
/// QinQ before 802.1ad.
pub const ETH_QINQ: u16 = 0x9100;
/// Ethertype of transparent Ethernet bridging.
pub const ETH_BRIDGING: u16 = 0x6558;

fn chain(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// `length` bytes that do not look like a header.
#[must_use]
pub fn payload(length: usize) -> Vec<u8> {
    vec![0xa5; length]
}

/// An Ethernet header before `inside`.
#[must_use]
pub fn ethernet(ethertype: u16, inside: &[u8]) -> Vec<u8> {
    chain(&[&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &ethertype.to_be_bytes(), inside])
}

/// An Ethernet header with the Ethertype for the IP version of `inside`.
#[must_use]
pub fn ethernet_ip(inside: &[u8]) -> Vec<u8> {
    ethernet(ethertype_of(inside), inside)
}

/// The Ethertype of an IP packet.
#[must_use]
pub fn ethertype_of(packet: &[u8]) -> u16 {
    if packet.first().is_some_and(|first| first >> 4 == 6) { ETH_IPV6 } else { ETH_IPV4 }
}

/// An Ethernet header with VLAN tags of these Ethertypes, followed by `ethertype`.
#[must_use]
pub fn tagged(tags: &[u16], ethertype: u16, inside: &[u8]) -> Vec<u8> {
    let mut types = tags.to_vec();
    types.push(ethertype);
    let mut rest = Vec::new();
    for next in &types[1..] {
        rest.extend([0x00, 0x64]);
        rest.extend(next.to_be_bytes());
    }
    rest.extend(inside);
    ethernet(types[0], &rest)
}

/// The frame, padded with `filler` to `length` bytes.
#[must_use]
pub fn padded(mut frame: Vec<u8>, length: usize, filler: u8) -> Vec<u8> {
    if frame.len() < length {
        frame.resize(length, filler);
    }
    frame
}

/// An IPv4 header.
#[derive(Clone, Debug)]
pub struct Ip4 {
    /// Source.
    pub source: [u8; 4],
    /// Destination.
    pub destination: [u8; 4],
    /// Protocol.
    pub protocol: u8,
    /// DF.
    pub dont_fragment: bool,
    /// MF.
    pub more: bool,
    /// Fragment offset in bytes, a multiple of 8.
    pub offset: u16,
    /// Options, a multiple of 4 bytes.
    pub options: Vec<u8>,
    /// Total length, if not the real one.
    pub total_length: Option<u16>,
    /// Version and header length, if not the real ones.
    pub version_ihl: Option<u8>,
}

impl Ip4 {
    /// A plain header: no options, no DF.
    #[must_use]
    pub fn new(source: [u8; 4], destination: [u8; 4], protocol: u8) -> Self {
        Self {
            source,
            destination,
            protocol,
            dont_fragment: false,
            more: false,
            offset: 0,
            options: Vec::new(),
            total_length: None,
            version_ihl: None,
        }
    }

    /// Sets DF.
    #[must_use]
    pub fn dont_fragment(mut self) -> Self {
        self.dont_fragment = true;
        self
    }

    /// Makes it a fragment.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        (self.offset, self.more) = (offset, more);
        self
    }

    /// Adds `length` bytes of options (no-operation).
    #[must_use]
    pub fn options(mut self, length: usize) -> Self {
        self.options = vec![1; length];
        self
    }

    /// Sets a wrong total length.
    #[must_use]
    pub fn total_length(mut self, length: u16) -> Self {
        self.total_length = Some(length);
        self
    }

    /// Sets a wrong first byte.
    #[must_use]
    pub fn version_ihl(mut self, byte: u8) -> Self {
        self.version_ihl = Some(byte);
        self
    }

    /// The header before `inside`.
    #[must_use]
    pub fn around(&self, inside: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let ihl = self.version_ihl.unwrap_or(0x40 | (header / 4) as u8);
        // 0 if the packet is too long for the field, as in BIG TCP super-packets.
        let total = self.total_length.unwrap_or(u16::try_from(header + inside.len()).unwrap_or(0));
        let fragment = u16::from(self.dont_fragment) << 14 | u16::from(self.more) << 13 | (self.offset / 8);
        let mut bytes = chain(&[
            &[ihl, 0],
            &total.to_be_bytes(),
            &[0x12, 0x34],
            &fragment.to_be_bytes(),
            &[64, self.protocol, 0, 0],
            &self.source,
            &self.destination,
            &self.options,
        ]);
        let sum = checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(inside);
        bytes
    }
}

/// The Internet checksum (RFC 1071).
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An IPv6 header with extension headers.
#[derive(Clone, Debug)]
pub struct Ip6 {
    /// Source.
    pub source: [u8; 16],
    /// Destination.
    pub destination: [u8; 16],
    /// Protocol after the last extension header.
    pub protocol: u8,
    /// Extension headers: number and bytes. The first byte is overwritten with the next header's number.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// Payload length, if not the real one.
    pub payload_length: Option<u16>,
    /// First byte, normally 0x60.
    pub first: u8,
}

impl Ip6 {
    /// A plain header.
    #[must_use]
    pub fn new(source: [u8; 16], destination: [u8; 16], protocol: u8) -> Self {
        Self { source, destination, protocol, extensions: Vec::new(), payload_length: None, first: 0x60 }
    }

    /// Adds an extension header of `length` bytes (a multiple of 8, or of 4 for AH) with a correct length
    /// field.
    #[must_use]
    pub fn extension(mut self, number: u8, length: usize) -> Self {
        let mut bytes = vec![0; length];
        bytes[1] = if number == 51 { length / 4 - 2 } else { length / 8 - 1 } as u8;
        if matches!(number, 0 | 60) && length >= 8 {
            // One PadN option for the rest.
            (bytes[2], bytes[3]) = (1, (length - 4).min(255) as u8);
        }
        self.extensions.push((number, bytes));
        self
    }

    /// Adds an extension header with arbitrary bytes.
    #[must_use]
    pub fn raw_extension(mut self, number: u8, bytes: &[u8]) -> Self {
        self.extensions.push((number, bytes.to_vec()));
        self
    }

    /// Adds a Fragment header; the offset is in bytes, a multiple of 8.
    #[must_use]
    pub fn fragment(self, offset: u16, more: bool) -> Self {
        let field = (offset | u16::from(more)).to_be_bytes();
        self.raw_extension(44, &[0, 0, field[0], field[1], 0, 0, 0x12, 0x34])
    }

    /// Sets a wrong payload length.
    #[must_use]
    pub fn payload_length(mut self, length: u16) -> Self {
        self.payload_length = Some(length);
        self
    }

    /// Sets a wrong first byte.
    #[must_use]
    pub fn first(mut self, byte: u8) -> Self {
        self.first = byte;
        self
    }

    /// The header before `inside`.
    #[must_use]
    pub fn around(&self, inside: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for (i, (_, bytes)) in self.extensions.iter().enumerate() {
            let mut bytes = bytes.clone();
            bytes[0] = self.extensions.get(i + 1).map_or(self.protocol, |next| next.0);
            body.extend(bytes);
        }
        body.extend(inside);
        let length = self.payload_length.unwrap_or(u16::try_from(body.len()).unwrap_or(0));
        let first = self.extensions.first().map_or(self.protocol, |first| first.0);
        chain(&[
            &[self.first, 0, 0, 0],
            &length.to_be_bytes(),
            &[first, 64],
            &self.source,
            &self.destination,
            &body,
        ])
    }
}

/// A TCP header of 20 bytes plus `options` before `inside`.
#[must_use]
pub fn tcp(options: usize, inside: &[u8]) -> Vec<u8> {
    let offset = ((20 + options) / 4) as u8;
    let mut bytes = vec![0; 20 + options];
    bytes[0..4].copy_from_slice(&[0x9c, 0x40, 0x01, 0xbb]);
    bytes[12] = offset << 4;
    bytes[13] = 0x10;
    bytes[20..].fill(1);
    bytes.extend(inside);
    bytes
}

/// A UDP header before `inside`.
#[must_use]
pub fn udp(source: u16, destination: u16, inside: &[u8]) -> Vec<u8> {
    udp_with_length(source, destination, u16::try_from(8 + inside.len()).unwrap_or(0), inside)
}

/// A UDP header with the given length.
#[must_use]
pub fn udp_with_length(source: u16, destination: u16, length: u16, inside: &[u8]) -> Vec<u8> {
    chain(&[&source.to_be_bytes(), &destination.to_be_bytes(), &length.to_be_bytes(), &[0, 0], inside])
}

/// A VXLAN header with the given flags and next protocol.
#[must_use]
pub fn vxlan_header(flags: u8, next: u8, vni: u32, inside: &[u8]) -> Vec<u8> {
    chain(&[&[flags, 0, 0, next], &(vni << 8).to_be_bytes(), inside])
}

/// UDP to the standard port and VXLAN before the Ethernet frame `inside`.
#[must_use]
pub fn vxlan(vni: u32, inside: &[u8]) -> Vec<u8> {
    udp(49_152, 4789, &vxlan_header(0x08, 0, vni, inside))
}

/// UDP to the standard port and Geneve with `options` bytes of options before `inside`.
#[must_use]
pub fn geneve(vni: u32, protocol: u16, options: usize, inside: &[u8]) -> Vec<u8> {
    udp(49_152, 6081, &geneve_header((options / 4) as u8, vni, protocol, options, inside))
}

/// A Geneve header with the given first byte.
#[must_use]
pub fn geneve_header(first: u8, vni: u32, protocol: u16, options: usize, inside: &[u8]) -> Vec<u8> {
    let mut option = vec![0; options];
    if options >= 4 {
        // A single option.
        option[..4].copy_from_slice(&[0x01, 0x02, 0x03, (options / 4 - 1) as u8]);
    }
    chain(&[&[first, 0], &protocol.to_be_bytes(), &(vni << 8).to_be_bytes(), &option, inside])
}

/// A GRE header with these flags (upper byte: C 0x80, R 0x40, K 0x20, S 0x10) and version.
#[must_use]
pub fn gre(flags: u8, version: u8, protocol: u16, inside: &[u8]) -> Vec<u8> {
    let words = [0x80, 0x20, 0x10].iter().filter(|bit| flags & **bit != 0).count();
    chain(&[&[flags, version], &protocol.to_be_bytes(), &vec![0; words * 4], inside])
}

/// A WireGuard message of `kind` over UDP; data messages carry `inside` bytes, including padding.
#[must_use]
pub fn wireguard(source: u16, destination: u16, kind: u8, inside: usize) -> Vec<u8> {
    let length = match kind {
        1 => 148,
        2 => 92,
        3 => 64,
        _ => 16 + inside + 16,
    };
    let mut message = vec![0xe7; length];
    message[..4].copy_from_slice(&[kind, 0, 0, 0]);
    udp(source, destination, &message)
}

/// An ICMPv4 message "fragmentation needed" that quotes `quoted`.
#[must_use]
pub fn ptb4(mtu: u16, quoted: &[u8]) -> Vec<u8> {
    icmp(3, 4, u32::from(mtu), quoted)
}

/// An ICMPv6 message "packet too big" that quotes `quoted`, with a checksum that omits the pseudo-header.
#[must_use]
pub fn ptb6(mtu: u32, quoted: &[u8]) -> Vec<u8> {
    icmp(2, 0, mtu, quoted)
}

/// An ICMP message.
#[must_use]
pub fn icmp(kind: u8, code: u8, word: u32, inside: &[u8]) -> Vec<u8> {
    let mut bytes = chain(&[&[kind, code, 0, 0], &word.to_be_bytes(), inside]);
    let sum = checksum(&bytes);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}
