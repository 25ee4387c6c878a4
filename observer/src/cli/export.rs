//! Options of `observer export`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::settings::ExportSettings;
use super::{AttachArgs, CostArgs};

/// Peers that are exported one by one where nothing else is said.
const PEERS_EXPORTED: usize = 100;
/// Where Prometheus finds it where nothing else is said; only from this machine.
const LISTEN: &str = "127.0.0.1:9475";
/// Where the maps are pinned where nothing else is said.
pub const PIN_PATH: &str = "/sys/fs/bpf/observer";

/// Options of `observer export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  sudo observer export                    http://127.0.0.1:9475/metrics
  sudo observer export --listen 0.0.0.0:9475 --web-config /etc/observer/web.yaml
  sudo observer export --cost            with what encapsulation costs
  curl -s http://127.0.0.1:9475/api/v1/snapshot | jq .rows")]
pub struct ExportArgs {
    /// What to attach to.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// Address and port to listen at; may be repeated [default: 127.0.0.1:9475]
    #[arg(long, value_name = "ADDRESS:PORT", env = "OBSERVER_LISTEN", value_delimiter = ',')]
    pub listen: Vec<SocketAddr>,
    /// TLS and basic authentication, in the form of the web configuration of Prometheus' exporters
    #[arg(long, value_name = "FILE", env = "OBSERVER_WEB_CONFIG")]
    pub web_config: Option<PathBuf>,
    /// Peers with most bytes whose paths are exported one by one; the rest is summed [default: 100]
    #[arg(long, value_name = "N", env = "OBSERVER_PEERS_EXPORTED")]
    pub peers_exported: Option<usize>,
    /// Directory on a BPF file system to pin the maps in [default: /sys/fs/bpf/observer]
    #[arg(long, value_name = "DIRECTORY", env = "OBSERVER_PIN_PATH")]
    pub pin_path: Option<PathBuf>,
    /// Do not pin the maps: totals begin anew with each start, and no other observer reads them
    #[arg(long, env = "OBSERVER_NO_PIN", value_parser = BoolishValueParser::new(), conflicts_with = "pin_path")]
    pub no_pin: bool,
    /// Measure what encapsulation costs.
    #[command(flatten)]
    pub cost: CostArgs,
    /// Keep all capabilities and allow all system calls
    #[arg(long, env = "OBSERVER_NO_SANDBOX", value_parser = BoolishValueParser::new())]
    pub no_sandbox: bool,
}

impl ExportArgs {
    /// Fills what was not given from the configuration file, and from the defaults.
    #[must_use]
    pub fn or(mut self, settings: &ExportSettings) -> Self {
        if self.listen.is_empty() {
            self.listen.clone_from(&settings.listen);
        }
        if self.listen.is_empty() {
            self.listen.extend(LISTEN.parse::<SocketAddr>());
        }
        self.web_config = self.web_config.or_else(|| settings.web_config.clone());
        self.peers_exported = self.peers_exported.or(settings.peers_exported).or(Some(PEERS_EXPORTED));
        let named = self.pin_path.is_some();
        self.pin_path = self.pin_path.or_else(|| settings.pin_path.clone());
        self.no_pin |= settings.no_pin && !named;
        self.cost.cost |= settings.cost;
        self.cost.cost_rtt_at_hooks |= settings.cost_rtt_at_hooks;
        self.cost.cost_sample = self.cost.cost_sample.or(settings.cost_sample);
        self.no_sandbox |= settings.no_sandbox;
        self
    }
}
