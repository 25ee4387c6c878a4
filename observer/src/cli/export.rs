//! Options of `observer export`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{AttachArgs, CostArgs};

/// Options of `observer export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  sudo observer export                    serve http://127.0.0.1:9475/metrics
  sudo observer export --listen 0.0.0.0:9475 --web-config /etc/observer/web.yaml
  sudo observer export --cost             also export the cost of encapsulation
  curl -s http://127.0.0.1:9475/api/v1/snapshot | jq .rows")]
#[expect(missing_docs, reason = "cli/options.rs describes the fields")]
pub struct ExportArgs {
    #[arg(long, value_delimiter = ',')]
    pub listen: Vec<SocketAddr>,
    #[arg(long)]
    pub web_config: Option<PathBuf>,
    #[arg(long)]
    pub no_sandbox: bool,
    #[command(flatten)]
    pub attach: AttachArgs,
    #[arg(long)]
    pub peers_exported: u32,
    #[arg(long)]
    pub pin_path: PathBuf,
    #[arg(long, conflicts_with = "pin_path")]
    pub no_pin: bool,
    #[command(flatten)]
    pub cost: CostArgs,
}
