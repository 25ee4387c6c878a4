//! The commands: wiring only. Errors become messages and exit codes here and nowhere else.

mod cluster;
mod compare;
pub mod doctor;
mod export;
mod output;
mod pcap;
mod play;
mod probe;
mod record;
mod replay;
mod session;
mod stat;
mod top;
mod trace;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Cli, CliError, Command};

/// Success.
const SUCCESS: u8 = 0;
/// Success, with findings.
const FINDINGS: u8 = 1;
/// Failure.
const FAILURE: u8 = 2;

/// Runs the command of the command line.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::read(std::env::args_os().collect::<Vec<_>>()) {
        Ok(cli) => cli,
        Err(CliError::Usage(error)) => error.exit(),
        Err(CliError::Config(error)) => return failed(&error.into()),
    };
    if !draws_on_the_log(&cli) {
        env_logger::Builder::new().filter_level(cli.log).format_timestamp_millis().init();
    }
    match dispatch(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    output::message(format_args!("observer: {error:#}"));
    ExitCode::from(FAILURE)
}

fn dispatch(cli: &Cli) -> Result<u8> {
    match &cli.command {
        Command::Top(args) => top::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Trace(args) => trace::run(args),
        Command::Pcap(args) => pcap::run(args),
        Command::Record(args) => record::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Doctor(args) => {
            return doctor::run(args).map(|found| if found { FINDINGS } else { SUCCESS });
        }
        Command::Cluster(args) => cluster::run(args),
        Command::Export(args) => export::run(args),
        Command::Probe => probe::run(),
    }
    .map(|()| SUCCESS)
}

/// Whether the log would be written over the screens of `top`.
fn draws_on_the_log(cli: &Cli) -> bool {
    matches!(&cli.command, Command::Top(args) if !args.once) && std::io::stderr().is_terminal()
}
