//! Background processes of a lab: background traffic and user-space IPIP tunnels.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{netns, state};

/// The program that runs them.
const PROGRAM: &str = "observer-lab";
/// Their hidden subcommands.
const ROLES: [&str; 2] = [TRAFFIC, IPIP];

/// The role of background traffic.
pub const TRAFFIC: &str = "traffic-worker";
/// The role of a user-space IPIP tunnel.
pub const IPIP: &str = "ipip-endpoint";

/// The lab's command line for the lab `name`: this program if it has that command line, else `observer-lab` in
/// the same target directory, as in tests.
///
/// # Errors
/// There is no such program.
pub fn program(name: &str) -> Result<Command> {
    let own = std::env::current_exe().context("cannot find the running program")?;
    let mut command = match own.file_name().and_then(|name| name.to_str()) {
        Some("xtask") => {
            let mut command = Command::new(own);
            command.arg("lab");
            command
        }
        Some(PROGRAM) => Command::new(own),
        _ => {
            let folders = own.ancestors().skip(1).take(2);
            let found: Option<PathBuf> =
                folders.map(|folder| folder.join(PROGRAM)).find(|file| file.is_file());
            let Some(found) = found else {
                bail!("cannot find {PROGRAM} near {}; run `cargo build -p {PROGRAM}`", own.display());
            };
            Command::new(found)
        }
    };
    command.arg(format!("--name={name}"));
    Ok(command)
}

/// Starts a background process of the lab in its own session.
///
/// # Errors
/// It cannot be started.
pub fn spawn(name: &str, log: &str, arguments: &[String]) -> Result<u32> {
    let log = state::folder(name).join(log);
    let errors = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = program(name)?;
    command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    own_session(&mut command);
    let child = command.spawn().context("cannot start a background process")?;
    Ok(child.id())
}

/// Keeps the terminal's signals away from the process that `command` starts.
pub fn own_session(command: &mut Command) {
    // SAFETY: setsid is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        });
    }
}

/// The background processes of the lab `name` with their roles, in whatever namespace they are.
pub fn running(name: &str) -> Vec<(libc::pid_t, &'static str)> {
    let name = format!("--name={name}");
    netns::every_process()
        .filter_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).take(6).collect();
            let has = |word: &str| words.contains(&word.as_bytes());
            let role = ROLES.into_iter().find(|role| has(role))?;
            has(&name).then_some((pid, role))
        })
        .collect()
}

/// Ends the background processes of a role.
///
/// # Errors
/// A process that does not end.
pub fn stop(name: &str, role: &str) -> Result<()> {
    let running = running(name).into_iter();
    let pids: Vec<_> = running.filter(|(_, found)| *found == role).map(|(pid, _)| pid).collect();
    netns::end(&pids)
}
