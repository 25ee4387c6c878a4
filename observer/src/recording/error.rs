//! The one error of recordings.

/// A recording could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the recording {file}: {cause}; {remedy}")]
pub struct RecordingError {
    /// The file.
    pub file: String,
    /// What is wrong, with the line where one is to blame.
    pub cause: String,
    /// What the user can do.
    pub remedy: &'static str,
}

impl RecordingError {
    /// The system refused to open or read the file.
    pub(super) fn system(file: &str, error: &std::io::Error) -> Self {
        Self {
            file: file.to_owned(),
            cause: error.to_string(),
            remedy: "name a readable file that `observer record` wrote",
        }
    }

    /// Something else than a recording.
    pub(super) fn foreign(file: &str, cause: String) -> Self {
        Self { file: file.to_owned(), cause, remedy: "name a file that `observer record` wrote" }
    }

    /// A line that says what cannot be.
    pub(super) fn damaged(file: &str, line: u64, cause: &str) -> Self {
        Self {
            file: file.to_owned(),
            cause: format!("line {line}: {cause}"),
            remedy: "the file is damaged: take another copy, or keep the lines before that one",
        }
    }

    /// Written by a newer Observer.
    pub(super) fn newer(file: &str, cause: String) -> Self {
        Self {
            file: file.to_owned(),
            cause,
            remedy: "read it with the Observer that wrote it, or a newer one",
        }
    }
}
