//! Options of `observer cluster`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::options::heading;
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
    /// Query this Prometheus server, which scrapes `observer export` on the nodes
    #[arg(long, value_name = "URL", env = "OBSERVER_PROMETHEUS", help_heading = heading::SOURCE)]
    pub prometheus: String,
    /// Restrict the query by label matchers as in PromQL: 'cluster="edge",zone!="x"'
    #[arg(long, value_name = "MATCHERS", env = "OBSERVER_SELECTOR", default_value = "", hide_default_value = true, help_heading = heading::SOURCE)]
    pub selector: String,
    /// Authenticate as this user (HTTP basic authentication)
    #[arg(long, value_name = "NAME", requires = "password_file", env = "OBSERVER_PROMETHEUS_USER", help_heading = heading::SOURCE)]
    pub user: Option<String>,
    /// Read the password of --user from this file
    #[arg(long, value_name = "FILE", requires = "user", env = "OBSERVER_PROMETHEUS_PASSWORD_FILE", help_heading = heading::SOURCE)]
    pub password_file: Option<PathBuf>,
    /// Read a bearer token from this file
    #[arg(long, value_name = "FILE", conflicts_with = "user", env = "OBSERVER_PROMETHEUS_TOKEN_FILE", help_heading = heading::SOURCE)]
    pub token_file: Option<PathBuf>,
    /// Trust the CA certificates in this PEM file [default: public CAs, built in]
    #[arg(long, value_name = "FILE", env = "OBSERVER_PROMETHEUS_CA_FILE", help_heading = heading::SOURCE)]
    pub ca_file: Option<PathBuf>,
    /// Time limit of each query, 0.1 to 86400 seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10", help_heading = heading::SOURCE)]
    pub timeout: Duration,
    /// Average rates over this many seconds, 0.1 to 86400; at least four scrape intervals
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "300", help_heading = heading::FIGURES)]
    pub window: Duration,
    /// Show the N cross-subnet paths with most bytes, 1 to 1000
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = heading::FIGURES)]
    pub pairs: u16,
    /// Show the progress of a switch to this mode: native, ipip-always, ipip-crosssubnet, vxlan-always or vxlan-crosssubnet
    #[arg(long, value_name = "MODE", help_heading = heading::FIGURES)]
    pub to: Option<Goal>,
    /// Print bytes instead of bits
    #[arg(long, help_heading = heading::FIGURES)]
    pub bytes: bool,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}
