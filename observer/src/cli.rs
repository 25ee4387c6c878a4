//! The command line. Flags stand over the environment, the environment over the configuration file.

pub mod cluster;
mod record;
pub mod trace;

pub use record::{CompareArgs, CompareFormat, RecordArgs};

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use observer_common::abi::MOST_PATHS;

use crate::topology::{Prefix, prefix};

mod doctor;
mod export;
mod settings;
mod source;
mod values;

pub use doctor::{DoctorArgs, PlanTarget};
pub use export::{ExportArgs, PIN_PATH};
pub use settings::{ConfigError, ExportSettings, Settings};
pub use source::SourceArgs;
use values::speed;
pub use values::{IngressHook, seconds};

/// Live encapsulation overhead, fragmentation and MTU figures of a Calico node.
///
/// Observer attaches to the node's devices, counts, and never touches a packet.
#[derive(Debug, Parser)]
#[command(name = "observer", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  sudo observer top                       what is on the wire right now
  sudo observer stat --paths              one table over one second, with the top paths
  sudo observer stat --interval 5 --format json | jq .rows")]
pub struct Cli {
    /// Configuration file [default: /etc/observer/config.toml where that exists]
    #[arg(long, value_name = "FILE", env = "OBSERVER_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// How much to say on standard error: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", env = "OBSERVER_LOG", default_value = "warn", global = true)]
    pub log: log::LevelFilter,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show live figures in the terminal
    Top(TopArgs),
    /// Print figures once or every few seconds
    Stat(StatArgs),
    /// Print the packets that hurt, one by one, as they pass
    Trace(trace::TraceArgs),
    /// Print the same figures of capture files
    Pcap(PcapArgs),
    /// Record figures into a file, for later and for `compare`
    Record(RecordArgs),
    /// Compare recordings of before and after a change
    Compare(CompareArgs),
    /// Say which mode this node is in, what is wrong with it, and what a switch would change
    Doctor(Box<DoctorArgs>),
    /// Show the figures of all nodes, from a Prometheus that scrapes them
    Cluster(Box<cluster::ClusterArgs>),
    /// Serve the figures to Prometheus
    Export(ExportArgs),
    /// Load every program and attach none
    #[command(hide = true)]
    Probe,
}

/// Options of `observer top`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer top                       everything that carries or makes tunnel packets
  sudo observer top eth0 tunl0            these devices only
  sudo observer top --interval 0.5        twice a second
  sudo observer top --once                print one table and exit
  observer top --replay incident.obs      play a recording")]
pub struct TopArgs {
    /// What to attach to.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// Beside an exporter.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Seconds between two updates [default: 1]
    #[arg(long, short = 'n', value_name = "SECONDS", value_parser = seconds, env = "OBSERVER_INTERVAL")]
    pub interval: Option<Duration>,
    /// Print one table over one interval and exit
    #[arg(long)]
    pub once: bool,
    /// Play a recording instead of watching this node; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["once", "statistics"])]
    pub replay: Option<std::path::PathBuf>,
    /// Play it so many times as fast as it happened
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed, requires = "replay")]
    pub speed: f64,
    /// Ask the kernel what the programs cost, which costs some 25 ns per run (key c on the Health screen)
    #[arg(long = "stats")]
    pub statistics: bool,
    /// Measure what encapsulation costs.
    #[command(flatten)]
    pub cost: CostArgs,
    /// Take clicks and the wheel (key x)
    #[arg(long)]
    pub mouse: bool,
}

/// Options of `observer stat`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer stat                      one table over one second
  sudo observer stat --interval 5         a table every 5 seconds, until Ctrl-C
  sudo observer stat --interval 5 --count 12 --format csv --output minute.csv
  sudo observer stat --paths --format json | jq '.paths[0]'")]
pub struct StatArgs {
    /// What to attach to.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// Whether to attach at all.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Seconds that a report covers; given alone, reports go on until Ctrl-C [default: 1, once]
    #[arg(long, short = 'n', value_name = "SECONDS", value_parser = seconds, env = "OBSERVER_INTERVAL")]
    pub interval: Option<Duration>,
    /// How many reports to print
    #[arg(long, short = 'c', value_name = "N")]
    pub count: Option<u64>,
    /// Show the paths with most bytes, at most N (`--paths=50`)
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "20")]
    pub paths: Option<usize>,
    /// Show totals since the start instead of rates
    #[arg(long)]
    pub total: bool,
    /// Read a recording instead of the kernel: one report over all of it, or one every --interval
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Show bytes instead of bits
    #[arg(long)]
    pub bytes: bool,
    /// Measure what encapsulation costs.
    #[command(flatten)]
    pub cost: CostArgs,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What encapsulation costs.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct CostArgs {
    /// Measure CPU time of encapsulation, round-trip times, retransmissions and drops (docs/cost.md)
    #[arg(long, env = "OBSERVER_COST", value_parser = clap::builder::BoolishValueParser::new())]
    pub cost: bool,
    /// With --cost: also time TCP at the hooks, forwarded too, by programs that every packet passes
    #[arg(long, env = "OBSERVER_COST_RTT_AT_HOOKS", requires_if("true", "cost"), value_parser = clap::builder::BoolishValueParser::new())]
    pub cost_rtt_at_hooks: bool,
    /// With --cost: measure during one Nth of the time [default: 64]
    #[arg(long, value_name = "N", requires = "cost", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub cost_sample: Option<u32>,
}

/// Options of `observer pcap`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer pcap capture.pcap              what is in it
  observer pcap --paths --mtu 1500 *.pcapng
  observer pcap --events capture.pcap     each fragment, PTB message, malformed packet
  zcat capture.pcap.gz | observer pcap - --format json | jq .underlay")]
pub struct PcapArgs {
    /// Capture files, pcap or pcapng; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Show the pairs of tunnel endpoints with most bytes, at most N
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20", require_equals = true)]
    pub paths: Option<usize>,
    /// MTU to hold packets against, in bytes; without it, oversized packets are not measured
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=1_048_576))]
    pub mtu: Option<u32>,
    /// One more UDP port of VXLAN besides 4789; may be repeated, three fit
    #[arg(long = "vxlan-port", value_name = "PORT", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    pub vxlan_ports: Vec<u16>,
    /// Tell of single frames first, a line each
    #[arg(long, value_name = "WHICH", value_enum, num_args = 0..=1, default_missing_value = "notable", require_equals = true)]
    pub events: Option<EventChoice>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which frames of a capture are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventChoice {
    /// Fragments, oversized and malformed packets, PTB messages
    Notable,
    /// Every frame
    All,
}

/// How to print, the same everywhere.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Format
    #[arg(long, value_enum, default_value = "table", env = "OBSERVER_FORMAT")]
    pub format: Format,
    /// Write to a file instead of standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One versioned JSON document a report (docs/stat-json.md)
    Json,
    /// One line a row
    Csv,
}

/// What to attach to.
#[derive(Clone, Debug, Default, Args)]
pub struct AttachArgs {
    /// Devices to watch [default: underlays and tunnel devices, found by themselves]
    #[arg(value_name = "DEVICE", env = "OBSERVER_DEVICES", value_delimiter = ',')]
    pub devices: Vec<String>,
    /// Watch the pods' devices (cali*) too
    #[arg(long, env = "OBSERVER_WORKLOADS", value_parser = clap::builder::BoolishValueParser::new())]
    pub workloads: bool,
    /// Where ingress of underlay devices is counted
    #[arg(long, value_enum, env = "OBSERVER_INGRESS")]
    pub ingress: Option<IngressHook>,
    /// A node that no route, neighbour or forwarding entry names; may be repeated
    #[arg(long = "peer", value_name = "ADDRESS", env = "OBSERVER_PEERS", value_delimiter = ',')]
    pub peers: Vec<IpAddr>,
    /// A pod network whose native routes neither BIRD nor Felix wrote; may be repeated
    #[arg(long = "pod-cidr", value_name = "PREFIX", env = "OBSERVER_POD_CIDRS", value_delimiter = ',', value_parser = prefix)]
    pub pod_cidrs: Vec<Prefix>,
    /// Paths that fit (152 bytes each on every CPU) [default: 16384]
    #[arg(long, value_name = "N", env = "OBSERVER_MAX_PATHS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PATHS)))]
    pub max_paths: Option<u32>,
    /// Nodes that fit [default: 8192]
    #[arg(long, value_name = "N", env = "OBSERVER_MAX_PEERS", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub max_peers: Option<u32>,
    /// Pod blocks that fit [default: 32768]
    #[arg(long, value_name = "N", env = "OBSERVER_MAX_BLOCKS", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub max_blocks: Option<u32>,
    /// Devices that can be watched at once [default: 32]
    #[arg(long, value_name = "N", env = "OBSERVER_MAX_DEVICES", value_parser = clap::value_parser!(u32).range(1..=512))]
    pub max_devices: Option<u32>,
}

impl AttachArgs {
    /// Fills what was not given from the configuration file.
    #[must_use]
    pub fn or(mut self, settings: &Settings) -> Self {
        if self.devices.is_empty() {
            self.devices.clone_from(&settings.devices);
        }
        if self.peers.is_empty() {
            self.peers.clone_from(&settings.peers);
        }
        if self.pod_cidrs.is_empty() {
            self.pod_cidrs.clone_from(&settings.pod_cidrs);
        }
        self.workloads |= settings.workloads;
        self.ingress = self.ingress.or(settings.ingress);
        self.max_paths = self.max_paths.or(settings.max_paths);
        self.max_peers = self.max_peers.or(settings.max_peers);
        self.max_blocks = self.max_blocks.or(settings.max_blocks);
        self.max_devices = self.max_devices.or(settings.max_devices);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:"), "{} has no examples", command.get_name());
        }
    }
}
