//! Writes a recording, one line per snapshot.

use std::io::{self, Write};

use serde::Serialize;

use super::cost;
use super::form::{End, Header, HeaderLine, Line, SCHEMA};
use super::rows::DeviceTotals;
use super::table::difference;
use super::time::Time;
use crate::snapshot::{Device, Snapshot};

/// A recording that is being written.
pub struct Writer<W> {
    to: W,
    /// The previous snapshot.
    last: Snapshot,
    last_totals: Vec<DeviceTotals>,
    /// A snapshot has been written.
    begun: bool,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts a recording with its header.
    ///
    /// # Errors
    /// It could not be written.
    pub fn new(to: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            to,
            last: Snapshot {
                node: header.node.clone(),
                origin: header.origin.clone(),
                ..Snapshot::default()
            },
            last_totals: Vec::new(),
            begun: false,
            line: Vec::new(),
        };
        writer.write(&HeaderLine {
            schema: SCHEMA.to_owned(),
            observer: header.observer.clone(),
            node: header.node.clone(),
            origin: header.origin.clone(),
            created: Time(header.created),
            interval: Time(header.interval),
            options: header.options.clone(),
        })?;
        Ok(writer)
    }

    /// Adds a snapshot, and flushes it.
    ///
    /// # Errors
    /// It could not be written.
    pub fn snapshot(&mut self, snapshot: Snapshot) -> io::Result<()> {
        let totals = flat(&snapshot);
        let line = self.difference(&snapshot, &totals);
        self.write(&line)?;
        (self.last, self.last_totals, self.begun) = (snapshot, totals, true);
        Ok(())
    }

    /// Ends the recording with the reason.
    ///
    /// # Errors
    /// It could not be written.
    pub fn end(mut self, end: End) -> io::Result<W> {
        self.write(&Line { end: Some(end), ..Line::default() })?;
        Ok(self.to)
    }

    fn difference(&self, now: &Snapshot, totals: &[DeviceTotals]) -> Line {
        let last = &self.last;
        // The first line has every section.
        let first = !self.begun;
        let devices = |snapshot: &Snapshot| -> Vec<_> {
            let facts = |d: &Device| Device { totals: Vec::new(), ..d.clone() };
            snapshot.devices.iter().map(facts).collect()
        };
        let facts = devices(now);
        Line {
            end: None,
            taken: Some(Time(now.taken)),
            counting: Some(Time(now.counting)),
            node: (now.node != last.node).then(|| now.node.to_string()),
            origin: (now.origin != last.origin).then(|| now.origin.to_string()),
            size_bounds: (first || now.size_bounds != last.size_bounds).then(|| now.size_bounds.clone()),
            devices: (first || facts != devices(last)).then(|| facts.iter().map(Into::into).collect()),
            totals: difference(&self.last_totals, totals),
            paths: difference(&last.paths, &now.paths),
            unknown_peers: difference(&last.unknown_peers, &now.unknown_peers),
            programs: difference(&last.programs, &now.programs),
            fill: (first || now.fill != last.fill).then_some(now.fill),
            routing: (first || now.routing != last.routing).then(|| now.routing.clone()),
            notes: (now.notes != last.notes).then(|| now.notes.clone()),
            cost: cost::between(last.cost.as_ref(), now.cost.as_ref()),
        }
    }

    /// Writes a line in one call, so that readers never see a part of it unless the system wrote a part.
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.to.write_all(&self.line)?;
        self.to.flush()
    }
}

fn flat(snapshot: &Snapshot) -> Vec<DeviceTotals> {
    let of = |device: &Device| {
        let name = device.name.to_string();
        device
            .totals
            .iter()
            .map(move |totals| DeviceTotals { device: name.clone(), totals: totals.clone() })
            .collect::<Vec<_>>()
    };
    snapshot.devices.iter().flat_map(of).collect()
}
