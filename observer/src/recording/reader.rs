//! Reading a recording, a line at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::form::{End, Header, HeaderLine, Line};
use super::rows::DeviceTotals;
use super::table::apply;
use super::{FAMILY, RecordingError, SCHEMA, VERSION};
use crate::snapshot::{Device, Snapshot};

/// A first line that is longer is none of ours, and is not read to its end.
const LONGEST_HEADER: u64 = 1 << 20;
/// Room for a million new paths; more than that is no recording but something without line ends.
const LONGEST_LINE: u64 = 1 << 30;

/// A recording that is being read: an iterator of snapshots.
pub struct Recording {
    file: String,
    from: Box<dyn BufRead + Send>,
    header: Header,
    /// What the lines so far say; its devices have no totals, these stand apart.
    state: Snapshot,
    totals: Vec<DeviceTotals>,
    line: u64,
    read: u64,
    end: Option<End>,
    /// The last line is cut off.
    cut: bool,
    /// Nothing more is to be read.
    over: bool,
}

impl Recording {
    /// Opens a recording and reads its header; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be read, is no recording, or one of a newer version.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        if path == Path::new("-") {
            return Self::read("standard input", BufReader::new(io::stdin()));
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| RecordingError::system(&name, &error))?;
        Self::read(&name, BufReader::with_capacity(1 << 16, file))
    }

    /// Begins to read what is no file.
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

    /// Why the recording ended; known when it has been read to its end.
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// Snapshots read so far.
    #[must_use]
    pub const fn snapshots(&self) -> u64 {
        self.read
    }

    /// What is wrong with the end of the recording, as a sentence; known when it has been read to its
    /// end. A recording that a signal ended is whole.
    #[must_use]
    pub fn flaw(&self) -> Option<String> {
        let file = &self.file;
        match (self.end, self.cut) {
            _ if !self.over => None,
            (_, true) => Some(format!(
                "{file} is cut off in line {}: {} snapshots before it were read",
                self.line, self.read
            )),
            (None, false) => {
                Some(format!("{file} has no end: whoever wrote it was killed, or is still writing"))
            }
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
            // A last line that was not written to its end is no damage.
            Err(_) if !bytes.ends_with(b"\n") && (bytes.len() as u64) < LONGEST_LINE => {
                self.cut = true;
                return Ok(None);
            }
            Err(error) => return Err(self.damaged(&said(&error))),
        };
        if let Some(end) = line.end {
            self.end = Some(end);
            return match self.next_line()? {
                None => Ok(None),
                Some(_) => Err(self.damaged("it stands behind the end of the recording")),
            };
        }
        let snapshot = self.take(line).map_err(|cause| self.damaged(&cause))?;
        self.read += 1;
        Ok(Some(snapshot))
    }

    fn damaged(&self, cause: &str) -> RecordingError {
        RecordingError::damaged(&self.file, self.line, cause)
    }

    /// The next line with its newline, if it has one.
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

    /// The snapshot that a line makes of the one before.
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
            state.fill = fill.into();
        }
        if let Some(routing) = line.routing {
            state.routing = routing.into_iter().map(Into::into).collect();
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

/// What a JSON error says, without the line that it gives: it only ever saw one.
fn said(error: &serde_json::Error) -> String {
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
    let foreign = |cause: String| RecordingError::foreign(name, cause);
    if line.is_empty() {
        return Err(foreign("it is empty".to_owned()));
    }
    let Ok(Schema { schema }) = serde_json::from_slice(line) else {
        return Err(foreign(format!("line 1 is no JSON object with the schema {SCHEMA}")));
    };
    let version = schema.strip_prefix(FAMILY).and_then(|number| number.parse::<u32>().ok());
    match version {
        None => return Err(foreign(format!("line 1 has the schema `{schema}` instead of {SCHEMA}"))),
        Some(version) if version > VERSION => {
            let cause = format!("line 1: its form is {schema}, and this Observer reads up to {SCHEMA}");
            return Err(RecordingError::newer(name, cause));
        }
        Some(_) => {}
    }
    let line: HeaderLine =
        serde_json::from_slice(line).map_err(|error| RecordingError::damaged(name, 1, &said(&error)))?;
    Ok(Header {
        observer: line.observer,
        node: line.node,
        origin: line.origin,
        created: line.created.0,
        interval: line.interval.0,
        options: line.options,
    })
}
