//! The error of recordings.

/// A recording could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the recording {file}: {cause}; {remedy}")]
pub struct RecordingError {
    /// The file.
    pub file: String,
    /// The cause, with the line if there is one.
    pub cause: String,
    /// What the user can do.
    pub remedy: &'static str,
}

impl RecordingError {
    /// The file cannot be opened or read.
    pub(super) fn system(file: &str, error: &std::io::Error) -> Self {
        Self {
            file: file.to_owned(),
            cause: error.to_string(),
            remedy: "name a readable file written by `observer record`",
        }
    }

    /// The file is not a recording.
    pub(super) fn not_a_recording(file: &str, cause: String) -> Self {
        Self { file: file.to_owned(), cause, remedy: "name a file written by `observer record`" }
    }

    /// A line cannot be decoded.
    pub(super) fn damaged(file: &str, line: u64, cause: &str) -> Self {
        Self {
            file: file.to_owned(),
            cause: format!("line {line}: {cause}"),
            remedy: "the file is damaged: use another copy, or remove that line and all lines after it",
        }
    }

    /// The format has another version.
    pub(super) fn version(file: &str, cause: String) -> Self {
        Self {
            file: file.to_owned(),
            cause,
            remedy: "read it with the version of Observer that wrote it, or record again",
        }
    }
}
