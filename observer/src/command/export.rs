//! `observer export`.

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;

use super::session::{Signals, block_on, options};
use crate::cli::ExportArgs;
use crate::config::Settings;
use crate::export::{Ask, Reading, Server};
use crate::kernel::Live;
use crate::view::prometheus::Selection;

/// Questions that may wait for an answer.
const WAITING: usize = 16;

/// Runs `observer export`.
///
/// # Errors
/// What could not be attached, listened at, or read.
pub fn run(args: &ExportArgs, config: Option<&Path>) -> Result<()> {
    let settings = Settings::read(config)?;
    let args = args.clone().or(&settings.export);
    let attach = args.attach.clone().or(&settings);
    let server = Server::bind(&args.listen)?;
    block_on(async {
        let mut signals = Signals::new()?;
        let mut live = Live::start(options(attach)).await?;
        let (asks, mut asked) = mpsc::channel(WAITING);
        for address in server.addresses() {
            log::info!("http://{address}/metrics");
        }
        server.start(asks).context("cannot start the HTTP server")?;
        let result = answer(&mut live, &mut asked, &mut signals, args.peers_exported.unwrap_or(0)).await;
        live.stop().await;
        result
    })
}

/// Takes care and answers until a signal comes.
async fn answer(
    live: &mut Live,
    asked: &mut mpsc::Receiver<Ask>,
    signals: &mut Signals,
    peers: usize,
) -> Result<()> {
    let mut selection = Selection::default();
    loop {
        let ask = live.care_while(async {
            tokio::select! {
                ask = asked.recv() => ask,
                () = signals.any() => None,
            }
        });
        match ask.await? {
            None => return Ok(()),
            Some(Ask::Troubles(to)) => drop(to.send(live.troubles())),
            Some(Ask::Read(to)) => {
                let reading = live.read().map(|snapshot| {
                    let paths = selection.choose(&snapshot.paths, peers);
                    Reading { snapshot, paths, unwatched: std::time::Duration::ZERO }
                });
                drop(to.send(reading.map_err(|error| error.to_string())));
            }
        }
    }
}
