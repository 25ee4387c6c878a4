//! `observer stat --replay`: the reports of a recording.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::output::message;
use crate::model::Report;
use crate::recording::{Bins, Recording};
use crate::snapshot::Snapshot;

/// Reports of a recording.
pub struct Selection<'a> {
    /// Only these devices; empty: all.
    pub devices: &'a [String],
    /// Interval of each report; `None`: one report over the whole recording.
    pub step: Option<Duration>,
    /// Maximum number of reports.
    pub count: u64,
    /// Totals since counting began instead of the interval's figures.
    pub total: bool,
}

/// Calls `show` with each report, until it returns false.
///
/// # Errors
/// The recording cannot be read, has too few snapshots or lacks a device; and the errors of `show`.
pub fn reports(
    path: &Path,
    selection: &Selection,
    mut show: impl FnMut(&Report) -> Result<bool>,
) -> Result<()> {
    let mut recording = Recording::open(path)?;
    let mut bins = selection.step.map(|step| Bins::new(step, recording.header().interval));
    let (mut earlier, mut later): (Option<Snapshot>, Option<Snapshot>) = (None, None);
    let mut left = selection.count;
    let report = |earlier: &Snapshot, later: &Snapshot| {
        if selection.total { Report::total(later) } else { Report::between(earlier, later) }
    };
    while let Some(snapshot) = recording.next_snapshot()? {
        let snapshot = only(snapshot, selection.devices)?;
        let ends = bins.as_mut().is_some_and(|bins| bins.ends_at(&snapshot));
        match &earlier {
            None => earlier = Some(snapshot),
            Some(begin) if ends => {
                left = left.saturating_sub(1);
                if !show(&report(begin, &snapshot))? || left == 0 {
                    return Ok(());
                }
                (earlier, later) = (Some(snapshot), None);
            }
            Some(_) => later = Some(snapshot),
        }
    }
    let flaw = recording.flaw();
    match (earlier, later) {
        // The rest of the last step, or everything.
        (Some(earlier), Some(later)) => {
            let mut report = report(&earlier, &later);
            report.notes.extend(flaw);
            show(&report)?;
        }
        (Some(_), None) if recording.snapshots() > 1 => {
            if let Some(flaw) = flaw {
                message(format_args!("observer: {flaw}"));
            }
        }
        _ => bail!(
            "cannot replay {}: it has {} snapshots, but needs at least 2; record for longer{}",
            path.display(),
            recording.snapshots(),
            flaw.map_or_else(String::new, |flaw| format!(" ({flaw})")),
        ),
    }
    Ok(())
}

/// The snapshot, reduced to the requested devices.
fn only(mut snapshot: Snapshot, devices: &[String]) -> Result<Snapshot> {
    if devices.is_empty() {
        return Ok(snapshot);
    }
    let wanted = |name: &str| devices.iter().any(|device| device == name);
    for device in devices {
        if !snapshot.devices.iter().any(|there| there.name == *device) {
            let there: Vec<&str> = snapshot.devices.iter().map(|there| there.name.as_ref()).collect();
            bail!("cannot find device {device} in the recording; it has {}", there.join(", "));
        }
    }
    snapshot.devices.retain(|device| wanted(&device.name));
    snapshot.paths.retain(|path| wanted(&path.id.device));
    snapshot.unknown_peers.retain(|unknown_peer| wanted(&unknown_peer.id.device));
    Ok(snapshot)
}
