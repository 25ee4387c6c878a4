//! Errors of capture files, with the offset.

use std::io;
use std::path::Path;

/// A capture file could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}{}: {cause}; {remedy}", place(*.offset, *.frames))]
pub struct CaptureError {
    /// A verb.
    pub operation: &'static str,
    /// The file.
    pub object: String,
    /// The byte at which it failed, if known.
    pub offset: Option<u64>,
    /// Frames read before.
    pub frames: u64,
    /// Why.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

fn place(offset: Option<u64>, frames: u64) -> String {
    let frame = if frames == 1 { "frame" } else { "frames" };
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}, after {frames} {frame}"))
}

/// A damaged record, and where it is.
#[derive(Debug)]
pub struct Damage {
    /// The first byte of the record that could not be read.
    pub offset: u64,
    /// Frames read before.
    pub frames: u64,
    /// Why.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

impl CaptureError {
    pub(super) fn open(path: &Path, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "name an existing capture file, or `-` for standard input",
            io::ErrorKind::PermissionDenied => "make it readable, or run as its owner",
            _ => "check that other programs can read the file",
        };
        Self {
            operation: "open",
            object: path.display().to_string(),
            offset: None,
            frames: 0,
            cause: error.to_string(),
            remedy: remedy.to_owned(),
        }
    }

    pub(super) fn directory(path: &Path) -> Self {
        Self {
            operation: "open",
            object: path.display().to_string(),
            offset: None,
            frames: 0,
            cause: "it is a directory".to_owned(),
            remedy: format!("name the capture files in it, for example {}/*.pcap", path.display()),
        }
    }

    /// Damage in a file.
    #[must_use]
    pub fn damaged(object: &str, damage: Damage) -> Self {
        Self {
            operation: "read",
            object: object.to_owned(),
            offset: Some(damage.offset),
            frames: damage.frames,
            cause: damage.cause,
            remedy: damage.remedy,
        }
    }

    /// Frames of an unsupported link type.
    #[must_use]
    pub fn link_type(object: &str, link_type: u32, frames: u64) -> Self {
        let name = super::link::name(link_type);
        Self {
            operation: "count",
            object: object.to_owned(),
            offset: None,
            frames: 0,
            cause: format!("{frames} frames have the link type {link_type} ({name}), which is not supported"),
            remedy: "all other frames are counted; capture Ethernet, Linux cooked, raw IP or loopback frames"
                .to_owned(),
        }
    }
}
