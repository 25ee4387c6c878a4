//! Measures what Observer costs: programs, growth, end to end, user space (docs/performance.md).
//!
//! `cargo xtask bench` builds and runs it.

mod bench;
mod classes;
mod clock;
mod program;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use observer::kernel::Capacities;

use bench::{Bench, Effort};
use report::{Place, Section};

/// Parts of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Cost of the programs, for every class of packets
    Program,
}

#[derive(Parser)]
#[command(name = "observer-bench", about = "Measures what Observer costs", disable_version_flag = true)]
struct Cli {
    /// Fewer and shorter rounds: minutes become seconds, and figures rough
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The program `observer` that the parts about user space start
    #[arg(long, value_name = "PROGRAM", default_value = "observer")]
    observer: PathBuf,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let place = Place::here(cli.quick);
    let cpus = clock::cpus()?;
    // The last one: interrupts and other people's work tend to the first.
    clock::pin(&cpus[cpus.len().saturating_sub(1)..])?;
    let parts: Vec<Part> = Part::value_variants()
        .iter()
        .copied()
        .filter(|part| cli.only.is_empty() || cli.only.contains(part))
        .collect();
    let sections: Vec<Section> = parts.into_iter().map(|part| measure(part, cli)).collect::<Result<_>>()?;
    print!("{}", report::text(&place, &sections));
    if let Some(path) = &cli.json {
        let text = format!("{:#}\n", report::json(&place, &sections));
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(part: Part, cli: &Cli) -> Result<Section> {
    match part {
        Part::Program => {
            let effort = if cli.quick {
                Effort { rounds: 5, repeat: 200_000 }
            } else {
                Effort { rounds: 11, repeat: 1_000_000 }
            };
            let measured = program::measure(&mut Bench::load(Capacities::default())?, effort)?;
            Ok(program::section(&measured, effort))
        }
    }
}
