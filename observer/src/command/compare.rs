//! `observer compare`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::output::{cannot, wants_colour};
use crate::cli::{CompareArgs, CompareFormat};
use crate::model::compare::{Comparison, Reading, Side};
use crate::recording::Recording;
use crate::view::compare;

/// Runs `observer compare`.
///
/// # Errors
/// A recording cannot be read, or the comparison cannot be written.
pub fn run(args: &CompareArgs) -> Result<()> {
    let (before, after) = match args.files.as_slice() {
        [before, after] => (vec![before.clone()], vec![after.clone()]),
        _ => (args.before.clone(), args.after.clone()),
    };
    let comparison = Comparison::of(side(&before)?, side(&after)?);
    let colour =
        args.output.is_none() && std::io::IsTerminal::is_terminal(&std::io::stdout()) && wants_colour();
    let text = match args.format {
        CompareFormat::Table => compare::table(&comparison, colour),
        CompareFormat::Json => compare::json(&comparison).to_string() + "\n",
        CompareFormat::Markdown => compare::markdown(&comparison),
        CompareFormat::Html => compare::html(&comparison),
    };
    write(args.output.as_deref(), &text)
}

fn side(files: &[PathBuf]) -> Result<Side> {
    Ok(Side::of(files.iter().map(|file| reading(file)).collect::<Result<_>>()?))
}

fn reading(file: &Path) -> Result<Reading> {
    let mut recording = Recording::open(file)?;
    let mut reading = Reading::new(&file.display().to_string(), recording.header());
    while let Some(snapshot) = recording.next_snapshot()? {
        reading.push(snapshot);
    }
    if recording.snapshots() < 2 {
        let flaw = recording.flaw().map_or_else(String::new, |flaw| format!(" ({flaw})"));
        let had = recording.snapshots();
        bail!(
            "cannot compare {}: it has {had} snapshots, but needs at least 2; record for longer{flaw}",
            file.display()
        );
    }
    Ok(reading.finish(recording.flaw()))
}

fn write(path: Option<&Path>, text: &str) -> Result<()> {
    let Some(path) = path else {
        return match std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result.context("cannot write the comparison"),
        };
    };
    std::fs::write(path, text).map_err(|error| cannot("write", path, &error))
}
