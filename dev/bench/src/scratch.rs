//! Files without a name, which disappear when this process ends for any reason.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// A file.
pub struct Scratch(pub File);

impl Scratch {
    /// Creates a file.
    ///
    /// # Errors
    /// The folder for temporary files is not writable.
    pub fn new() -> Result<Self> {
        tempfile::tempfile().map(Self).context("cannot create a temporary file")
    }

    /// A path that other processes can open.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_can_be_written_and_read() {
        let scratch = Scratch::new().expect("a file");
        for text in ["a longer text", "a text"] {
            std::fs::write(scratch.path(), text).expect("write");
            assert_eq!(std::fs::read_to_string(scratch.path()).expect("read"), text);
        }
    }
}
