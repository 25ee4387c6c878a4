//! The lab's command line, and the program of its background processes.

use std::process::ExitCode;

use clap::Parser;
use observer_lab::cli;

#[derive(Parser)]
#[command(
    name = "observer-lab",
    about = "A Calico-like cluster in network namespaces",
    disable_version_flag = true
)]
struct Cli {
    #[command(flatten)]
    args: cli::Args,
}

fn main() -> ExitCode {
    match cli::run(&Cli::parse().args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
