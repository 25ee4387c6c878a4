//! The options of `observer doctor`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::advice::plan::Target;
use crate::topology::{Prefix, prefix};

use super::{CostArgs, OutputArgs, SourceArgs, seconds};

/// Options of `observer doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer doctor                    what mode is this really, and what is wrong?
  observer doctor --no-measurement               from routes and devices alone, without root
  calicoctl get ippools,nodes,felixconfig -o yaml > calico.yaml
  sudo observer doctor --resources calico.yaml --for 10s
  sudo observer doctor --plan cross-subnet     what would a switch change?
  sudo observer doctor --plan native --cost --for 30s     and what CPU time would it save?
  sudo observer doctor --watch --metrics-file /var/lib/node_exporter/observer-doctor.prom

Exit code: 0 nothing found, 1 findings, 2 it could not look. Nothing is changed, ever.")]
pub struct DoctorArgs {
    /// Seconds to measure the wire
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, default_value = "3", env = "OBSERVER_DOCTOR_FOR")]
    pub duration: Duration,
    /// Beside an exporter.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Do not measure the wire: devices, routes and files only
    #[arg(long)]
    pub no_measurement: bool,
    /// The file that Felix writes the MTU of pods into
    #[arg(long, value_name = "FILE", default_value = "/var/lib/calico/mtu", env = "OBSERVER_MTU_FILE")]
    pub mtu_file: PathBuf,
    /// IP pools, nodes, Felix's configuration, block affinities: what `calicoctl get … -o yaml` or
    /// `kubectl get … -o yaml` printed; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1.., env = "OBSERVER_RESOURCES", value_delimiter = ',')]
    pub resources: Vec<PathBuf>,
    /// Ask the Kubernetes API for the same, as the pod we are in or with a kubeconfig
    #[arg(long)]
    pub kubernetes: bool,
    /// The kubeconfig to ask with
    #[arg(long, value_name = "FILE", requires = "kubernetes")]
    pub kubeconfig: Option<PathBuf>,
    /// Say what a switch to this mode would change
    #[arg(long, value_name = "MODE", value_enum)]
    pub plan: Option<PlanTarget>,
    /// MTU that the underlay will have, in bytes [default: as now]
    #[arg(long, value_name = "BYTES", requires = "plan", value_parser = clap::value_parser!(u32).range(576..=65_535))]
    pub mtu: Option<u32>,
    /// What encapsulation costs, for the plan.
    #[command(flatten)]
    pub cost: CostArgs,
    /// Look again and again, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60", requires = "watch")]
    pub interval: Duration,
    /// Write the findings as Prometheus metrics, for the text file collector of node_exporter
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    /// A node that no route, neighbour or forwarding entry names; may be repeated
    #[arg(long = "peer", value_name = "ADDRESS", env = "OBSERVER_PEERS", value_delimiter = ',')]
    pub peers: Vec<IpAddr>,
    /// A pod network whose native routes neither BIRD nor Felix wrote; may be repeated
    #[arg(long = "pod-cidr", value_name = "PREFIX", env = "OBSERVER_POD_CIDRS", value_delimiter = ',', value_parser = prefix)]
    pub pod_cidrs: Vec<Prefix>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Modes that can be planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanTarget {
    /// Native inside a subnet, the tunnel of now across
    CrossSubnet,
    /// No encapsulation (BGP)
    Native,
    /// VXLAN between all nodes
    Vxlan,
    /// IPIP between all nodes
    Ipip,
}

impl From<PlanTarget> for Target {
    fn from(target: PlanTarget) -> Self {
        match target {
            PlanTarget::CrossSubnet => Self::CrossSubnet,
            PlanTarget::Native => Self::Native,
            PlanTarget::Vxlan => Self::Vxlan,
            PlanTarget::Ipip => Self::Ipip,
        }
    }
}
