//! tshark's dissection without reassembly.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The requested fields, in the order of the columns.
const FIELDS: [&str; 24] = [
    "frame.protocols",
    "ip.len",
    "ip.flags.mf",
    "ip.frag_offset",
    "ip.proto",
    "ipv6.plen",
    "ipv6.fraghdr.offset",
    "ipv6.fraghdr.more",
    "ipv6.fraghdr.nxt",
    "vxlan.vni",
    "geneve.vni",
    "icmp.type",
    "icmp.code",
    "icmp.mtu",
    "icmpv6.type",
    "icmpv6.mtu",
    "frame.len",
    "ipv6.opt.jumbo",
    "udp.srcport",
    "udp.dstport",
    "vxlan.flags",
    "wg.reserved",
    "frame.cap_len",
    "gre.proto",
];

/// One IP header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// 4 or 6.
    pub version: u64,
    /// Length from the header; 0 if it has none.
    pub length: u64,
    /// `first`, `middle`, `last`, `atomic`, or none.
    pub fragment: Option<&'static str>,
    /// Bytes.
    pub offset: u64,
    /// Next protocol, if the header has one.
    pub protocol: u64,
}

/// tshark's view of a frame.
#[derive(Clone, Debug, Default)]
pub struct Dissection {
    /// The protocols, outermost first.
    pub protocols: String,
    /// The class in Observer's terms; `None` if tshark cannot determine it (later fragments of UDP).
    pub class: Option<&'static str>,
    /// The outer IP header.
    pub outer: Option<Layer>,
    /// The inner one.
    pub inner: Option<Layer>,
    /// VNI of the outermost tunnel.
    pub vni: Option<u64>,
    /// Version and MTU of a PTB message.
    pub ptb: Option<(u64, u64)>,
    /// Source and destination port of the outermost UDP header.
    pub ports: Option<(u64, u64)>,
    /// Flags of the outermost VXLAN header.
    pub vxlan_flags: u64,
    /// The reserved bytes of a WireGuard message.
    pub wireguard_reserved: Option<String>,
    /// Bytes on the wire.
    pub wire: u64,
    /// Bytes in the file.
    pub captured: Option<u64>,
    /// Next protocol of the outermost GRE header.
    pub gre_protocol: Option<u64>,
}

/// Dissects every frame of a file.
///
/// # Errors
/// tshark could not be run.
pub fn dissect(file: &Path) -> Result<Vec<Dissection>> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r"]).arg(file);
    for preference in ["ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE"] {
        tshark.args(["-o", preference]);
    }
    tshark.args(["-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=,"]);
    for field in FIELDS {
        tshark.args(["-e", field]);
    }
    let output = tshark.stdin(Stdio::null()).output().context("cannot start tshark")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // tshark also fails on a truncated file, after printing the complete records.
    if !output.status.success() && text.is_empty() {
        bail!("tshark failed on {}: {}", file.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(text.lines().map(frame).collect())
}

/// The occurrences of a field.
struct Columns<'a>(Vec<Vec<&'a str>>);

impl Columns<'_> {
    fn text(&self, field: &str) -> Option<String> {
        let column = FIELDS.iter().position(|name| *name == field)?;
        self.0.get(column)?.first().filter(|text| !text.is_empty()).map(|text| (*text).to_owned())
    }

    fn number(&self, field: &str, occurrence: usize) -> Option<u64> {
        let column = FIELDS.iter().position(|name| *name == field)?;
        let text = self.0.get(column)?.get(occurrence)?;
        match *text {
            "True" => Some(1),
            "False" => Some(0),
            hex if hex.starts_with("0x") => u64::from_str_radix(&hex[2..], 16).ok(),
            decimal => decimal.parse().ok(),
        }
    }
}

fn frame(line: &str) -> Dissection {
    let columns = Columns(line.split('\t').map(|column| column.split(',').collect()).collect());
    let protocols = columns.0[0].first().copied().unwrap_or_default();
    let tokens: Vec<&str> = protocols.split(':').collect();
    let mut dissection = Dissection {
        protocols: protocols.to_owned(),
        class: Some("non_ip"),
        wire: columns.number("frame.len", 0).unwrap_or(0),
        wireguard_reserved: columns.text("wg.reserved"),
        ports: columns.number("udp.srcport", 0).zip(columns.number("udp.dstport", 0)),
        captured: columns.number("frame.cap_len", 0),
        gre_protocol: columns.number("gre.proto", 0),
        vxlan_flags: columns.number("vxlan.flags", 0).unwrap_or(0),
        ..Dissection::default()
    };
    let layers = layers(&tokens, &columns);
    let Some((at, outer)) = layers.first() else { return dissection };
    dissection.outer = Some(outer.clone());
    let (class, tunnel) = class(&tokens, *at, outer);
    dissection.class = class;
    if class.is_some_and(|class| class != "none") {
        dissection.inner = inner(&tokens, tunnel, &layers);
        dissection.vni = match class {
            Some("vxlan") => columns.number("vxlan.vni", 0),
            Some("geneve") => columns.number("geneve.vni", 0),
            _ => None,
        };
    }
    let type_is = |family, kind| columns.number(family, 0) == Some(kind);
    if type_is("icmp.type", 3) && type_is("icmp.code", 4) {
        dissection.ptb = Some((4, columns.number("icmp.mtu", 0).unwrap_or(0)));
    } else if type_is("icmpv6.type", 2) {
        dissection.ptb = Some((6, columns.number("icmpv6.mtu", 0).unwrap_or(0)));
    }
    dissection
}

/// All IP headers and their positions among the protocols.
fn layers(tokens: &[&str], columns: &Columns) -> Vec<(usize, Layer)> {
    let mut layers: Vec<(usize, Layer)> = Vec::new();
    let (mut fours, mut sixes, mut fragments) = (0, 0, 0);
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "ip" => {
                let number = |field| columns.number(field, fours).unwrap_or(0);
                let (more, offset) = (number("ip.flags.mf"), number("ip.frag_offset") * 8);
                layers.push((
                    at,
                    Layer {
                        version: 4,
                        length: number("ip.len"),
                        fragment: if more == 0 && offset == 0 { None } else { position(more, offset) },
                        offset,
                        protocol: number("ip.proto"),
                    },
                ));
                fours += 1;
            }
            "ipv6" => {
                let payload = columns.number("ipv6.plen", sixes).unwrap_or(0);
                let jumbo = columns.number("ipv6.opt.jumbo", 0).filter(|_| payload == 0);
                let length = jumbo.unwrap_or(payload) + 40;
                layers.push((at, Layer { version: 6, length, ..Layer::default() }));
                sixes += 1;
            }
            "ipv6.fraghdr" => {
                let number = |field| columns.number(field, fragments).unwrap_or(0);
                if let Some((_, layer)) = layers.last_mut() {
                    let (more, offset) = (number("ipv6.fraghdr.more"), number("ipv6.fraghdr.offset") * 8);
                    layer.fragment = position(more, offset).or(Some("atomic"));
                    (layer.offset, layer.protocol) = (offset, number("ipv6.fraghdr.nxt"));
                }
                fragments += 1;
            }
            _ => {}
        }
    }
    layers
}

fn position(more: u64, offset: u64) -> Option<&'static str> {
    match (more != 0, offset != 0) {
        (true, false) => Some("first"),
        (true, true) => Some("middle"),
        (false, true) => Some("last"),
        (false, false) => None,
    }
}

fn is_extension(token: &str) -> bool {
    token.starts_with("ipv6.") || matches!(token, "ah" | "hip" | "shim6" | "mipv6")
}

/// The class by what follows the outer header, and the position of the tunnel's first protocol.
fn class(tokens: &[&str], outer: usize, header: &Layer) -> (Option<&'static str>, usize) {
    let mut at = outer + 1;
    while tokens.get(at).is_some_and(|token| is_extension(token)) {
        at += 1;
    }
    let four = header.version == 4;
    if header.offset != 0 {
        let class = match (header.protocol, four) {
            (17, _) => None,
            (4, true) => Some("ipip"),
            (4, false) => Some("ip4in6"),
            (41, true) => Some("ip6in4"),
            (41, false) => Some("ip6in6"),
            (47, _) => Some("gre"),
            _ => Some("none"),
        };
        return (class, at);
    }
    let class = match (tokens.get(at).copied(), tokens.get(at + 1).copied()) {
        (Some("ip"), _) => {
            if four {
                "ipip"
            } else {
                "ip4in6"
            }
        }
        (Some("ipv6"), _) => {
            if four {
                "ip6in4"
            } else {
                "ip6in6"
            }
        }
        (Some("gre"), _) => "gre",
        (Some("udp"), Some("vxlan")) => "vxlan",
        (Some("udp"), Some("geneve")) => "geneve",
        (Some("udp"), Some("wg")) => "wireguard",
        _ => "none",
    };
    (Some(class), at)
}

/// The first IP header after the tunnel's.
fn inner(tokens: &[&str], tunnel: usize, layers: &[(usize, Layer)]) -> Option<Layer> {
    const BETWEEN: [&str; 8] = ["udp", "vxlan", "geneve", "gre", "eth", "ethertype", "vlan", "ieee8021ad"];
    let mut at = tunnel;
    while tokens.get(at).is_some_and(|token| BETWEEN.contains(token)) {
        at += 1;
    }
    layers.iter().find(|(place, _)| *place == at).map(|(_, layer)| layer.clone())
}
