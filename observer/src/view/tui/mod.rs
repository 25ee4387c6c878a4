//! `observer top`: the screens.
//!
//! The state ([`App`]) is pure: snapshots and keys go in, an [`Action`] comes out, drawing reads it. Only
//! [`run`] and [`terminal`] touch a terminal. Snapshots come over a channel from a thread of the
//! caller's, so that redrawing never waits for the kernel.

mod app;
mod detail;
mod draw;
mod feed;
mod footer;
mod fragments;
mod header;
mod health;
mod help;
mod history;
mod keys;
mod listing;
mod mouse;
mod order;
mod price;
mod ring;
mod sizes;
mod tab;
pub mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod time;
mod trend;

use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::kernel::sys;

pub use app::{App, Options};
pub use feed::{Ask, Feed, Origin, Process};
pub use keys::Action;
pub use tab::{Focus, Tab};

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
/// whatever happens. What the user wants of the source goes to `asks`.
///
/// # Errors
/// No terminal, or it went away.
pub fn run(feed: &Receiver<Feed>, asks: &Sender<Ask>, options: Options) -> Result<(), TuiError> {
    let mut session = terminal::Session::enter(options.mouse)?;
    let mut app = App::new(options);
    let mut redraw = true;
    loop {
        match take(feed, &mut app) {
            Taken::Stop => return Ok(()),
            Taken::Something => redraw = true,
            Taken::Nothing => {}
        }
        if redraw {
            session.draw(|frame| app.draw(frame))?;
            redraw = false;
        }
        let mut wait = if redraw { Duration::ZERO } else { TICK };
        if std::io::stdin().is_terminal() {
            // crossterm reads the end of a terminal that is gone again and again, and never comes back, not
            // for a signal either.
            if sys::hung_up(wait) {
                return Ok(());
            }
            wait = Duration::ZERO;
        }
        while event::poll(wait).map_err(reading)? {
            let action = match event::read().map_err(reading)? {
                Event::Key(key) if key.kind != KeyEventKind::Release => app.on_key(key),
                Event::Mouse(mouse) => app.on_mouse(mouse),
                Event::Resize(..) => Action::Redraw,
                _ => Action::None,
            };
            match action {
                Action::None => continue,
                Action::Quit => return Ok(()),
                Action::Redraw => {}
                Action::Clear => session.clear()?,
                Action::Mouse(on) => session.mouse(on)?,
                // A source that has ended wants nothing more.
                Action::Ask(ask) => drop(asks.send(ask)),
            }
            redraw = true;
            break;
        }
    }
}

enum Taken {
    Nothing,
    Something,
    Stop,
}

/// Takes all that has come.
fn take(feed: &Receiver<Feed>, app: &mut App) -> Taken {
    let mut taken = Taken::Nothing;
    loop {
        match feed.try_recv() {
            Ok(Feed::Snapshot(snapshot)) => app.on_snapshot(*snapshot),
            Ok(Feed::Process(process)) => app.on_process(process),
            Ok(Feed::Failed(why)) => app.on_failure(why),
            Ok(Feed::Refused(what)) => app.on_refused(what),
            Ok(Feed::Remark(what)) => app.on_remark(what),
            Ok(Feed::Ended(what)) => app.on_done(what),
            Ok(Feed::Stop) => return Taken::Stop,
            Err(TryRecvError::Empty) => return taken,
            Err(TryRecvError::Disconnected) => {
                return if app.on_end() { Taken::Something } else { taken };
            }
        }
        taken = Taken::Something;
    }
}

fn reading(cause: std::io::Error) -> TuiError {
    TuiError { operation: "reading keys", cause }
}
