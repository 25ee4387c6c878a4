//! A live source and the signals that end it, for every command that attaches.

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use crate::cli::{AttachArgs, IngressHook};
use crate::kernel::{Capacities, Ingress, Options};
use crate::topology::Choice;

/// SIGINT, SIGTERM and SIGHUP, any of which ends a command in good order.
pub struct Signals([Signal; 3]);

impl Signals {
    /// Starts to listen; from here on none of them kills the process.
    ///
    /// # Errors
    /// The system refused.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    /// Waits for any of them.
    pub async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
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
        price: None,
        capacities: Capacities {
            paths: attach.max_paths.unwrap_or(default.paths),
            peers: attach.max_peers.unwrap_or(default.peers),
            blocks: attach.max_blocks.unwrap_or(default.blocks),
            slots: attach.max_devices.unwrap_or(default.slots),
        },
    }
}
