//! Everything the project does to itself: `cargo xtask <command>`.
//!
//! One file (or folder) a command; each exposes `Args` and `run`.

mod artifacts;
mod bench;
mod build;
mod demo;
mod deploy;
mod fleet;
mod http;
mod image;
mod lab;
mod lint;
mod oracle;
mod setup;
mod shell;
mod test;
mod toolchain;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and try Observer", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building and testing need, and say each thing
    Setup(setup::Args),
    /// Build the programs (release), the BPF side included
    Build(build::Args),
    /// Check layers, import cycles, wording, spelling, dependencies, format and clippy
    Lint(lint::Args),
    /// Everything that must hold: lint, unit, golden, BPF and lab tests
    Test(test::Args),
    /// A small Calico-like cluster in network namespaces of this machine
    Lab(lab::Args),
    /// Lab up, traffic on, `observer top` on a lab node; quitting tears all down
    Demo(demo::Args),
    /// What Observer costs: programs, growth, end to end, user space
    Bench(bench::Args),
    /// Dashboards and manifests: made, rendered, held against schemas and rule tests
    Deploy(deploy::Args),
    /// A static binary in an image from scratch
    Image(image::Args),
    /// Exporters on the lab's nodes, a real Prometheus over them: panels, rules, `observer cluster`
    Fleet(fleet::Args),
    /// Captures through user space, the programs in the kernel and tshark, compared
    Oracle(oracle::Args),
    /// Tests, or a command, on other kernels under software emulation
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup(args) => setup::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Lab(args) => lab::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Fleet(args) => fleet::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Deploy(args) => deploy::run(&args),
        Command::Oracle(args) => oracle::run(&args),
        Command::Vm(args) => vm::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
