//! The terminal: raw mode and the alternate screen, given back on every way out.

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

/// A terminal that shows screens; dropping it restores what was there.
///
/// A panic of the thread that owns it restores the terminal first, so that its message can be read.
/// Panics of other threads are kept back, because the screen would hide them, and printed at the end.
pub struct Session {
    /// Not dropped: [`restore`] has shown the cursor, and where the terminal is gone ratatui would panic over
    /// that it cannot, before the hooks are taken away.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    previous: Arc<Hook>,
    kept_back: Arc<Mutex<Vec<String>>>,
}

impl Session {
    /// Takes the terminal, with `mouse` its clicks and wheel too.
    ///
    /// # Errors
    /// Standard output is no terminal, or it refuses.
    pub fn enter(mouse: bool) -> Result<Self, TuiError> {
        let failed = |operation| move |cause| TuiError { operation, cause };
        if !stdout().is_terminal() || !io::stdin().is_terminal() {
            let cause = io::Error::other("standard input or output is no terminal");
            return Err(TuiError { operation: "opening the screen", cause });
        }
        enable_raw_mode().map_err(failed("switching to raw mode"))?;
        TAKEN.store(true, Ordering::SeqCst);
        if let Err(cause) = execute!(stdout(), EnterAlternateScreen, Hide) {
            restore();
            return Err(TuiError { operation: "switching to the alternate screen", cause });
        }
        let terminal = match Terminal::new(CrosstermBackend::new(stdout())) {
            Ok(terminal) => terminal,
            Err(cause) => {
                restore();
                return Err(TuiError { operation: "asking for the size", cause });
            }
        };
        let previous: Arc<Hook> = Arc::from(panic::take_hook());
        let kept_back = Arc::new(Mutex::new(Vec::new()));
        install(Arc::clone(&previous), Arc::clone(&kept_back));
        let mut session = Self { terminal: ManuallyDrop::new(terminal), previous, kept_back };
        if mouse {
            session.mouse(true)?;
        }
        Ok(session)
    }
}

impl Screen for Session {
    fn draw(&mut self, app: &App) -> Result<(), TuiError> {
        let drawn = self.terminal.draw(|frame| app.draw(frame));
        drawn.map(|_| ()).map_err(|cause| TuiError { operation: "drawing", cause })
    }

    fn wait(&mut self, mut wait: Duration) -> Result<Input, TuiError> {
        let reading = |cause| TuiError { operation: "reading keys", cause };
        if io::stdin().is_terminal() {
            // crossterm reads the end of a terminal that is gone again and again, and never comes back, not
            // for a signal either.
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
        self.terminal.clear().map_err(|cause| TuiError { operation: "clearing", cause })
    }

    fn mouse(&mut self, on: bool) -> Result<(), TuiError> {
        let done =
            if on { execute!(stdout(), EnableMouseCapture) } else { execute!(stdout(), DisableMouseCapture) };
        done.map_err(|cause| TuiError { operation: "switching the mouse", cause })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        restore();
        // A panicking thread may not set the hook.
        if !thread::panicking() {
            let previous = Arc::clone(&self.previous);
            panic::set_hook(Box::new(move |info| previous(info)));
        }
        for message in self.kept_back.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = writeln!(io::stderr(), "{message}");
        }
    }
}

fn install(previous: Arc<Hook>, kept_back: Arc<Mutex<Vec<String>>>) {
    let owner = thread::current().id();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == owner {
            restore();
            previous(info);
        } else {
            kept_back.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
        }
    }));
}

/// The terminal shows the alternate screen.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back, once: leaving the alternate screen a second time would put the cursor on top
/// of what a panic printed in between. There is nobody left to tell if it fails.
fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
}
