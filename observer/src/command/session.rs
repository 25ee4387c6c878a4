//! A live source and the signals that end it, for every command that attaches.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use crate::cli::{AttachArgs, CostArgs, IngressHook, Settings, SourceArgs};
use crate::kernel::{Capacities, Ingress, Live, Measure, Options, Pinned, Purpose, pinned};
use crate::snapshot::Snapshot;
use crate::topology::Choice;

/// SIGINT, SIGTERM and SIGHUP.
pub struct Signals {
    end: [Signal; 2],
    hangup: Signal,
}

/// What a signal asks a service to do.
pub enum Wanted {
    /// End.
    End,
    /// Read the configuration again.
    Reload,
}

impl Signals {
    /// Starts to listen; from here on none of them kills the process.
    ///
    /// # Errors
    /// The system refused.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            end: [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?],
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Wanted {
        let [interrupt, terminate] = &mut self.end;
        tokio::select! {
            _ = interrupt.recv() => Wanted::End,
            _ = terminate.recv() => Wanted::End,
            _ = self.hangup.recv() => Wanted::Reload,
        }
    }

    /// Waits for any of them: without a service to reload, SIGHUP ends a command too.
    pub async fn any(&mut self) {
        let _ = self.next().await;
    }
}

/// Runs a future that attaches, on this thread.
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

/// What to attach to, as the kernel side wants it.
#[must_use]
pub fn options(attach: AttachArgs) -> Options {
    let default = Capacities::default();
    Options {
        choice: Choice {
            devices: attach.devices,
            extra_peers: attach.peers,
            pod_cidrs: attach.pod_cidrs,
            workloads: attach.workloads,
        },
        ingress: match attach.ingress {
            Some(IngressHook::Xdp) => Ingress::Xdp,
            Some(IngressHook::Tc) | None => Ingress::Tc,
        },
        cost: None,
        capacities: Capacities {
            paths: attach.max_paths.unwrap_or(default.paths),
            peers: attach.max_peers.unwrap_or(default.peers),
            blocks: attach.max_blocks.unwrap_or(default.blocks),
            slots: attach.max_devices.unwrap_or(default.slots),
            ..default
        },
        purpose: Purpose::Count,
        pins: None,
    }
}

/// During one of so many parts of the time it is measured where nothing else is said.
const COST_SAMPLE: u32 = 64;

/// What the options ask to measure; `None`: nothing.
#[must_use]
pub fn measure(args: CostArgs) -> Option<Measure> {
    args.cost.then(|| would_measure(args))
}

/// What would be measured if `--cost` were given.
#[must_use]
pub fn would_measure(args: CostArgs) -> Measure {
    Measure { sample: args.cost_sample.unwrap_or(COST_SAMPLE), hooks: args.cost_rtt_at_hooks }
}

/// Where a command's figures come from.
#[derive(Debug)]
pub enum Source {
    /// Our own hooks.
    Live(Box<Live>),
    /// The maps of an exporter that is at work here; nothing is attached.
    Pinned(Box<Pinned>),
}

impl Source {
    /// Reads the exporter's maps where one watches what is wanted, and attaches otherwise; `cost` as in
    /// [`Options`].
    ///
    /// # Errors
    /// The maps cannot be read, or what could not be attached.
    pub async fn open(
        attach: &AttachArgs,
        source: &SourceArgs,
        settings: &Settings,
        cost: Option<Measure>,
    ) -> Result<Self> {
        let options = Options { cost, ..options(attach.clone().or(settings)) };
        // What encapsulation costs is not in an exporter's pinned maps, even where it measures that.
        if cost.is_none()
            && let Some(directory) = source.directory(settings.export.pin_path.as_deref())
            && let Some(mut pinned) =
                pinned::find(directory).context("an exporter is at work here; --attach attaches besides")?
        {
            if pinned.serves(&options) {
                log::info!("{}", pinned.describe());
                return Ok(Self::Pinned(Box::new(pinned)));
            }
            log::info!("the exporter in {} does not watch what is asked for: attaching", directory.display());
        }
        Ok(Self::Live(Box::new(Live::start(options).await?)))
    }

    /// The state of all counters now.
    ///
    /// # Errors
    /// The maps cannot be read.
    pub fn read(&mut self) -> Result<Snapshot> {
        Ok(match self {
            Self::Live(live) => live.read()?,
            Self::Pinned(pinned) => pinned.read()?,
        })
    }

    /// Whether snapshots say what the programs cost.
    ///
    /// # Errors
    /// The kernel refused, or the programs are another process's.
    pub fn measure_programs(&mut self, on: bool) -> Result<()> {
        match self {
            Self::Live(live) => Ok(live.measure_programs(on)?),
            Self::Pinned(_) if on => {
                bail!("the programs are the exporter's: --attach attaches some of our own")
            }
            Self::Pinned(_) => Ok(()),
        }
    }

    /// Measures from now on what encapsulation costs, during one of so many parts of the time, or ends that.
    ///
    /// # Errors
    /// The kernel refused, or the maps are another process's.
    pub async fn measure_cost(&mut self, cost: Option<Measure>) -> Result<()> {
        match self {
            Self::Live(live) => Ok(live.measure_cost(cost).await?),
            Self::Pinned(_) if cost.is_some() => {
                bail!("these are an exporter's figures: start anew with --cost to attach besides")
            }
            Self::Pinned(_) => Ok(()),
        }
    }

    /// Waits until `due`, and meanwhile takes care of what is ours.
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

    /// Leaves the devices as they were found.
    pub async fn stop(&mut self) {
        if let Self::Live(live) = self {
            live.stop().await;
        }
    }
}
