//! Options of `observer record` and `observer compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::options::heading;
use super::{AttachArgs, CostArgs, SourceArgs, seconds};

/// Options of `observer record`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer record --for 60s -o before.json          one minute, one snapshot per second
  sudo observer record --for 600 --interval 5 -o long.json eth0 vxlan.calico
  sudo observer record -o incident.json                  until Ctrl-C
  sudo observer record --for 60s -o - | gzip > before.json.gz
  sudo observer record --cost --for 60s -o before.json   with CPU time
  observer compare before.json after.json                compare two recordings")]
pub struct RecordArgs {
    /// What to attach to.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// Record for this many seconds, 0.1 to 86400 [default: until Ctrl-C]
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, help_heading = heading::FIGURES)]
    pub length: Option<Duration>,
    #[expect(missing_docs, reason = "cli/options.rs describes it")]
    #[arg(long, short = 'n', value_parser = seconds)]
    pub interval: Duration,
    /// Where figures come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The cost of encapsulation.
    #[command(flatten)]
    pub cost: CostArgs,
    /// Write to this file; `-` is standard output
    #[arg(long, short = 'o', value_name = "FILE", help_heading = heading::OUTPUT)]
    pub output: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long, help_heading = heading::OUTPUT)]
    pub force: bool,
}

/// Options of `observer compare`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer compare before.json after.json
  observer compare before.json after.json --format html -o report.html
  observer compare --before a1.json b1.json --after a2.json b2.json
  observer compare before.json after.json --format json | jq .verdicts")]
pub struct CompareArgs {
    /// Two recordings: before, then after
    #[arg(value_name = "FILE", num_args = 2, required_unless_present_any = ["before", "after"],
          conflicts_with_all = ["before", "after"])]
    pub files: Vec<PathBuf>,
    /// Recordings made before the change, one per node
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "after", help_heading = heading::SOURCE)]
    pub before: Vec<PathBuf>,
    /// Recordings made after the change, one per node
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "before", help_heading = heading::SOURCE)]
    pub after: Vec<PathBuf>,
    /// Print a table, json, markdown or an html page with charts
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table", help_heading = heading::OUTPUT)]
    pub format: CompareFormat,
    /// Write to this file instead of standard output
    #[arg(long, short = 'o', value_name = "FILE", help_heading = heading::OUTPUT)]
    pub output: Option<PathBuf>,
}

/// Formats of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For people
    Table,
    /// One versioned JSON document
    Json,
    /// For issues and wikis
    Markdown,
    /// One self-contained page with charts
    Html,
}
