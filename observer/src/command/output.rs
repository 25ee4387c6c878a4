//! Destinations of reports.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::cli::OutputArgs;

/// Standard output or a file.
pub struct Output {
    to: Box<dyn Write>,
    /// Whether it is a terminal.
    terminal: bool,
    /// Whether to use colours.
    pub colour: bool,
}

impl Output {
    /// Opens the destination.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn open(args: &OutputArgs) -> Result<Self> {
        Ok(match args.output.as_deref() {
            Some(path) => Self { to: Box::new(create(path)?), terminal: false, colour: false },
            None => {
                let terminal = io::stdout().is_terminal();
                Self { to: Box::new(io::stdout()), terminal, colour: terminal && wants_colour() }
            }
        })
    }

    /// Width of the terminal; `None` without one.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        if !self.terminal {
            return None;
        }
        ratatui::crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns))
    }

    /// Writes and flushes. Returns false if the reader has gone, which is not an error.
    ///
    /// # Errors
    /// Any other failure, such as a full disk.
    pub fn write(&mut self, text: &str) -> Result<bool> {
        match self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error).context("cannot write the report"),
        }
    }
}

/// Whether colours are allowed (no-color.org).
#[must_use]
pub fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A file to create, or to overwrite with `--force`; `-` is standard output.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    path: &'a Path,
    force: bool,
}

impl<'a> NewFile<'a> {
    /// The file at a path.
    ///
    /// # Errors
    /// It exists, and `force` is not set.
    pub fn at(path: &'a Path, force: bool) -> Result<Self> {
        if path != Path::new("-") && !force && path.exists() {
            bail!(
                "cannot create {}: it exists; use another file, or --force to overwrite it",
                path.display()
            );
        }
        Ok(Self { path, force })
    }

    /// Creates it.
    ///
    /// # Errors
    /// It cannot be created, or has been created meanwhile.
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
        let file = options.open(self.path).map_err(|error| cannot("create", self.path, &error))?;
        Ok(Box::new(file))
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| cannot("create", path, &error))
}

/// The error of a file that cannot be created or written.
pub fn cannot(operation: &str, path: &Path, cause: &io::Error) -> anyhow::Error {
    anyhow!("cannot {operation} {}: {cause}; name a file in a writable directory", path.display())
}

/// Prints a line to standard error. `eprintln!` panics if it is closed.
pub fn message(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
