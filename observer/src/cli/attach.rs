//! Options of commands that attach programs. What each does, and its default, is in [`super::options`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::BoolishValueParser;

use super::options::heading;
use super::values::IngressHook;
use crate::topology::{Prefix, prefix};

/// What to attach to, and where.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "cli/options.rs describes the fields")]
pub struct AttachArgs {
    #[command(flatten)]
    pub devices: DeviceArgs,
    #[arg(long, value_enum)]
    pub ingress: IngressHook,
}

/// What to attach to.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "cli/options.rs describes the fields")]
pub struct DeviceArgs {
    #[arg(value_delimiter = ',')]
    pub devices: Vec<String>,
    #[arg(long)]
    pub workloads: bool,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// What belongs to the cluster, and how much of it fits into the maps.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "cli/options.rs describes the fields")]
pub struct NodeArgs {
    #[arg(long = "peer", value_delimiter = ',')]
    pub peers: Vec<IpAddr>,
    #[arg(long = "pod-cidr", value_delimiter = ',', value_parser = prefix)]
    pub pod_cidrs: Vec<Prefix>,
    #[arg(long)]
    pub max_paths: u32,
    #[arg(long)]
    pub max_peers: u32,
    #[arg(long)]
    pub max_blocks: u32,
    #[arg(long)]
    pub max_devices: u32,
}

/// Whether to read an exporter's maps instead of attaching.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// Attach programs even if an exporter's maps can be read
    #[arg(long, env = "OBSERVER_ATTACH", value_parser = BoolishValueParser::new(), help_heading = heading::SOURCE)]
    pub attach: bool,
    #[expect(missing_docs, reason = "cli/options.rs describes it")]
    #[arg(long)]
    pub pin_path: PathBuf,
}

impl SourceArgs {
    /// The directory of an exporter's maps; `None` with `--attach`.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        (!self.attach).then_some(&self.pin_path)
    }
}

/// The cost of encapsulation.
#[derive(Clone, Copy, Debug, Args)]
#[expect(missing_docs, reason = "cli/options.rs describes the fields")]
pub struct CostArgs {
    #[arg(long)]
    pub cost: bool,
    #[arg(long, requires_if("true", "cost"))]
    pub cost_rtt_at_hooks: bool,
    #[arg(long, requires = "cost")]
    pub cost_sample: u32,
}
