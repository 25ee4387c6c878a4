//! A progress bar on a terminal, for long files.

use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// Shorter files are read within a second.
const LONG: u64 = 32 << 20;

/// A progress bar, or nothing.
#[derive(Debug)]
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar on standard error for a long file; a counter if the length is not known.
    #[must_use]
    pub fn start(name: &str, size: Option<u64>) -> Self {
        if !stderr().is_terminal() || size.is_some_and(|size| size < LONG) {
            return Self(None);
        }
        let template = if size.is_some() {
            "{prefix} {bar:30} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left"
        } else {
            "{prefix} {spinner} {bytes}  {bytes_per_sec}"
        };
        let bar = size.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        Self(Some(bar))
    }

    /// Sets how many bytes have been read.
    pub fn set(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
        }
    }

    /// Removes it from the terminal.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
