//! `observer top`.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::session::{Signals, Source, block_on, measure, would_measure};
use super::{play, stat};
use crate::cli::{Format, OutputArgs, StatArgs, TopArgs};
use crate::kernel::Measure;
use crate::process;
use crate::view::tui::{self, Feed, Origin, Process, Request, TuiError};

/// Maximum delay of requests from the screen.
const RESPONSE: Duration = Duration::from_millis(200);

/// Runs `observer top`.
///
/// # Errors
/// A program cannot be attached, or figures cannot be read or shown.
pub fn run(args: &TopArgs) -> Result<()> {
    let interval = args.interval;
    if args.once {
        return stat::run(&as_stat(args));
    }
    let screens = tui::Options {
        colour: super::output::wants_colour(),
        interval,
        speed: args.speed,
        statistics: args.statistics,
        mouse: args.mouse,
        ..tui::Options::default()
    };
    if let Some(path) = &args.replay {
        let recording = crate::recording::Recording::open(path)?;
        let screens = tui::Options { origin: Origin::Recording, ..screens };
        return with_screens(screens, tui::run, move |feed, requests, started| {
            stop_on_signals(feed.clone())?;
            play::play(recording, screens.speed, &feed, &requests, &started);
            Ok(())
        });
    }
    let cost = args.cost;
    let (attach, source) = (args.attach.clone(), args.source.clone());
    with_screens(screens, tui::run, move |feed, requests, started| {
        block_on(async {
            let mut signals = Signals::new()?;
            let mut source = Source::open(&attach, &source, measure(cost)).await?;
            let _ = started.send(());
            if screens.statistics {
                measure_programs(&mut source, true, &feed);
            }
            tokio::select! {
                () = serve(&mut source, interval, would_measure(cost), &feed, &requests) => {}
                () = signals.any() => {
                    let _ = feed.send(Feed::Stop);
                }
            }
            source.stop().await;
            Ok(())
        })
    })
}

/// Shows with `show` what `read` feeds. `read` runs in a separate thread, so that drawing never waits for it; it
/// reports when it has started, before which nothing is shown, and ends when the receiver is gone.
fn with_screens(
    screens: tui::Options,
    show: impl FnOnce(&Receiver<Feed>, &Sender<Request>, tui::Options) -> Result<(), TuiError>,
    read: impl FnOnce(Sender<Feed>, Receiver<Request>, Sender<()>) -> Result<()> + Send + 'static,
) -> Result<()> {
    let (feed, screen) = channel();
    let (requests, asked) = channel();
    let (started, attached) = channel();
    let reader = std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || read(feed, asked, started))
        .context("cannot start the reader thread")?;
    let shown = match attached.recv() {
        Ok(()) => show(&screen, &requests, screens),
        // The reader failed to start; its error is returned below.
        Err(_) => Ok(()),
    };
    drop(screen);
    drop(requests);
    let read = reader.join().map_err(|_| anyhow!("the reader thread panicked"))?;
    read?;
    Ok(shown?)
}

/// Closes the screens properly on a signal; the waiting thread ends with the process.
fn stop_on_signals(feed: Sender<Feed>) -> Result<()> {
    let wait = move || {
        block_on(async {
            Signals::new()?.any().await;
            Ok(())
        })
        .map(|()| feed.send(Feed::Stop))
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map(drop)
        .context("cannot start the signal thread")
}

/// Sends a snapshot every interval until the receiver is gone.
async fn serve(
    source: &mut Source,
    mut interval: Duration,
    cost: Measure,
    feed: &Sender<Feed>,
    requests: &Receiver<Request>,
) {
    let begun = Instant::now();
    let mut due = begun;
    loop {
        let next = match source.read() {
            Ok(snapshot) => Feed::Snapshot(Box::new(snapshot)),
            Err(error) => Feed::Failed(error.to_string()),
        };
        if feed.send(next).is_err() {
            return;
        }
        if let Some(process) = own_cost(begun.elapsed()) {
            let _ = feed.send(Feed::Process(process));
        }
        let read = due;
        due += interval;
        // In short steps, so that requests and the end of the screen are handled soon.
        while Instant::now() < due {
            match requests.try_recv() {
                Ok(Request::Interval(asked)) => {
                    interval = asked;
                    due = read + interval;
                }
                Ok(Request::Statistics(on)) => measure_programs(source, on, feed),
                Ok(Request::Cost(on)) => {
                    if let Err(error) = source.measure_cost(on.then_some(cost)).await {
                        let _ = feed.send(Feed::Remark(error.to_string()));
                    }
                }
                Ok(Request::Speed(_) | Request::Hold(_) | Request::Step) | Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
            let step = due.min(Instant::now() + RESPONSE);
            if let Err(error) = source.run_until(step).await
                && feed.send(Feed::Failed(error.to_string())).is_err()
            {
                return;
            }
        }
        // No catching up after a change of the interval or a stop of the process.
        due = due.max(Instant::now().checked_sub(interval).unwrap_or(due));
    }
}

fn measure_programs(source: &mut Source, on: bool, feed: &Sender<Feed>) {
    if let Err(error) = source.measure_programs(on) {
        let _ = feed.send(Feed::Refused(error.to_string()));
    }
}

/// CPU time and memory of this process; `None` if the kernel does not report them.
fn own_cost(at: Duration) -> Option<Process> {
    let (cpu, memory) = (process::own_cpu()?, process::own_memory()?);
    Some(Process { at, cpu, memory })
}

fn as_stat(args: &TopArgs) -> StatArgs {
    StatArgs {
        source: args.source.clone(),
        cost: args.cost,
        attach: args.attach.clone(),
        interval: args.interval,
        repeat: true,
        count: Some(1),
        paths: Some(20),
        total: false,
        replay: None,
        bytes: false,
        output: OutputArgs { format: Format::Table, output: None },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{Event, KeyCode};

    use super::*;
    use crate::view::fixture;
    use crate::view::tui::{App, Input, Screen};

    /// Presses each key once the previous one is answered by a frame, and keeps the frames.
    struct Scripted {
        terminal: Terminal<TestBackend>,
        keys: VecDeque<KeyCode>,
        frames: Sender<String>,
        /// Signals that all keys are answered.
        answered: Sender<()>,
    }

    impl Screen for Scripted {
        fn draw(&mut self, app: &App) -> Result<(), TuiError> {
            self.terminal.draw(|frame| app.draw(frame)).expect("a frame");
            drop(self.frames.send(self.terminal.backend().to_string()));
            Ok(())
        }

        fn wait(&mut self, _: Duration) -> Result<Input, TuiError> {
            let key = self.keys.pop_front().unwrap_or_else(|| {
                let _ = self.answered.send(());
                KeyCode::Char('q')
            });
            Ok(Input::Event(Event::Key(key.into())))
        }

        fn clear(&mut self) -> Result<(), TuiError> {
            Ok(())
        }

        fn mouse(&mut self, _: bool) -> Result<(), TuiError> {
            Ok(())
        }
    }

    #[test]
    fn keys_are_answered_while_the_source_is_being_read() {
        let ((frames, drawn), (answered, over)) = (channel(), channel());
        let (ended, end) = channel();
        std::thread::spawn(move || {
            let show = move |feed: &Receiver<Feed>, requests: &Sender<Request>, options| {
                let terminal = Terminal::new(TestBackend::new(80, 24)).expect("a test backend");
                let keys = VecDeque::from([KeyCode::Char('2'), KeyCode::Char('?')]);
                tui::show(&mut Scripted { terminal, keys, frames, answered }, feed, requests, options)
            };
            let read = move |feed: Sender<Feed>, _, started: Sender<()>| {
                feed.send(Feed::Snapshot(Box::new(fixture::snapshot(10))))?;
                started.send(())?;
                // Blocks the reader until the keys are answered.
                over.recv().context("nothing was answered")
            };
            let shown = with_screens(tui::Options::default(), show, read);
            let _ = ended.send(shown.map_err(|error| error.to_string()));
        });
        let ended = end.recv_timeout(Duration::from_secs(60));
        assert_eq!(ended.expect("keys wait for the source"), Ok(()));
        let drawn: Vec<String> = drawn.iter().collect();
        for (number, words) in ["Traffic by device", "▸ Paths  6", "Help:"].iter().enumerate() {
            assert!(drawn[number].contains(words), "{words}: {}", drawn[number]);
        }
    }
}
