//! Options of `observer doctor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::options::heading;
use super::{CostArgs, NodeArgs, OutputArgs, SourceArgs, seconds};
use crate::advice::plan::Target;

/// Options of `observer doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo observer doctor                       find mode and problems
  observer doctor --no-measurement           without root
  calicoctl get ippools,nodes,felixconfig -o yaml > calico.yaml
  sudo observer doctor --resources calico.yaml --for 10s
  sudo observer doctor --plan cross-subnet   preview a mode change
  sudo observer doctor --plan native --cost --for 30s   with saved CPU time
  sudo observer doctor --watch --metrics-file observer-doctor.prom

Exit codes: 0 no findings, 1 findings, 2 failure. Nothing on the node is changed.")]
pub struct DoctorArgs {
    /// Measure traffic for this many seconds, 0.1 to 86400
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, default_value = "3", env = "OBSERVER_DOCTOR_FOR", help_heading = heading::FIGURES)]
    pub duration: Duration,
    /// Do not measure traffic: check devices, routes and files only
    #[arg(long, help_heading = heading::FIGURES)]
    pub no_measurement: bool,
    /// Repeat until interrupted
    #[arg(long, help_heading = heading::FIGURES)]
    pub watch: bool,
    /// With --watch: interval between diagnoses, 0.1 to 86400 seconds
    #[arg(long = "interval", value_name = "SECONDS", value_parser = seconds, default_value = "60", requires = "watch", help_heading = heading::FIGURES)]
    pub watch_interval: Duration,
    /// Preview a change to this mode: cross-subnet, native, vxlan or ipip
    #[arg(long, value_name = "MODE", value_enum, help_heading = heading::PLAN)]
    pub plan: Option<PlanTarget>,
    /// With --plan: future MTU of the underlay in bytes, 576 to 65535 [default: its current MTU]
    #[arg(long, value_name = "BYTES", requires = "plan", value_parser = clap::value_parser!(u32).range(576..=65_535), help_heading = heading::PLAN)]
    pub mtu: Option<u32>,
    /// Where figures come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Read Calico's resources from this file, as printed by `calicoctl get … -o yaml` or `kubectl get … -o yaml`; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1.., env = "OBSERVER_RESOURCES", value_delimiter = ',', help_heading = heading::SOURCE)]
    pub resources: Vec<PathBuf>,
    /// Read Calico's resources from the Kubernetes API, as this pod's service account or with --kubeconfig
    #[arg(long, help_heading = heading::SOURCE)]
    pub kubernetes: bool,
    /// Use this kubeconfig
    #[arg(long, value_name = "FILE", requires = "kubernetes", help_heading = heading::SOURCE)]
    pub kubeconfig: Option<PathBuf>,
    /// Read the pod MTU that Felix detected from this file
    #[arg(long, value_name = "FILE", default_value = "/var/lib/calico/mtu", env = "OBSERVER_MTU_FILE", help_heading = heading::SOURCE)]
    pub mtu_file: PathBuf,
    /// The cluster.
    #[command(flatten)]
    pub node: NodeArgs,
    /// The cost of encapsulation, for the plan.
    #[command(flatten)]
    pub cost: CostArgs,
    /// Also write the findings as metrics to this file, for the textfile collector of node_exporter
    #[arg(long, value_name = "FILE", help_heading = heading::OUTPUT)]
    pub metrics_file: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Modes of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanTarget {
    /// Native within a subnet, current encapsulation across subnets
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
