//! `observer export`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tokio::sync::mpsc;

use super::session::{Requested, Signals, block_on, measure};
use crate::cli::{Cli, Command, ExportArgs, NodeArgs, PIN_PATH};
use crate::export::{ReadRequest, Reading, Server, Web, notify};
use crate::kernel::{Live, Options, pinned, sys};
use crate::process::sandbox;
use crate::view::prometheus::Selection;

/// Pending requests.
const PENDING: usize = 16;

/// Runs `observer export`.
///
/// # Errors
/// A program cannot be attached, an address cannot be used, or counters cannot be read.
pub fn run(args: &ExportArgs) -> Result<()> {
    let web = Web::read(args.web_config.as_deref())?;
    let server = Server::bind(&args.listen, web)?;
    if !args.no_sandbox {
        // Needs a capability that is dropped next; only kernels before 5.11 need it.
        sys::raise_memlock();
        sandbox::drop_capabilities()?;
    }
    block_on(async {
        let mut signals = Signals::new()?;
        let mut live = Live::start(Options { pins: pins(args), ..Options::from(&args.attach) }).await?;
        if let Err(error) = live.measure_cost(measure(args.cost)).await {
            // A node of the fleet with an old kernel still exports everything else.
            log::error!("cannot measure the cost of encapsulation: {error}");
        }
        if !args.no_sandbox {
            // Before the server's thread starts, which inherits the filter.
            if let Err(error) = sandbox::filter_system_calls() {
                live.stop().await;
                return Err(error.into());
            }
        }
        for missing in live.read()?.cost.iter().flat_map(|cost| &cost.missing) {
            log::warn!("not measured: {missing}");
        }
        let (requests, mut pending) = mpsc::channel(PENDING);
        let reload = server.reload();
        let addresses = server.addresses();
        server.start(requests).context("cannot start the HTTP server")?;
        for address in addresses {
            log::info!("serving metrics on {address}");
        }
        notify::ready();
        let mut exporter = Exporter {
            selection: Selection::resume(live.remembered()),
            live,
            peers: args.peers_exported as usize,
            cost_peers: args.peers_exported as usize,
        };
        let result = loop {
            match exporter.answer(&mut pending, &mut signals).await {
                Ok(Requested::Stop) => break Ok(()),
                Ok(Requested::Reload) => {
                    notify::reloading();
                    match reload_all(&mut exporter, &reload) {
                        Ok(()) => log::info!("configuration reloaded"),
                        Err(error) => log::error!("configuration not reloaded: {error:#}"),
                    }
                    notify::ready();
                }
                Err(error) => break Err(error),
            }
        };
        notify::stopping();
        exporter.live.stop().await;
        result
    })
}

/// The directory to pin maps in: `None` with `--no-pin`, or if there is no BPF file system in the default place.
fn pins(args: &ExportArgs) -> Option<PathBuf> {
    if args.no_pin {
        return None;
    }
    if args.pin_path == Path::new(PIN_PATH) && !pinned::possible(&args.pin_path) {
        log::warn!(
            "maps are not pinned, so totals restart at 0 with the exporter: no BPF file system at /sys/fs/bpf; mount \
             one, or use --no-pin"
        );
        return None;
    }
    Some(args.pin_path.clone())
}

/// Applies new certificates, passwords, peers, pod networks and the number of exported peers. Everything else
/// needs a restart.
fn reload_all(exporter: &mut Exporter, web: &crate::export::Reload) -> Result<()> {
    let Command::Export(args) = Cli::read(std::env::args_os().collect::<Vec<_>>())?.command else {
        bail!("cannot reload: the command line is not that of `observer export`; restart the exporter");
    };
    web.set(Web::read(args.web_config.as_deref())?)?;
    exporter.peers = args.peers_exported as usize;
    let NodeArgs { peers, pod_cidrs, .. } = args.attach.devices.node;
    exporter.live.set_selection(peers, pod_cidrs);
    Ok(())
}

/// What wakes the exporter.
enum Event {
    Request(Option<ReadRequest>),
    Signal(Requested),
    Watchdog,
}

struct Exporter {
    live: Live,
    selection: Selection,
    /// Maximum number of peers exported separately.
    peers: usize,
    /// The same for the cost of encapsulation; fixed at the start, so that no series decreases.
    cost_peers: usize,
}

impl Exporter {
    /// Supervises the hooks and responds to requests until a signal arrives.
    async fn answer(
        &mut self,
        requests: &mut mpsc::Receiver<ReadRequest>,
        signals: &mut Signals,
    ) -> Result<Requested> {
        let mut watchdog = notify::watchdog();
        loop {
            let event = self.live.run_while(async {
                tokio::select! {
                    request = requests.recv() => Event::Request(request),
                    requested = signals.next() => Event::Signal(requested),
                    () = watchdog.due() => Event::Watchdog,
                }
            });
            match event.await? {
                Event::Request(None) => bail!("the HTTP server has stopped"),
                Event::Request(Some(request)) => self.answer_request(request),
                Event::Signal(requested) => return Ok(requested),
                Event::Watchdog => notify::alive(),
            }
        }
    }

    fn answer_request(&mut self, request: ReadRequest) {
        match request {
            ReadRequest::Errors(to) => drop(to.send(self.live.errors())),
            ReadRequest::Read(to) => drop(to.send(self.read().map_err(|error| format!("{error:#}")))),
        }
    }

    fn read(&mut self) -> Result<Reading> {
        let snapshot = self.live.read()?;
        let paths = self.selection.choose(&snapshot.paths, self.peers);
        if let Some(changed) = self.selection.changed()
            && let Err(error) = self.live.remember(changed)
        {
            log::warn!("{error}");
        }
        Ok(Reading { snapshot, paths, unwatched: self.live.unwatched(), peers: self.cost_peers })
    }
}
