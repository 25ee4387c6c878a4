//! Reads a recording line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::error::RecordingError;
use super::form::{End, Header, HeaderLine, Line, SCHEMA};
use super::rows::DeviceTotals;
use super::table::apply;
use crate::snapshot::{Device, Snapshot};

/// Maximum length of a header, bytes.
const LONGEST_HEADER: u64 = 1 << 20;
/// Maximum length of a line, bytes: more than a million new paths need.
const LONGEST_LINE: u64 = 1 << 30;

/// A recording that is being read: an iterator of snapshots.
pub struct Recording {
    file: String,
    from: Box<dyn BufRead + Send>,
    header: Header,
    /// The state after the last line; its devices have no totals, which are in `totals`.
    state: Snapshot,
    totals: Vec<DeviceTotals>,
    line: u64,
    read: u64,
    end: Option<End>,
    /// The last line is cut off.
    cut: bool,
    /// The end was reached.
    over: bool,
}

impl Recording {
    /// Opens a recording and reads its header; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be read, is not a recording, or has another version.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        if path == Path::new("-") {
            return Self::read("standard input", BufReader::new(io::stdin()));
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| RecordingError::system(&name, &error))?;
        Self::read(&name, BufReader::with_capacity(1 << 16, file))
    }

    /// Reads from any reader.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(name: &str, mut from: impl BufRead + Send + 'static) -> Result<Self, RecordingError> {
        let mut first = Vec::new();
        let system = |error| RecordingError::system(name, &error);
        (&mut from).take(LONGEST_HEADER).read_until(b'\n', &mut first).map_err(system)?;
        let header = header(name, &first)?;
        let state =
            Snapshot { node: header.node.clone(), origin: header.origin.clone(), ..Snapshot::default() };
        Ok(Self {
            file: name.to_owned(),
            from: Box::new(from),
            header,
            state,
            totals: Vec::new(),
            line: 1,
            read: 0,
            end: None,
            cut: false,
            over: false,
        })
    }

    /// The name of the file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Why the recording ended; known after reading it to its end.
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// Snapshots read so far.
    #[must_use]
    pub const fn snapshots(&self) -> u64 {
        self.read
    }

    /// What is missing at the end of the recording, as a sentence; known after reading it to its end. A recording
    /// that a signal ended is complete.
    #[must_use]
    pub fn flaw(&self) -> Option<String> {
        let file = &self.file;
        match (self.end, self.cut) {
            _ if !self.over => None,
            (_, true) => Some(format!(
                "{file} is cut off in line {}: {} snapshots before it were read",
                self.line, self.read
            )),
            (None, false) => Some(format!("{file} has no end: its writer was killed or is still running")),
            (Some(End::Failed), false) => {
                Some(format!("{file}: the recording ended because the counters could not be read"))
            }
            (Some(End::Done | End::Interrupted), false) => None,
        }
    }

    /// The next snapshot; `None` at the end.
    ///
    /// # Errors
    /// A line is damaged.
    pub fn next_snapshot(&mut self) -> Result<Option<Snapshot>, RecordingError> {
        if self.over {
            return Ok(None);
        }
        let result = self.advance();
        if !matches!(result, Ok(Some(_))) {
            self.over = true;
        }
        result
    }

    fn advance(&mut self) -> Result<Option<Snapshot>, RecordingError> {
        let Some(bytes) = self.next_line()? else { return Ok(None) };
        let line: Line = match serde_json::from_slice(&bytes) {
            Ok(line) => line,
            // An incomplete last line is not damage.
            Err(_) if !bytes.ends_with(b"\n") && (bytes.len() as u64) < LONGEST_LINE => {
                self.cut = true;
                return Ok(None);
            }
            Err(error) => return Err(self.damaged(&message(&error))),
        };
        if let Some(end) = line.end {
            self.end = Some(end);
            return match self.next_line()? {
                None => Ok(None),
                Some(_) => Err(self.damaged("it follows the end of the recording")),
            };
        }
        let snapshot = self.take(line).map_err(|cause| self.damaged(&cause))?;
        self.read += 1;
        Ok(Some(snapshot))
    }

    fn damaged(&self, cause: &str) -> RecordingError {
        RecordingError::damaged(&self.file, self.line, cause)
    }

    /// The next line, with its newline if there is one.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, RecordingError> {
        let mut bytes = Vec::new();
        let length = self
            .from
            .as_mut()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| RecordingError::system(&self.file, &error))?;
        if length == 0 {
            return Ok(None);
        }
        self.line += 1;
        Ok(Some(bytes))
    }

    /// Applies a line to the previous snapshot.
    fn take(&mut self, line: Line) -> Result<Snapshot, String> {
        let (Some(taken), Some(counting)) = (line.taken, line.counting) else {
            return Err("a snapshot lacks `taken` or `counting`".to_owned());
        };
        let state = &mut self.state;
        (state.taken, state.counting) = (taken.0, counting.0);
        if let Some(node) = line.node {
            state.node = node;
        }
        if let Some(origin) = line.origin {
            state.origin = origin;
        }
        if let Some(bounds) = line.size_bounds {
            state.size_bounds = bounds;
        }
        if let Some(devices) = line.devices {
            state.devices = devices.into_iter().map(Device::from).collect();
        }
        if let Some(fill) = line.fill {
            state.fill = fill;
        }
        if let Some(routing) = line.routing {
            state.routing = routing;
        }
        if let Some(notes) = line.notes {
            state.notes = notes;
        }
        let in_table = |name: &'static str| move |cause: String| format!("{name}: {cause}");
        line.totals.map_or(Ok(()), |form| apply(&mut self.totals, form)).map_err(in_table("totals"))?;
        line.paths.map_or(Ok(()), |form| apply(&mut state.paths, form)).map_err(in_table("paths"))?;
        line.unknown_peers
            .map_or(Ok(()), |form| apply(&mut state.unknown_peers, form))
            .map_err(in_table("unknown_peers"))?;
        line.programs
            .map_or(Ok(()), |form| apply(&mut state.programs, form))
            .map_err(in_table("programs"))?;
        match line.cost {
            None => {}
            Some(None) => state.cost = None,
            Some(Some(form)) => form.apply(&mut state.cost)?,
        }
        let mut snapshot = state.clone();
        for row in &self.totals {
            let device = snapshot.devices.iter_mut().find(|device| device.name == row.device);
            let device = device.ok_or_else(|| format!("totals: device {} is not listed", row.device))?;
            device.totals.push(row.totals.clone());
        }
        Ok(snapshot)
    }
}

impl Iterator for Recording {
    type Item = Result<Snapshot, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_snapshot().transpose()
    }
}

/// The message of a JSON error without its line number, which is always 1.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    format!("{text} (column {})", error.column())
}

/// Reads the first line.
fn header(name: &str, line: &[u8]) -> Result<Header, RecordingError> {
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }
    let not_a_recording = |cause: String| RecordingError::not_a_recording(name, cause);
    if line.is_empty() {
        return Err(not_a_recording("it is empty".to_owned()));
    }
    let Ok(Schema { schema }) = serde_json::from_slice(line) else {
        return Err(not_a_recording(format!("line 1 is not a JSON object with the schema {SCHEMA}")));
    };
    if schema != SCHEMA {
        let cause = format!("line 1 has the schema `{schema}` instead of {SCHEMA}");
        let family = SCHEMA.trim_end_matches(|c: char| c.is_ascii_digit());
        return Err(if schema.starts_with(family) {
            RecordingError::version(name, cause)
        } else {
            not_a_recording(cause)
        });
    }
    let line: HeaderLine =
        serde_json::from_slice(line).map_err(|error| RecordingError::damaged(name, 1, &message(&error)))?;
    Ok(Header {
        observer: line.observer,
        node: line.node,
        origin: line.origin,
        created: line.created.0,
        interval: line.interval.0,
        options: line.options,
    })
}
