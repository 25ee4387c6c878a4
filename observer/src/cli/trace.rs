//! Options of `observer trace`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use observer_common::event::{LONGEST_SNAP, Why};

use super::options::heading;
use super::{DeviceArgs, seconds};

/// Options of `observer trace`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer trace                     print notable packets of all devices
  sudo observer trace eth0 --why fragment,ptb
  sudo observer trace --filter 'peer 10.10.2.13 and not port 179' --count 20
  sudo observer trace --format json | jq -r .reasons[]
  sudo observer trace --pcapng big.pcapng --snap 1514      also capture the packets
  sudo observer trace --pcapng - | tshark -r -

Filters: host, net, port, proto, peer, dev, vni, ip.id, greater, less, ingress,
egress; qualified by outer, inner, src or dst; combined by and, or, not, ( ).")]
pub struct TraceArgs {
    /// What to attach to.
    #[command(flatten)]
    pub attach: DeviceArgs,
    /// Print packets for these reasons, separated by commas: all, fragment, oversized, would-drop, would-fragment, ptb, malformed, unknown-tunnel, drop
    #[arg(long, value_name = "REASON", value_enum, value_delimiter = ',', default_value = "all", help_heading = heading::PACKETS)]
    pub why: Vec<WhyArg>,
    /// Print only packets that match this filter (see below)
    #[arg(long, short = 'F', value_name = "FILTER", help_heading = heading::PACKETS)]
    pub filter: Option<String>,
    /// Exit after N packets
    #[arg(long, short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = heading::PACKETS)]
    pub count: Option<u64>,
    /// Exit after this many seconds, 0.1 to 86400
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = heading::PACKETS)]
    pub duration: Option<Duration>,
    /// Limit to N packets per second, reason and CPU, 0 (no limit) to 1000000; the rest is counted
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000), help_heading = heading::PACKETS)]
    pub rate: u32,
    /// Print text or json (one object per line) [default: text]
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = heading::OUTPUT)]
    pub format: Option<TraceFormat>,
    /// Also write the printed packets to this capture file; `-` writes it to standard output and prints nothing
    #[arg(long, value_name = "FILE", help_heading = heading::OUTPUT)]
    pub pcapng: Option<PathBuf>,
    /// With --pcapng: capture the first N bytes of each packet, 64 to 16384
    #[arg(long, value_name = "N", default_value_t = 128, requires = "pcapng",
          value_parser = clap::value_parser!(u32).range(64..=LONGEST_SNAP as i64), help_heading = heading::OUTPUT)]
    pub snap: u32,
    /// Overwrite the capture file if it exists
    #[arg(long, requires = "pcapng", help_heading = heading::OUTPUT)]
    pub force: bool,
}

/// How a packet is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TraceFormat {
    /// For people
    Text,
    /// One object per line
    Json,
}

/// Reasons to print a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhyArg {
    /// Every reason
    All,
    /// Fragments, outer or inner
    Fragment,
    /// Larger than the device's MTU
    Oversized,
    /// Too big for the tunnel, and not to be fragmented
    WouldDrop,
    /// Too big for the tunnel, unless fragmented
    WouldFragment,
    /// ICMP "packet too big"
    Ptb,
    /// Malformed
    Malformed,
    /// Unknown peer or unknown VNI
    UnknownTunnel,
    /// Dropped by the kernel: too big, fragmented, or in a tunnel
    Drop,
}

impl WhyArg {
    /// The bits of the programs.
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
