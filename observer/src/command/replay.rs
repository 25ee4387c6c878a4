//! `observer stat --replay`: the reports of a recording.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::model::Report;
use crate::recording::{Bins, Recording};
use crate::snapshot::Snapshot;

/// Which reports of a recording are wanted.
pub struct Wanted<'a> {
    /// Only these devices; all where empty.
    pub devices: &'a [String],
    /// The length of each report's interval; `None` for one over the whole recording.
    pub step: Option<Duration>,
    /// At most so many.
    pub count: u64,
    /// What was counted since the source began, instead of what each interval added.
    pub total: bool,
}

/// Calls `show` with each report, until it returns false.
///
/// # Errors
/// The recording cannot be read, has too few snapshots, or not the devices; and the errors of `show`.
pub fn reports(path: &Path, wanted: &Wanted, mut show: impl FnMut(&Report) -> Result<bool>) -> Result<()> {
    let mut recording = Recording::open(path)?;
    let mut bins = wanted.step.map(|step| Bins::new(step, recording.header().interval));
    let (mut earlier, mut later): (Option<Snapshot>, Option<Snapshot>) = (None, None);
    let mut left = wanted.count;
    let report = |earlier: &Snapshot, later: &Snapshot| {
        if wanted.total { Report::total(later) } else { Report::between(earlier, later) }
    };
    while let Some(snapshot) = recording.next_snapshot()? {
        let snapshot = only(snapshot, wanted.devices)?;
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
        // What is left of the last step, or everything.
        (Some(earlier), Some(later)) => {
            let mut report = report(&earlier, &later);
            report.notes.extend(flaw);
            show(&report)?;
        }
        (Some(_), None) if recording.snapshots() > 1 => {
            if let Some(flaw) = flaw {
                eprintln!("observer: {flaw}");
            }
        }
        _ => bail!(
            "cannot replay {}: it has {} snapshots, and two are needed; record for longer{}",
            path.display(),
            recording.snapshots(),
            flaw.map_or_else(String::new, |flaw| format!(" ({flaw})")),
        ),
    }
    Ok(())
}

/// The snapshot with the devices that were asked for.
fn only(mut snapshot: Snapshot, devices: &[String]) -> Result<Snapshot> {
    if devices.is_empty() {
        return Ok(snapshot);
    }
    let wanted = |name: &str| devices.iter().any(|device| device == name);
    for device in devices {
        if !snapshot.devices.iter().any(|there| there.name == *device) {
            let there: Vec<&str> = snapshot.devices.iter().map(|there| there.name.as_ref()).collect();
            bail!("no device {device} in the recording; it has {}", there.join(", "));
        }
    }
    snapshot.devices.retain(|device| wanted(&device.name));
    snapshot.paths.retain(|path| wanted(&path.id.device));
    snapshot.unknown_peers.retain(|unknown_peer| wanted(&unknown_peer.id.device));
    Ok(snapshot)
}
