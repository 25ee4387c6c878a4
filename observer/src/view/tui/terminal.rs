//! The terminal: raw mode and the alternate screen, restored on every exit.

use std::io::{self, IsTerminal, Stdout, Write, stdout};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::{App, Input, Screen, TuiError};
use crate::process;

type Hook = dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync + 'static;

/// A terminal that shows screens; dropping it restores the previous state.
///
/// A panic of the thread that owns it restores the terminal first, so that its message can be read.
/// Panics of other threads are printed at the end, because the screen would hide them.
pub struct Session {
    /// Not dropped: [`restore`] has already shown the cursor, and ratatui would panic if the terminal is gone.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    previous: Arc<Hook>,
    deferred: Arc<Mutex<Vec<String>>>,
}

impl Session {
    /// Opens the terminal, with mouse input if `mouse` is set.
    ///
    /// # Errors
    /// Standard input or output is not a terminal, or an operation on it failed.
    pub fn enter(mouse: bool) -> Result<Self, TuiError> {
        let failed = |operation| move |cause| TuiError { operation, cause };
        if !stdout().is_terminal() || !io::stdin().is_terminal() {
            let cause = io::Error::other("standard input or output is not a terminal");
            return Err(TuiError { operation: "open the screen", cause });
        }
        enable_raw_mode().map_err(failed("switch the terminal to raw mode"))?;
        TAKEN.store(true, Ordering::SeqCst);
        if let Err(cause) = execute!(stdout(), EnterAlternateScreen, Hide) {
            restore();
            return Err(TuiError { operation: "switch to the alternate screen", cause });
        }
        let terminal = match Terminal::new(CrosstermBackend::new(stdout())) {
            Ok(terminal) => terminal,
            Err(cause) => {
                restore();
                return Err(TuiError { operation: "get the size of the terminal", cause });
            }
        };
        let previous: Arc<Hook> = Arc::from(panic::take_hook());
        let deferred = Arc::new(Mutex::new(Vec::new()));
        install(Arc::clone(&previous), Arc::clone(&deferred));
        let mut session = Self { terminal: ManuallyDrop::new(terminal), previous, deferred };
        if mouse {
            session.mouse(true)?;
        }
        Ok(session)
    }
}

impl Screen for Session {
    fn draw(&mut self, app: &App) -> Result<(), TuiError> {
        let drawn = self.terminal.draw(|frame| app.draw(frame));
        drawn.map(|_| ()).map_err(|cause| TuiError { operation: "draw the screen", cause })
    }

    fn wait(&mut self, mut wait: Duration) -> Result<Input, TuiError> {
        let reading = |cause| TuiError { operation: "read keys", cause };
        if io::stdin().is_terminal() {
            // crossterm reads a closed terminal in an endless loop that even signals do not end.
            if process::hung_up(wait) {
                return Ok(Input::Gone);
            }
            wait = Duration::ZERO;
        }
        if !event::poll(wait).map_err(reading)? {
            return Ok(Input::Nothing);
        }
        event::read().map(Input::Event).map_err(reading)
    }

    fn clear(&mut self) -> Result<(), TuiError> {
        self.terminal.clear().map_err(|cause| TuiError { operation: "clear the screen", cause })
    }

    fn mouse(&mut self, on: bool) -> Result<(), TuiError> {
        let done =
            if on { execute!(stdout(), EnableMouseCapture) } else { execute!(stdout(), DisableMouseCapture) };
        done.map_err(|cause| TuiError { operation: "switch mouse input", cause })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        restore();
        // A panicking thread must not set the hook.
        if !thread::panicking() {
            let previous = Arc::clone(&self.previous);
            panic::set_hook(Box::new(move |info| previous(info)));
        }
        for message in self.deferred.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = writeln!(io::stderr(), "{message}");
        }
    }
}

fn install(previous: Arc<Hook>, deferred: Arc<Mutex<Vec<String>>>) {
    let owner = thread::current().id();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == owner {
            restore();
            previous(info);
        } else {
            deferred.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
        }
    }));
}

/// The alternate screen is active.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Restores the terminal, once: leaving the alternate screen twice would move the cursor over the message of a panic.
/// Errors are ignored, because there is nothing left to do.
fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
}
