//! Where reports go.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::cli::OutputArgs;

/// Standard output or a file.
pub struct Output {
    to: Box<dyn Write>,
    /// It is a terminal.
    terminal: bool,
    /// Colours make sense there.
    pub colour: bool,
}

impl Output {
    /// Opens what the command line named.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(args: &OutputArgs) -> Result<Self> {
        Ok(match args.output.as_deref() {
            Some(path) => Self { to: Box::new(create(path)?), terminal: false, colour: false },
            None => {
                let terminal = io::stdout().is_terminal();
                Self { to: Box::new(io::stdout()), terminal, colour: terminal && wants_colour() }
            }
        })
    }

    /// Characters in a line of the terminal that it goes to; `None` where it goes to none.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        if !self.terminal {
            return None;
        }
        ratatui::crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns))
    }

    /// Writes, at once. Returns false where nobody reads any more, which is no error.
    ///
    /// # Errors
    /// Anything else, a full disk for example.
    pub fn write(&mut self, text: &str) -> Result<bool> {
        match self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error).context("cannot write the report"),
        }
    }
}

/// Whether the user wants colours (no-color.org).
#[must_use]
pub fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A file that must not be there yet, unless it may be overwritten; `-` is standard output.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    path: &'a Path,
    force: bool,
}

impl<'a> NewFile<'a> {
    /// The file at a path.
    ///
    /// # Errors
    /// It exists and may not be overwritten.
    pub fn at(path: &'a Path, force: bool) -> Result<Self> {
        if path != Path::new("-") && !force && path.exists() {
            bail!("{} exists; name another file, or overwrite it with --force", path.display());
        }
        Ok(Self { path, force })
    }

    /// Creates it.
    ///
    /// # Errors
    /// It cannot be created, or exists by now.
    pub fn open(self) -> Result<Box<dyn Write>> {
        if self.path == Path::new("-") {
            return Ok(Box::new(io::stdout()));
        }
        let mut options = OpenOptions::new();
        options.write(true);
        if self.force {
            options.create(true).truncate(true)
        } else {
            options.create_new(true)
        };
        let file = options.open(self.path).with_context(|| {
            format!("cannot create {}; name a file in a directory that can be written", self.path.display())
        })?;
        Ok(Box::new(file))
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| {
        format!("cannot create {}; name a file in a directory that can be written", path.display())
    })
}
