//! The command line. Flags override environment variables, which override the configuration file.

mod attach;
pub mod cluster;
mod doctor;
mod export;
mod options;
mod record;
mod settings;
pub mod trace;
mod values;

pub use attach::{AttachArgs, CostArgs, DeviceArgs, NodeArgs, SourceArgs};
pub use doctor::{DoctorArgs, PlanTarget};
pub use export::ExportArgs;
pub use options::PIN_PATH;
pub use record::{CompareArgs, CompareFormat, RecordArgs};
pub use settings::ConfigError;
pub use values::{IngressHook, seconds};

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use self::options::heading;
use self::values::speed;

/// Show encapsulation overhead, fragmentation and MTU problems of a Calico node
#[derive(Debug, Parser)]
#[command(name = "observer", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  sudo observer top                       show live figures
  sudo observer stat --paths              print one report, with the busiest paths
  sudo observer doctor                    find the node's mode and its problems
  sudo observer stat --interval 5 --format json | jq .rows

Observer counts packets and never changes, delays or drops one.")]
pub struct Cli {
    /// Read this configuration file [default: /etc/observer/config.toml if it exists]
    #[arg(long, value_name = "FILE", env = "OBSERVER_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// Log to standard error from this level on: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", env = "OBSERVER_LOG", default_value = "warn", global = true)]
    pub log: log::LevelFilter,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show live figures in the terminal
    Top(TopArgs),
    /// Print figures once or at an interval
    Stat(StatArgs),
    /// Print fragmented, oversized, malformed or dropped packets as they occur
    Trace(trace::TraceArgs),
    /// Print the figures of capture files
    Pcap(PcapArgs),
    /// Record figures to a file
    Record(RecordArgs),
    /// Compare recordings made before and after a change
    Compare(CompareArgs),
    /// Diagnose the node's mode and problems; preview a mode change
    Doctor(Box<DoctorArgs>),
    /// Print the figures of all nodes, read from Prometheus
    Cluster(Box<cluster::ClusterArgs>),
    /// Serve the figures to Prometheus
    Export(ExportArgs),
    /// Load every program without attaching it
    #[command(hide = true)]
    Probe,
}

/// The command line or the configuration file is wrong.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line, or a request for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Cli {
    /// The whole command line, for help, completions and documentation.
    #[must_use]
    pub fn definition() -> clap::Command {
        options::complete(Self::command())
    }

    /// Parses the command line, then again with the values of the configuration file as defaults.
    ///
    /// # Errors
    /// The command line or the file is wrong.
    pub fn read(line: impl IntoIterator<Item = OsString> + Clone) -> Result<Self, CliError> {
        let given = Self::definition().try_get_matches_from(line.clone())?;
        let command = settings::apply(Self::definition(), given.get_one("config").map(PathBuf::as_path))?;
        let matches = command.try_get_matches_from(line)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        if let Some((_, matches)) = matches.subcommand() {
            match &mut cli.command {
                Command::Stat(args) => args.repeat = is_given(matches, "interval"),
                // A directory on the command line overrides `no-pin` of the file.
                Command::Export(args) => args.no_pin &= !is_given(matches, "pin_path"),
                _ => {}
            }
        }
        Ok(cli)
    }
}

/// On the command line or in the environment, not in the configuration file.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id).is_some_and(|source| source != ValueSource::DefaultValue)
}

/// Options of `observer top`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer top                       watch underlay and tunnel devices
  sudo observer top eth0 tunl0            watch these devices only
  sudo observer top --interval 0.5        update twice a second
  sudo observer top --once                print one report and exit
  observer top --replay incident.obs      play a recording")]
pub struct TopArgs {
    /// What to attach to.
    #[command(flatten)]
    pub attach: AttachArgs,
    #[expect(missing_docs, reason = "cli/options.rs describes it")]
    #[arg(long, short = 'n', value_parser = seconds)]
    pub interval: Duration,
    /// Print one report over one interval and exit
    #[arg(long, help_heading = heading::FIGURES)]
    pub once: bool,
    /// Enable kernel BPF statistics (adds about 25 ns per program run; key c on the Health screen)
    #[arg(long = "stats", help_heading = heading::FIGURES)]
    pub statistics: bool,
    /// Where figures come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Play this recording instead of watching the node; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["once", "statistics"], help_heading = heading::SOURCE)]
    pub replay: Option<PathBuf>,
    /// Playback speed multiplier, 0.01 to 10000
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed, requires = "replay", help_heading = heading::SOURCE)]
    pub speed: f64,
    /// The cost of encapsulation.
    #[command(flatten)]
    pub cost: CostArgs,
    /// Enable mouse input (key x)
    #[arg(long, help_heading = heading::OUTPUT)]
    pub mouse: bool,
}

/// Options of `observer stat`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer stat                      one report over one second
  sudo observer stat --interval 5         a report every 5 seconds, until Ctrl-C
  sudo observer stat --interval 5 --count 12 --format csv --output minute.csv
  sudo observer stat --paths --format json | jq '.paths[0]'")]
pub struct StatArgs {
    /// What to attach to.
    #[command(flatten)]
    pub attach: AttachArgs,
    #[expect(missing_docs, reason = "cli/options.rs describes it")]
    #[arg(long, short = 'n', value_parser = seconds)]
    pub interval: Duration,
    /// Whether the interval was given, not only configured.
    #[arg(skip)]
    pub repeat: bool,
    /// Exit after N reports; default: 1, or no limit with --interval
    #[arg(long, short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = heading::FIGURES)]
    pub count: Option<u64>,
    /// Include the N paths with most bytes (--paths=50) [default: 20]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "20", help_heading = heading::FIGURES)]
    pub paths: Option<usize>,
    /// Print totals since counting began instead of rates
    #[arg(long, help_heading = heading::FIGURES)]
    pub total: bool,
    /// Print bytes instead of bits
    #[arg(long, help_heading = heading::FIGURES)]
    pub bytes: bool,
    /// Where figures come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Read this recording instead of the kernel: one report over all of it, or one per --interval
    #[arg(long, value_name = "FILE", help_heading = heading::SOURCE)]
    pub replay: Option<PathBuf>,
    /// The cost of encapsulation.
    #[command(flatten)]
    pub cost: CostArgs,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `observer pcap`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer pcap capture.pcap              print its figures
  observer pcap --paths --mtu 1500 *.pcapng
  observer pcap --events capture.pcap     also print each notable packet
  zcat capture.pcap.gz | observer pcap - --format json | jq .underlay")]
pub struct PcapArgs {
    /// Capture files, pcap or pcapng; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Include the N pairs of tunnel endpoints with most bytes (--paths=50) [default: 20]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20", require_equals = true, help_heading = heading::FIGURES)]
    pub paths: Option<usize>,
    /// MTU for detecting oversized packets, in bytes, 68 to 1048576; without it they are not counted
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=1_048_576), help_heading = heading::FIGURES)]
    pub mtu: Option<u32>,
    /// Additional UDP port of VXLAN (4789 is always included); may be repeated, up to 3 ports
    #[arg(long = "vxlan-port", value_name = "PORT", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..), help_heading = heading::FIGURES)]
    pub vxlan_ports: Vec<u16>,
    /// First print single frames: notable (fragments, oversized, malformed, PTB messages) or all [default: notable]
    #[arg(long, value_name = "WHICH", value_enum, num_args = 0..=1, default_missing_value = "notable", require_equals = true, help_heading = heading::FIGURES)]
    pub events: Option<EventChoice>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Frames of a capture to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventChoice {
    /// Fragments, oversized and malformed packets, PTB messages
    Notable,
    /// Every frame
    All,
}

/// Where and how to print.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print a table, json (one document per report) or csv
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table", env = "OBSERVER_FORMAT", help_heading = heading::OUTPUT)]
    pub format: Format,
    /// Write to this file instead of standard output
    #[arg(long, short = 'o', value_name = "FILE", help_heading = heading::OUTPUT)]
    pub output: Option<PathBuf>,
}

/// Formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One versioned JSON document per report
    Json,
    /// One line per row
    Csv,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Result<Cli, CliError> {
        let line: Vec<OsString> = ["observer"].iter().chain(line).map(OsString::from).collect();
        Cli::read(line)
    }

    /// Reads `observer export` with a configuration file.
    fn export(text: &str, flags: &[&str]) -> Result<ExportArgs, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config.toml");
        std::fs::write(&file, text).expect("write");
        let line = [&["export", "--config", file.to_str().expect("a path")], flags].concat();
        match read(&line).map_err(|error| error.to_string())?.command {
            Command::Export(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::definition().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::definition().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:"), "{} has no examples", command.get_name());
        }
    }

    #[test]
    fn the_file_sets_what_flags_set_and_flags_override_it() {
        let file = "devices = [\"eth0\", \"tunl0\"]\ningress = \"xdp\"\npod-cidrs = [\"10.244.0.0/16\"]\n\
                    max-paths = 7\nworkloads = true\npin-path = \"/p\"\n[export]\nlisten = \"[::1]:1\"\n";
        let args = export(file, &["--max-paths", "8"]).expect("a valid file");
        assert_eq!(args.attach.devices.devices, ["eth0", "tunl0"]);
        assert_eq!(args.attach.ingress, IngressHook::Xdp);
        assert_eq!(args.attach.devices.node.pod_cidrs.len(), 1);
        assert_eq!(args.attach.devices.node.max_paths, 8);
        assert!(args.attach.devices.workloads);
        assert_eq!(args.listen, ["[::1]:1".parse().expect("an address")]);
        let args = export(file, &["eth1", "--listen", "[::1]:2"]).expect("a valid file");
        assert_eq!(args.attach.devices.devices, ["eth1"]);
        assert_eq!(args.listen, ["[::1]:2".parse().expect("an address")]);
        assert_eq!((args.attach.devices.node.max_paths, args.pin_path), (7, PathBuf::from("/p")));
    }

    #[test]
    fn a_named_directory_overrides_no_pin_of_the_file() {
        let file = "[export]\nno-pin = true\n";
        assert!(export(file, &[]).expect("a valid file").no_pin);
        assert!(!export(file, &["--pin-path", "/p"]).expect("a valid file").no_pin);
        assert!(export("", &["--pin-path", "/p", "--no-pin"]).is_err());
    }

    #[test]
    fn cost_is_off_unless_requested() {
        let off = export("", &[]).expect("an empty file").cost;
        assert_eq!((off.cost, off.cost_rtt_at_hooks, off.cost_sample), (false, false, 64));
        let file = "[export]\ncost = true\ncost-rtt-at-hooks = true\ncost-sample = 8\n";
        let on = export(file, &[]).expect("a valid file").cost;
        assert_eq!((on.cost, on.cost_rtt_at_hooks, on.cost_sample), (true, true, 8));
    }

    #[test]
    fn stat_repeats_only_if_the_interval_is_given() {
        let stat = |line: &[&str]| match read(line).expect("a valid line").command {
            Command::Stat(args) => (args.interval, args.repeat),
            other => panic!("{other:?}"),
        };
        assert_eq!(stat(&["stat"]), (Duration::from_secs(1), false));
        assert_eq!(stat(&["stat", "-n", "1"]), (Duration::from_secs(1), true));
    }

    #[test]
    fn mistakes_in_the_file_have_their_line_and_the_message_of_the_flag() {
        for (text, expected) in [
            ("workloads = true\ndevics = []\n", "line 2: unknown key `devics`"),
            ("max-paths = 0\n", "line 1: invalid value '0' for 'max-paths': 0 is not in 1..=1048576"),
            (
                "\n[export]\ncost-sample = 0\n",
                "line 3: invalid value '0' for 'cost-sample': 0 is not in 1..=1000000",
            ),
            ("interval = 0\n", "0.1 to 86400 seconds"),
            ("ingress = \"ebpf\"\n", "invalid value 'ebpf' for 'ingress'"),
            ("workloads = \"on\"\n", "invalid value for `workloads`: expected true or false"),
            ("peers = [[]]\n", "invalid value for `peers`: expected a string or a number"),
            ("max-paths = [1, 2]\n", "line 1: "),
            ("max-paths = \n", "line 1: "),
        ] {
            let error = export(text, &[]).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        let flag = read(&["export", "--max-paths", "0"]).expect_err("out of range").to_string();
        assert!(flag.contains("invalid value '0' for '--max-paths <N>': 0 is not in 1..=1048576"), "{flag}");
    }
}
