//! Options of `observer cluster`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{OutputArgs, seconds};
use crate::fleet::Goal;

/// Options of `observer cluster`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  observer cluster --prometheus http://127.0.0.1:9090
  observer cluster --prometheus https://prom.example --ca-file ca.pem --token-file token
  observer cluster --selector 'cluster=\"edge\"' --to ipip-crosssubnet
  observer cluster --format json | jq '.nodes[] | select(.answering | not).name'")]
pub struct ClusterArgs {
    /// Prometheus that scrapes `observer export` on the nodes
    #[arg(long, value_name = "URL", env = "OBSERVER_PROMETHEUS")]
    pub prometheus: String,
    /// Label matchers that restrict what is looked at, as in PromQL: 'cluster="edge",zone!="x"'
    #[arg(
        long,
        value_name = "MATCHERS",
        env = "OBSERVER_SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    pub selector: String,
    /// Seconds that rates are taken over; four scrapes at least
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "300")]
    pub window: Duration,
    /// Show the N paths across subnets with most bytes
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub pairs: u16,
    /// Show how far the switch to a mode is: native, ipip-always, ipip-crosssubnet, vxlan-always,
    /// vxlan-crosssubnet
    #[arg(long, value_name = "MODE")]
    pub to: Option<Goal>,
    /// Show bytes instead of bits
    #[arg(long)]
    pub bytes: bool,
    /// Name for HTTP basic authentication
    #[arg(long, value_name = "NAME", requires = "password_file", env = "OBSERVER_PROMETHEUS_USER")]
    pub user: Option<String>,
    /// File with the password of --user
    #[arg(long, value_name = "FILE", requires = "user", env = "OBSERVER_PROMETHEUS_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// File with a bearer token
    #[arg(long, value_name = "FILE", conflicts_with = "user", env = "OBSERVER_PROMETHEUS_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates of the authorities to trust, PEM [default: the public ones, built in]
    #[arg(long, value_name = "FILE", env = "OBSERVER_PROMETHEUS_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Seconds that each query may take
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub timeout: Duration,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}
