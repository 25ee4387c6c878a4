//! Files without a name: they are gone with this process, however it ends.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// A file.
pub struct Scratch(pub File);

impl Scratch {
    /// A new one.
    ///
    /// # Errors
    /// The folder for such files cannot be written.
    pub fn new() -> Result<Self> {
        tempfile::tempfile().map(Self).context("cannot create a temporary file")
    }

    /// How others may open it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_the_path_can_be_read_by_it() {
        let scratch = Scratch::new().expect("a file");
        for text in ["a longer text", "a text"] {
            std::fs::write(scratch.path(), text).expect("write");
            assert_eq!(std::fs::read_to_string(scratch.path()).expect("read"), text);
        }
    }
}
