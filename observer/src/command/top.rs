//! `observer top`.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::session::{Signals, block_on, options};
use super::stat;
use crate::cli::{Format, OutputArgs, StatArgs, TopArgs};
use crate::config::Settings;
use crate::kernel::{Live, Options};
use crate::view::tui::{self, Feed};

/// Runs `observer top`.
///
/// # Errors
/// What could not be attached or shown.
pub fn run(args: &TopArgs, settings: &Settings) -> Result<()> {
    let interval = args.interval.or(settings.interval.map(|i| i.0)).unwrap_or(Duration::from_secs(1));
    if args.once {
        return stat::run(&as_stat(args, interval), settings);
    }
    let attach = options(args.attach.clone().or(settings));
    let (feed, screen) = channel();
    let (started, attached) = channel();
    // The kernel is read in a thread of its own: drawing never waits for it.
    let reader = std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || block_on(read(attach, interval, feed, started)))
        .context("cannot start the thread that reads the kernel")?;
    let shown = match attached.recv() {
        Ok(()) => tui::run(
            &screen,
            tui::Options { colour: super::output::wants_colour(), ..tui::Options::default() },
        ),
        // It ended before it was attached, and says why below.
        Err(_) => Ok(()),
    };
    // The reader notices that nobody listens, detaches and ends.
    drop(screen);
    let read = reader.join().map_err(|_| anyhow!("the thread that reads the kernel panicked"))?;
    read?;
    Ok(shown?)
}

async fn read(attach: Options, interval: Duration, feed: Sender<Feed>, started: Sender<()>) -> Result<()> {
    let mut signals = Signals::new()?;
    let mut live = Live::start(attach).await?;
    let _ = started.send(());
    tokio::select! {
        () = serve(&mut live, interval, &feed) => {}
        () = signals.any() => {
            let _ = feed.send(Feed::Stop);
        }
    }
    live.stop().await;
    Ok(())
}

/// Hands over a snapshot every interval, until nobody listens.
async fn serve(live: &mut Live, interval: Duration, feed: &Sender<Feed>) {
    let mut due = Instant::now();
    loop {
        let next = match live.read() {
            Ok(snapshot) => Feed::Snapshot(Box::new(snapshot)),
            Err(error) => Feed::Failed(error.to_string()),
        };
        if feed.send(next).is_err() {
            return;
        }
        due += interval;
        // In short steps, so that the end of the screen is noticed soon.
        while Instant::now() < due {
            let step = due.min(Instant::now() + Duration::from_millis(100));
            if let Err(error) = live.care_until(step).await
                && feed.send(Feed::Failed(error.to_string())).is_err()
            {
                return;
            }
        }
    }
}

fn as_stat(args: &TopArgs, interval: Duration) -> StatArgs {
    StatArgs {
        beside: crate::cli::BesideArgs::default(),
        price: crate::cli::PriceArgs::default(),
        attach: args.attach.clone(),
        interval: Some(interval),
        count: Some(1),
        paths: Some(20),
        total: false,
        replay: None,
        bytes: false,
        output: OutputArgs { format: Format::Table, output: None },
    }
}
