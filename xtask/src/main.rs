//! Commands for developing Observer: `cargo xtask <command>`.
//!
//! One file or folder per command; each exposes `Args` and `run`.

mod artifacts;
mod bench;
mod build;
mod demo;
mod deploy;
mod docs;
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
    /// Install what building and testing need
    Setup(setup::Args),
    /// Build observer, including its BPF programs
    Build(build::Args),
    /// Check layers, import cycles, wording, spelling, dependencies, format and clippy
    Lint(lint::Args),
    /// Run all checks and tests; --quick for daily work
    Test(test::Args),
    /// Create a Calico-like cluster in network namespaces
    Lab(lab::Args),
    /// Run `observer top` in a temporary lab with traffic
    Demo(demo::Args),
    /// Measure the overhead of Observer
    Bench(bench::Args),
    /// Generate and check dashboards, rules and manifests
    Deploy(deploy::Args),
    /// Generate pictures of the documentation and the files in deploy/
    Docs(docs::Args),
    /// Build a container image with a static binary
    Image(image::Args),
    /// Test panels, rules and `observer cluster` with Prometheus and a lab
    Fleet(fleet::Args),
    /// Compare captures in user space, in the kernel and in tshark
    Oracle(oracle::Args),
    /// Run privileged tests or a command on other kernels in QEMU
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
        Command::Docs(args) => docs::run(&args),
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
