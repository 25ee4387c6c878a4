//! `observer top`: the screens.
//!
//! The state ([`App`]) is pure: snapshots and keys go in, an [`Action`] comes out, drawing reads it. Only
//! [`run`] and [`terminal`] touch a terminal. Snapshots come over a channel from a thread of the
//! caller's, so that redrawing never waits for the kernel.

mod app;
mod draw;
mod footer;
mod header;
mod help;
mod history;
mod keys;
mod listing;
pub mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod trend;

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEventKind};

pub use app::{App, Focus, Options, Tab};
pub use keys::Action;

use crate::snapshot::Snapshot;

/// What the caller's threads tell the screen.
#[derive(Clone, Debug)]
pub enum Feed {
    /// New figures.
    Snapshot(Box<Snapshot>),
    /// The source could not be read; a sentence. The last figures stay, marked as stale.
    Failed(String),
    /// Leave, as after `q` (on SIGTERM, for example).
    Stop,
}

/// The screen could not be shown.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed on the terminal: {cause}; `observer stat` needs no terminal")]
pub struct TuiError {
    /// What was tried.
    pub operation: &'static str,
    /// Why it failed.
    pub cause: std::io::Error,
}

/// How long the loop sleeps for a key before it looks for figures again.
const TICK: Duration = Duration::from_millis(50);

/// Shows the screens until a key, the feed or a failure ends them. The terminal is as it was afterwards,
/// whatever happens.
///
/// # Errors
/// No terminal, or it went away.
pub fn run(feed: &Receiver<Feed>, options: Options) -> Result<(), TuiError> {
    let mut session = terminal::Session::enter()?;
    let mut app = App::new(options);
    let mut redraw = true;
    loop {
        loop {
            match feed.try_recv() {
                Ok(Feed::Snapshot(snapshot)) => app.on_snapshot(*snapshot),
                Ok(Feed::Failed(why)) => app.on_failure(why),
                Ok(Feed::Stop) => return Ok(()),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    if app.on_end() {
                        redraw = true;
                    }
                    break;
                }
            }
            redraw = true;
        }
        if redraw {
            session.draw(|frame| app.draw(frame))?;
            redraw = false;
        }
        while event::poll(if redraw { Duration::ZERO } else { TICK }).map_err(reading)? {
            match event::read().map_err(reading)? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match app.on_key(key) {
                    Action::Quit => return Ok(()),
                    Action::Redraw => redraw = true,
                    Action::Clear => {
                        session.clear()?;
                        redraw = true;
                    }
                    Action::None => {}
                },
                Event::Resize(..) => redraw = true,
                _ => {}
            }
            if redraw {
                break;
            }
        }
    }
}

fn reading(cause: std::io::Error) -> TuiError {
    TuiError { operation: "reading keys", cause }
}
