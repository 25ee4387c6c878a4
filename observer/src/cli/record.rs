//! Options of `observer record` and `observer compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{AttachArgs, CostArgs, SourceArgs, seconds};

/// Options of `observer record`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer record --for 60s -o before.json          a minute, once a second
  sudo observer record --for 600 --interval 5 -o long.json eth0 vxlan.calico
  sudo observer record -o incident.json                  until Ctrl-C
  sudo observer record --for 60s -o - | gzip > before.json.gz
  sudo observer record --cost --for 60s -o before.json  with what encapsulation costs
  observer compare before.json after.json                what changed")]
pub struct RecordArgs {
    /// What to attach to.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// Beside an exporter.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How long to record, in seconds [default: until Ctrl-C]
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub length: Option<Duration>,
    /// Seconds between two snapshots [default: 1]
    #[arg(long, short = 'n', value_name = "SECONDS", value_parser = seconds, env = "OBSERVER_INTERVAL")]
    pub interval: Option<Duration>,
    /// The file to write; `-` is standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    pub force: bool,
    /// Measure what encapsulation costs.
    #[command(flatten)]
    pub cost: CostArgs,
}

/// Options of `observer compare`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer compare before.json after.json
  observer compare before.json after.json --format html -o report.html
  observer compare --before a1.json b1.json --after a2.json b2.json    a whole cluster
  observer compare before.json after.json --format json | jq .verdicts")]
pub struct CompareArgs {
    /// Two recordings: before, then after
    #[arg(value_name = "FILE", num_args = 2, required_unless_present_any = ["before", "after"],
          conflicts_with_all = ["before", "after"])]
    pub files: Vec<PathBuf>,
    /// Recordings of before, one a node
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "after")]
    pub before: Vec<PathBuf>,
    /// Recordings of after, one a node
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "before")]
    pub after: Vec<PathBuf>,
    /// Format
    #[arg(long, value_enum, default_value = "table")]
    pub format: CompareFormat,
    /// Write to a file instead of standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Formats of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For people
    Table,
    /// One versioned JSON document (docs/compare-json.md)
    Json,
    /// For issues and wikis
    Markdown,
    /// One page with charts, complete in itself
    Html,
}
