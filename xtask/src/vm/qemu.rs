//! Boots a kernel with an initramfs in QEMU's software emulation and determines the result.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Lines of the console in an error.
const LAST_LINES: usize = 20;

/// One thread for both CPUs. With two, QEMU before 8.1 may run a breakpoint that the kernel has just removed from its
/// code (static keys, which hooks switch), and the kernel panics with `int3` at an intact instruction
/// (bugzilla.redhat.com 2216496; seen on 6.12 in `__dev_queue_xmit` while attaching and detaching hooks). Tests take
/// 42.6 s instead of 41.6 s.
///
/// `-cpu max` crashed 6.12 in one of five boots, this model in none of 20. TCG lacks the last four features and would
/// print warnings.
const ARGUMENTS: &[&str] = &[
    "-accel",
    "tcg,thread=single",
    "-cpu",
    "Haswell-noTSX,-cx16,-pcid,-x2apic,-tsc-deadline,-invpcid",
    "-m",
    "1G",
    "-smp",
    "2",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-serial",
    "stdio",
    "-no-reboot",
    "-net",
    "none",
];
/// An oops causes a panic, and a panic ends the machine immediately (`-no-reboot`).
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 oops=panic mitigations=off tsc=reliable nokaslr";

/// Where a machine's console is written.
pub enum Console {
    /// To standard output, with the kernel's series before each line.
    Print,
    /// To a file.
    File(File),
}

/// The lines of the console that decide the result.
#[derive(Debug, Default)]
struct Ending {
    result: Option<i32>,
    panic: Option<String>,
    last: VecDeque<String>,
}

impl Ending {
    fn line(&mut self, line: &str) {
        if let Some(code) = line.strip_prefix("RESULT:") {
            self.result = code.trim().parse().ok();
        }
        if line.contains("Kernel panic - not syncing") {
            self.panic.get_or_insert_with(|| line.to_owned());
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// Passed if the payload reported 0 and the machine ended cleanly: QEMU also exits with 0 after a panic.
    fn verdict(&self, exit: Option<i32>) -> Result<()> {
        if let Some(panic) = &self.panic {
            bail!("{panic}");
        }
        match (self.result, exit) {
            (Some(0), Some(0)) => Ok(()),
            (Some(0), exit) => bail!("QEMU did not end cleanly ({exit:?})"),
            (Some(125), _) => bail!("the payload could not be run (125)"),
            (Some(code), _) => bail!("the payload failed with {code}"),
            (None, exit) => bail!("the machine ended without a result (QEMU's exit code: {exit:?})"),
        }
    }

    fn tail(&self) -> String {
        self.last.iter().map(|line| format!("\n  | {line}")).collect()
    }
}

/// Boots, streams the console with `[series] ` before each line, and waits for the end.
///
/// # Errors
/// No `RESULT:0`, a panic, a time-out, or QEMU itself; with the console's last lines.
pub fn boot(
    series: &str,
    image: &Path,
    initramfs: &Path,
    timeout: Duration,
    output: Console,
    line: impl FnMut(&str),
) -> Result<()> {
    let mut child = Command::new("qemu-system-x86_64")
        .args(ARGUMENTS)
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", COMMAND_LINE])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start qemu-system-x86_64")?;
    let stdout = child.stdout.take().context("QEMU's output is a pipe")?;
    let mut console = Ending::default();
    let ended = follow(series, stdout, &mut console, timeout, output, line);
    if !ended {
        child.kill().context("cannot end QEMU")?;
    }
    let exit = wait(&mut child)?;
    let verdict = if ended {
        console.verdict(exit)
    } else {
        Err(anyhow::anyhow!("stopped after {} s", timeout.as_secs()))
    };
    verdict
        .map_err(|error| error.context(format!("the console's last lines:{}", console.tail())))
        .map_err(|error| anyhow::anyhow!("kernel {series}: {}; {error}", error.root_cause()))
}

fn wait(child: &mut Child) -> Result<Option<i32>> {
    Ok(child.wait().context("cannot wait for QEMU")?.code())
}

/// Processes every line until the output ends (true) or the time is up (false).
fn follow(
    series: &str,
    output: impl Read + Send + 'static,
    console: &mut Ending,
    timeout: Duration,
    mut to: Console,
    mut each: impl FnMut(&str),
) -> bool {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    let deadline = Instant::now() + timeout;
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let line = strip_escapes(&line);
                console.line(&line);
                each(&line);
                match &mut to {
                    Console::Print => println!("{}", format!("[{series}] {line}").trim_end()),
                    // A full disk does not change the result.
                    Console::File(file) => drop(writeln!(file, "{line}")),
                }
            }
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

/// Removes the escape sequences with which the firmware clears the screen.
fn strip_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // CSI … final byte, or a single character.
                if characters.next() == Some('[') {
                    characters.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\r' => {}
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_result_zero_and_a_clean_end_pass() {
        for (lines, exit, passes) in [
            (&["RESULT:0"][..], Some(0), true),
            (&["RESULT:0"], Some(1), false),
            (&["RESULT:0"], None, false),
            (&["RESULT:1"], Some(0), false),
            (&["RESULT:"], Some(0), false),
            (&["RESULT:0", "RESULT:3"], Some(0), false),
            (&["the payload prints RESULT:0"], Some(0), false),
            (&[], Some(0), false),
            (&["RESULT:0", "[    2.0] Kernel panic - not syncing: Attempted to kill init!"], Some(0), false),
        ] {
            let mut console = Ending::default();
            lines.iter().for_each(|line| console.line(line));
            assert_eq!(console.verdict(exit).is_ok(), passes, "{lines:?} {exit:?}");
        }
    }

    #[test]
    fn last_lines_are_kept() {
        let mut console = Ending::default();
        (0..100).for_each(|number| console.line(&number.to_string()));
        assert_eq!(console.last.len(), LAST_LINES);
        assert!(console.tail().ends_with("| 99"));
    }

    #[test]
    fn firmware_escapes_are_removed() {
        assert_eq!(strip_escapes("\u{1b}c\u{1b}[?7l\u{1b}[2J\u{1b}[0mSeaBIOS\r"), "SeaBIOS");
        assert_eq!(strip_escapes("plain [2J"), "plain [2J");
    }
}
