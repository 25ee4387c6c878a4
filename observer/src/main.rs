//! The `observer` program.

use std::process::ExitCode;

use clap::Parser as _;
use observer::cli::Cli;

fn main() -> ExitCode {
    observer::command::run(&Cli::parse())
}
