//! Options of `observer trace`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use observer_common::event::{LONGEST_SNAP, Why};

use super::{AttachArgs, seconds};

/// Options of `observer trace`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer trace                     every packet that hurts, on every device
  sudo observer trace eth0 --why fragment,too-big
  sudo observer trace --filter 'peer 10.10.2.13 and not port 179' --count 20
  sudo observer trace --format json | jq -r .reasons[]
  sudo observer trace --pcapng big.pcapng --snap 1514        the packets, too
  sudo observer trace --pcapng - | tshark -r -")]
pub struct TraceArgs {
    /// What to attach to.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// Which packets, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub why: Vec<WhyArg>,
    /// Which of them: host, net, port, proto, peer, dev, vni, ip.id, greater, less, ingress, egress; outer, inner, src, dst; and, or, not
    #[arg(long, short = 'F', value_name = "EXPRESSION")]
    pub filter: Option<String>,
    /// End after N packets
    #[arg(long, short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after that many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Packets a second of each reason on each CPU; the rest is counted; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub rate: u32,
    /// How to print [default: text]
    #[arg(long, value_enum)]
    pub format: Option<TraceFormat>,
    /// Also write every packet that is printed to a capture file; `-` is standard output, and nothing is printed
    #[arg(long, value_name = "FILE")]
    pub pcapng: Option<PathBuf>,
    /// Bytes of each packet in the capture file, 64 to 16384
    #[arg(long, value_name = "N", default_value_t = 128, requires = "pcapng",
          value_parser = clap::value_parser!(u32).range(64..=LONGEST_SNAP as i64))]
    pub snap: u32,
    /// Overwrite the capture file if it exists
    #[arg(long, requires = "pcapng")]
    pub force: bool,
}

/// How a packet is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TraceFormat {
    /// For people
    Text,
    /// One object a line (docs/trace-json.md)
    Json,
}

/// Which packets are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhyArg {
    /// Every reason
    All,
    /// Fragments, outer or inner
    Fragment,
    /// Larger than the device's MTU
    Oversized,
    /// Too large for the tunnel, and not to be fragmented
    WouldDrop,
    /// Too large for the tunnel, unless it is fragmented
    WouldFragment,
    /// ICMP "too big"
    Ptb,
    /// Cannot be parsed to its end
    Malformed,
    /// From or to a tunnel end or a VNI that the node does not know
    UnknownTunnel,
    /// Dropped by the kernel: too big, in fragments, or in a tunnel
    Drop,
}

impl WhyArg {
    /// Its bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::All => Why::ALL.iter().fold(0, |set, why| set | why.bit()),
            Self::Fragment => Why::Fragment.bit(),
            Self::Oversized => Why::Oversized.bit(),
            Self::WouldDrop => Why::WouldDrop.bit(),
            Self::WouldFragment => Why::WouldFragment.bit(),
            Self::Ptb => Why::Ptb.bit(),
            Self::Malformed => Why::Malformed.bit(),
            Self::UnknownTunnel => Why::UnknownTunnel.bit(),
            Self::Drop => Why::Drop.bit(),
        }
    }
}
