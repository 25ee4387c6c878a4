//! `observer top`: the screens.
//!
//! The state ([`App`]) is pure: snapshots and keys go in, an [`Action`] comes out, drawing reads it. Only [`run`] and
//! [`terminal`] touch a terminal. Snapshots arrive over a channel, so that redrawing never waits for the kernel.

mod app;
mod columns;
mod cost;
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
mod layout;
mod listing;
mod mouse;
mod order;
mod path_history;
mod ring;
mod sizes;
mod tab;
mod tables;
pub mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod time;
mod trend;

use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use ratatui::crossterm::event::{Event, KeyEventKind};

pub use app::{App, Options};
pub use feed::{Action, Feed, Origin, Process, Request};
pub use tab::{Focus, Tab};

/// An operation on the terminal failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}: {cause}; use `observer stat` without a terminal")]
pub struct TuiError {
    /// The operation that failed, as an infinitive.
    pub operation: &'static str,
    /// Why it failed.
    pub cause: std::io::Error,
}

/// How long the loop waits for a key before it checks for new snapshots.
const TICK: Duration = Duration::from_millis(100);

/// Input from a screen.
#[derive(Debug)]
pub enum Input {
    /// A key, a mouse event or a new size.
    Event(Event),
    /// Timeout.
    Nothing,
    /// The terminal is gone.
    Gone,
}

/// A terminal, or a substitute in tests.
pub trait Screen {
    /// Draws the state.
    ///
    /// # Errors
    /// The terminal went away.
    fn draw(&mut self, app: &App) -> Result<(), TuiError>;

    /// Waits for input, at most for `wait`.
    ///
    /// # Errors
    /// The terminal went away.
    fn wait(&mut self, wait: Duration) -> Result<Input, TuiError>;

    /// Clears the screen, so that the next frame is drawn in full.
    ///
    /// # Errors
    /// The terminal went away.
    fn clear(&mut self) -> Result<(), TuiError>;

    /// Enables or disables mouse input.
    ///
    /// # Errors
    /// The terminal went away.
    fn mouse(&mut self, on: bool) -> Result<(), TuiError>;
}

/// Opens the terminal, runs [`show`] and restores the terminal, whatever happens.
///
/// # Errors
/// No terminal, or it went away.
pub fn run(feed: &Receiver<Feed>, requests: &Sender<Request>, options: Options) -> Result<(), TuiError> {
    show(&mut terminal::Session::enter(options.mouse)?, feed, requests, options)
}

/// Shows the screens until a key, the feed or a failure ends them. Sends the user's requests for the source to
/// `requests`, and never waits for the source.
///
/// # Errors
/// The terminal went away.
pub fn show(
    screen: &mut impl Screen,
    feed: &Receiver<Feed>,
    requests: &Sender<Request>,
    options: Options,
) -> Result<(), TuiError> {
    let mut app = App::new(options);
    let mut redraw = true;
    loop {
        match take(feed, &mut app) {
            Taken::Stop => return Ok(()),
            Taken::Something => redraw = true,
            Taken::Nothing => {}
        }
        if redraw {
            screen.draw(&app)?;
            redraw = false;
        }
        let mut wait = TICK;
        while !redraw {
            let action = match screen.wait(wait)? {
                Input::Nothing => break,
                Input::Gone => return Ok(()),
                Input::Event(Event::Key(key)) if key.kind != KeyEventKind::Release => app.on_key(key),
                Input::Event(Event::Mouse(mouse)) => app.on_mouse(mouse),
                Input::Event(Event::Resize(..)) => Action::Redraw,
                Input::Event(_) => Action::None,
            };
            redraw = action != Action::None;
            wait = Duration::ZERO;
            match action {
                Action::None | Action::Redraw => {}
                Action::Quit => return Ok(()),
                Action::Clear => screen.clear()?,
                Action::Mouse(on) => screen.mouse(on)?,
                // A source that has ended receives no requests.
                Action::Request(request) => drop(requests.send(request)),
            }
        }
    }
}

enum Taken {
    Nothing,
    Something,
    Stop,
}

/// Handles all pending messages.
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
