//! Sources of live figures, and signals, for commands that attach.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use crate::cli::{AttachArgs, CostArgs, DeviceArgs, IngressHook, NodeArgs, SourceArgs};
use crate::kernel::{Capacities, Ingress, Live, Measure, Options, Pinned, pinned};
use crate::snapshot::Snapshot;
use crate::topology::Choice;

/// SIGINT, SIGTERM and SIGHUP.
pub struct Signals {
    end: [Signal; 2],
    hangup: Signal,
}

/// What a signal requests from a service.
pub enum Requested {
    /// Stop.
    Stop,
    /// Read the configuration again.
    Reload,
}

impl Signals {
    /// Handles the signals from now on: none of them kills the process.
    ///
    /// # Errors
    /// A handler cannot be installed.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            end: [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?],
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Requested {
        let [interrupt, terminate] = &mut self.end;
        tokio::select! {
            _ = interrupt.recv() => Requested::Stop,
            _ = terminate.recv() => Requested::Stop,
            _ = self.hangup.recv() => Requested::Reload,
        }
    }

    /// Waits for any signal: without a service to reload, SIGHUP stops a command too.
    pub async fn any(&mut self) {
        let _ = self.next().await;
    }
}

/// Runs a future on this thread.
///
/// # Errors
/// The future's own.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    LocalSet::new().block_on(&runtime, future)
}

impl From<&NodeArgs> for Options {
    fn from(args: &NodeArgs) -> Self {
        Self {
            choice: Choice {
                extra_peers: args.peers.clone(),
                pod_cidrs: args.pod_cidrs.clone(),
                ..Choice::default()
            },
            capacities: Capacities {
                paths: args.max_paths,
                peers: args.max_peers,
                blocks: args.max_blocks,
                slots: args.max_devices,
                ..Capacities::default()
            },
            ..Self::default()
        }
    }
}

impl From<&DeviceArgs> for Options {
    fn from(args: &DeviceArgs) -> Self {
        let mut options = Self::from(&args.node);
        options.choice.devices.clone_from(&args.devices);
        options.choice.workloads = args.workloads;
        options
    }
}

impl From<&AttachArgs> for Options {
    fn from(args: &AttachArgs) -> Self {
        let ingress = match args.ingress {
            IngressHook::Xdp => Ingress::Xdp,
            IngressHook::Tc => Ingress::Tc,
        };
        Self { ingress, ..Self::from(&args.devices) }
    }
}

/// What to measure; `None`: nothing.
#[must_use]
pub fn measure(args: CostArgs) -> Option<Measure> {
    args.cost.then(|| would_measure(args))
}

/// What to measure if it is requested later.
#[must_use]
pub fn would_measure(args: CostArgs) -> Measure {
    Measure { sample: args.cost_sample, hooks: args.cost_rtt_at_hooks }
}

/// Where a command's figures come from.
#[derive(Debug)]
pub enum Source {
    /// Its own hooks.
    Live(Box<Live>),
    /// The maps of a running exporter; nothing is attached.
    Pinned(Box<Pinned>),
}

impl Source {
    /// Reads the exporter's maps if they cover what is requested, and attaches otherwise; `cost` as in
    /// [`Options`].
    ///
    /// # Errors
    /// The maps cannot be read, or a program cannot be attached.
    pub async fn open(
        attach: impl Into<Options>,
        source: &SourceArgs,
        cost: Option<Measure>,
    ) -> Result<Self> {
        let options = Options { cost, ..attach.into() };
        // An exporter's pinned maps do not contain the cost of encapsulation, even if it measures that.
        if cost.is_none()
            && let Some(directory) = source.directory()
            && let Some(mut pinned) = pinned::find(directory).map_err(|error| {
                anyhow!(
                    "cannot read the maps of the running exporter: {error}; use --attach to attach separately"
                )
            })?
        {
            if pinned.serves(&options) {
                log::info!("{}", pinned.describe());
                return Ok(Self::Pinned(Box::new(pinned)));
            }
            log::info!(
                "attaching: the exporter in {} does not watch everything requested",
                directory.display()
            );
        }
        Ok(Self::Live(Box::new(Live::start(options).await?)))
    }

    /// The current state of all counters.
    ///
    /// # Errors
    /// The maps cannot be read.
    pub fn read(&mut self) -> Result<Snapshot> {
        Ok(match self {
            Self::Live(live) => live.read()?,
            Self::Pinned(pinned) => pinned.read()?,
        })
    }

    /// Enables or disables kernel statistics of the programs.
    ///
    /// # Errors
    /// The kernel refuses, or the programs are another process's.
    pub fn measure_programs(&mut self, on: bool) -> Result<()> {
        match self {
            Self::Live(live) => Ok(live.measure_programs(on)?),
            Self::Pinned(_) if on => {
                bail!(
                    "cannot measure the programs: they belong to the running exporter; restart with --attach"
                )
            }
            Self::Pinned(_) => Ok(()),
        }
    }

    /// Starts or stops measuring the cost of encapsulation.
    ///
    /// # Errors
    /// The kernel refuses, or the maps are another process's.
    pub async fn measure_cost(&mut self, cost: Option<Measure>) -> Result<()> {
        match self {
            Self::Live(live) => Ok(live.measure_cost(cost).await?),
            Self::Pinned(_) if cost.is_some() => {
                bail!("cannot measure the cost: the exporter's maps do not contain it; restart with --cost")
            }
            Self::Pinned(_) => Ok(()),
        }
    }

    /// Supervises the hooks until `due`.
    ///
    /// # Errors
    /// As [`Live::run_until`].
    pub async fn run_until(&mut self, due: Instant) -> Result<()> {
        match self {
            Self::Live(live) => live.run_until(due).await?,
            Self::Pinned(_) => tokio::time::sleep_until(due.into()).await,
        }
        Ok(())
    }

    /// Detaches everything.
    pub async fn stop(&mut self) {
        if let Self::Live(live) = self {
            live.stop().await;
        }
    }
}
