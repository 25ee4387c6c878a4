//! Runs test programs that are built already.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::tally::{Reader, Tally};
use crate::artifacts::Artifact;

/// What of a test program's output is printed.
#[derive(Clone, Copy, PartialEq)]
pub enum Output {
    /// All of it, as it comes.
    Stream,
    /// All of it, if a test fails.
    OnFailure,
}

/// Runs a test program with `arguments` for libtest.
///
/// # Errors
/// It does not start, or ends without a result.
pub fn run(tests: &Artifact, arguments: &[&str], output: Output, programs: bool) -> Result<Tally> {
    // One pipe for both, so that their lines keep their order.
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$0" "$@" 2>&1"#]).arg(&tests.executable).args(arguments).arg("--nocapture");
    command.current_dir(&tests.package).env("CARGO_MANIFEST_DIR", &tests.package);
    if programs {
        command.env("OBSERVER_TEST_PROGRAMS", "1");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", tests.executable.display()))?;
    let mut reader = Reader::default();
    let mut kept = String::new();
    for line in BufReader::new(child.stdout.take().context("the output is a pipe")?).split(b'\n') {
        let line = line.context("cannot read the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        reader.line(&line);
        match output {
            Output::Stream => println!("{line}"),
            Output::OnFailure => kept.extend([&line, "\n"]),
        }
    }
    let status = child.wait().context("cannot wait for the tests")?;
    let tally = reader.tally().clone();
    if !status.success() {
        print!("{kept}");
        if tally.failed == 0 {
            bail!("{} ended with {status}", tests.executable.display());
        }
    }
    Ok(tally)
}
